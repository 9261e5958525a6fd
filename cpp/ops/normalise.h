#pragma once

#include "core/moments.h"
#include "core/norm_sets.h"
#include "math/scalar.h"
#include "math/target.h"

namespace tagix::ops {

/// Backend::normalise: what a set sums up, and what each of its elements becomes. With n elements,
///
///   mu = sum m / n,   q = sum ((m - mu)^2 + v) / n,   r = 1 / sqrt(q + eps)
///   y = r (m - mu),   y_var = r^2 v
///
/// The statistics count the variances; mu is 0 where nothing is centred.
struct Normalise {
  ConstMomentsView input;
  NormSets sets;
  MomentsView output;
  float* scale;

  TAGIX_HD float mean(Index i) const { return input.mean[i]; }
  TAGIX_HD float square(Index i, float mu) const {
    const float deviation = input.mean[i] - mu;
    return deviation * deviation + (input.var == nullptr ? 0.0f : input.var[i]);
  }
  TAGIX_HD float scale_of(float second_moment) const {
    return 1 / math::sqrt(second_moment + sets.eps);
  }
  TAGIX_HD void write(Index i, float mu, float r) const {
    output.mean[i] = r * (input.mean[i] - mu);
    if (output.var != nullptr) output.var[i] = input.var == nullptr ? 0.0f : r * r * input.var[i];
  }
};

/// Backend::normalise_backward. Innovations go down by the derivatives of y, in which mu and r
/// follow every element, and variances by r^2:
///
///   d = r (delta_mean - mean(delta_mean) - y mean(delta_mean y)),   d_var = r^2 delta_var
///
/// and adjoints by those of y and y_var, which follow the variances, too:
///
///   G' = r (G - mean(G) - y mean(G y)) - 2 r y mean(G_v y_var)
///   G_v' = r^2 (G_v - mean(G_v y_var) - mean(G y) / 2)
///
/// where mean(...) is over the set; mean(G) counts as 0 where nothing is centred, and all of them
/// where statistics count as constants.
struct NormaliseBackward {
  ConstMomentsView output;  ///< y; without variances, what goes down are innovations
  const float* scale;
  NormSets sets;
  ConstMomentsView delta;
  bool add;
  MomentsView below;

  /// The means over a set.
  struct Means {
    float delta;
    float product;
    float by_var;
  };

  TAGIX_HD float delta_mean(Index i) const { return delta.mean[i]; }
  TAGIX_HD float product(Index i) const { return delta.mean[i] * output.mean[own(i)]; }
  TAGIX_HD float by_var(Index i) const {
    return output.var == nullptr ? 0.0f : delta.var[i] * output.var[own(i)];
  }
  TAGIX_HD void write(Index i, float r, const Means& means) const {
    const float y = output.mean[own(i)];
    const float mean = r * (delta.mean[i] - means.delta - y * (means.product + 2 * means.by_var));
    const float of_sets = output.var == nullptr ? 0.0f : means.by_var + 0.5f * means.product;
    const float var = r * r * (delta.var[i] - of_sets);
    below.mean[i] = add ? below.mean[i] + mean : mean;
    below.var[i] = add ? below.var[i] + var : var;
  }
  /// The element of y that belongs to element i of adjoints of several outputs.
  TAGIX_HD Index own(Index i) const { return i % output.size(); }
  TAGIX_HD float scale_of(Index set) const {
    return scale[set % (output.rows / sets.positions * sets.per_row())];
  }
};

}  // namespace tagix::ops
