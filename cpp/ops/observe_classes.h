#pragma once

#include "core/moments.h"
#include "math/classes.h"
#include "math/inference.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::observe of classes, an output at a time: element i of the prediction and of `delta`,
/// both rows x outputs. Each device has a loop of its own for softmax, where every output needs the
/// exponentials of all.
struct ObserveClasses {
  ConstMomentsView prediction;
  const float* target;  ///< the class of each row, NaN where it is missing
  math::ClassHead classes;
  float spread;
  MomentsView delta;

  /// The class of a row, or -1.
  TAGIX_HD TAGIX_INLINE Index label(Index row) const { return classes.label_of(target[row]); }

  /// An output that learns nothing: of a row without a label, or off the path in a tree.
  TAGIX_HD TAGIX_INLINE void clear(Index i) const { write(i, {0, 0}); }

  /// An output of a tree, from the branch that the path to the class takes: 1 or -1, 0 off the
  /// path.
  TAGIX_HD TAGIX_INLINE void tree(Index i, float branch) const {
    write(i, math::probit_innovation(prediction.mean[i], prediction.var[i], branch, spread));
  }

  /// The output of a class that is the label, or is not.
  TAGIX_HD TAGIX_INLINE void one_vs_rest(Index i, bool is_label) const {
    write(i, math::one_vs_rest_innovation(classes, prediction.mean[i], prediction.var[i],
                                          is_label ? 1.0f : 0.0f, spread));
  }

  /// A rectified output, with the totals of its row.
  TAGIX_HD TAGIX_INLINE void remax(Index i, const math::RemaxTotals& totals, bool is_label) const {
    write(i, math::remax_innovation(math::remax_unit(prediction.mean[i], prediction.var[i]), totals,
                                    prediction.cols, is_label ? 1.0f : 0.0f, classes.noise_var,
                                    spread));
  }

 private:
  TAGIX_HD TAGIX_INLINE void write(Index i, const math::Innovation<float>& innovation) const {
    delta.mean[i] = innovation.delta_mean;
    delta.var[i] = innovation.delta_var;
  }
};

}  // namespace tagix::ops
