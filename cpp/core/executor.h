#pragma once

#include <functional>
#include <memory>

#include "core/backend.h"

namespace tagix {

/// Rows to train on, in a backend's memory: inputs, targets (NaN = missing) and their noise.
struct TrainingRows {
  ConstMomentsView input;
  const float* target;
  NoiseView noise;

  /// `count` rows from `first` on, for a network of that many outputs.
  TrainingRows slice(Index first, Index count, Index outputs) const {
    TrainingRows part = *this;
    part.input = input.slice(first * input.cols, count, input.cols);
    part.target += first * noise.n_targets(outputs);
    part.noise = noise.from_row(first);
    return part;
  }
};

/// The targets of a batch (NaN = missing), their noise, and the rule's factor on the prior variance
/// (UpdateRule::spread).
struct Observations {
  const float* target;
  NoiseView noise;
  float spread;

  /// Those of the rows from `first` on, for a network of that many outputs.
  Observations from_row(Index first, Index outputs) const {
    return {target + first * noise.n_targets(outputs), noise.from_row(first), spread};
  }
};

/// What Executor::learn gives at once; the views stay valid until its next call.
struct Learned {
  ConstMomentsView prediction;   ///< made before anything was learned
  ConstMomentsView input_delta;  ///< innovations of the input; empty unless asked for
};

/// What Executor::linearize is to work out, of the first n_outputs outputs: derivatives by the
/// first n_directions inputs, none for 0, and covariances.
struct Linearization {
  Index n_outputs;
  Index n_directions;
  Covariances covariances;

  /// The covariances of a row.
  Index n_covariances() const { return count(covariances, n_outputs); }
};

/// What it gives; the views stay valid until the next call of the executor.
struct Linearized {
  ConstMomentsView prediction;        ///< the bits that predict gives
  const float* jacobian = nullptr;    ///< batch x n_outputs x n_directions: d E output / d input
  const float* covariance = nullptr;  ///< batch x n_covariances
};

/// Runs one network on one backend, with buffers of its own that are reused from call to call.
/// One executor serves one call at a time. All views are in the backend's memory.
class Executor {
 public:
  explicit Executor(Backend& backend) : backend_(backend) {}
  virtual ~Executor() = default;

  /// The moments of the output; the view stays valid until the next call. Parameters without `var`
  /// are known exactly, and need an input that is: then the means alone are worked out, at about a
  /// third of the cost, and the variances of the output are 0.
  virtual ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) = 0;

  /// Predicts, and works out how the outputs' means follow those of the input, through the means
  /// and the variances of every layer, and how the outputs vary together: their covariance by the
  /// noise of the input, which is independent, and by that of the parameters, each going up to the
  /// outputs by itself (graph/rules.h). Its diagonal is not the variance that predict gives, which
  /// takes the units of every layer as independent.
  virtual Linearized linearize(ConstMomentsView parameters, ConstMomentsView input,
                               const Linearization& wanted) = 0;

  /// Predicts, meets the observations, and keeps what the parameters (which stay as they are) have
  /// to learn from them: for `innovation` and `update`, to which `input` must stay as it is, with
  /// no other call between.
  virtual Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                        const Observations& observations, bool need_input_delta) = 0;

  /// The innovations of the parameters, summed over the batch that was learned last (1 x their
  /// number). The view stays valid until the next call.
  virtual ConstMomentsView innovation() = 0;

  /// Changes the parameters by the batch that was learned last, which had `batch_size` rows. Sets
  /// the failure of `state` if an innovation is not finite, and then, or if something has failed
  /// before, changes nothing.
  virtual void update(const UpdateRule& rule, Index batch_size, MomentsView parameters,
                      TrainingState* state) = 0;

  /// Trains on rows in batches, the last one partial: for each one records how well it was
  /// predicted, learns and updates.
  virtual void train(const UpdateRule& rule, const TrainingRows& rows, Index batch_size,
                     MomentsView parameters, TrainingState* state);

  /// The rows that are best given to `train` at a time, a multiple of the batch size.
  virtual Index training_rows(Index batch_size) const { return batch_size; }

  /// The rows of a prediction that are best given at a time: more of them take more memory.
  virtual Index prediction_rows() const = 0;

  /// Whether what it does is not all queued, as the network has functions of the user's own, which
  /// run on the host: then it cannot be recorded (Backend::record).
  virtual bool calls_the_host() const { return false; }

 protected:
  Backend& backend_;
};

/// Executor::update for innovations that are written out.
void update_by(ConstMomentsView innovation, Backend& backend, const UpdateRule& rule,
               Index batch_size, MomentsView parameters, TrainingState* state);

/// Executor::linearize with the Jacobians and covariances of another executor of the same network.
Linearized linearize_with(Executor& other, Executor& executor, ConstMomentsView parameters,
                          ConstMomentsView input, const Linearization& wanted);

}  // namespace tagix
