#pragma once

#include <cmath>

#include "conformance/arrays.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// How noise variances repeat over the targets, or by which link a noise head infers them.
/// A believed head joins what the network says of log v with N(0, 1 / belief_precision).
enum class NoiseShape {
  one,
  per_output,
  per_row,
  per_target,
  exp_head,
  believed_exp_head,
  softplus_head
};

inline constexpr float belief_precision = 0.25f;

inline constexpr NoiseShape noise_shapes[] = {
    NoiseShape::one,          NoiseShape::per_output, NoiseShape::per_row,
    NoiseShape::per_target,   NoiseShape::exp_head,   NoiseShape::believed_exp_head,
    NoiseShape::softplus_head};

inline const char* noise_name(NoiseShape shape) {
  switch (shape) {
    case NoiseShape::one:
      return "one noise";
    case NoiseShape::per_output:
      return "noise per output";
    case NoiseShape::per_row:
      return "noise per row";
    case NoiseShape::per_target:
      return "noise per target";
    case NoiseShape::exp_head:
      return "noise head, exp";
    case NoiseShape::believed_exp_head:
      return "noise head, exp, with a belief";
    case NoiseShape::softplus_head:
      return "noise head, softplus";
  }
  return "";
}

/// What a noise head's output w ~ N(mean, var) says of v = link(w), in float64: V = E v,
/// Var v / V^2 and Cov(w, v) / (var V), by closed forms and by the trapezoid rule on a fine grid.
struct NoiseTruth {
  double mean, relative_var, relative_jacobian;

  NoiseTruth(NoiseShape shape, double w_mean, double w_var) {
    if (shape != NoiseShape::softplus_head) {
      // A product of Gaussians: precisions add up, and means are weighted by them.
      const double belief = shape == NoiseShape::believed_exp_head ? belief_precision : 0;
      const double log_var = 1 / (1 / w_var + belief), log_mean = log_var / w_var * w_mean;
      mean = std::exp(log_mean + log_var / 2);
      relative_var = std::expm1(log_var);
      relative_jacobian = log_var / w_var;
      return;
    }
    // The rule converges faster than any power of the step: a finer grid changes no digit.
    constexpr int n_nodes = 161;
    constexpr double reach = 10;  // standard deviations
    const double sd = std::sqrt(w_var);
    double total = 0, first = 0, second = 0, slope = 0;
    for (int k = 0; k < n_nodes; ++k) {
      const double u = reach * (2.0 * k / (n_nodes - 1) - 1), w = w_mean + sd * u;
      const double weight = std::exp(-u * u / 2);
      const double v = std::fmax(w, 0) + std::log1p(std::exp(-std::fabs(w)));
      total += weight;
      first += weight * v;
      second += weight * v * v;
      slope += weight / (1 + std::exp(-w));
    }
    mean = first / total;
    // The grid is fine enough for the difference to keep its digits, as v varies.
    relative_var = (second / total - mean * mean) / (mean * mean);
    relative_jacobian = slope / total / mean;
  }
};

/// The noise of rows x cols targets.
struct NoiseVariances {
  NoiseShape shape;
  Index row_stride;
  Index col_stride;
  std::vector<float> values;

  NoiseVariances(NoiseShape shape, Index rows, Index cols, RandomInputs& random) : shape(shape) {
    const bool by_row = shape == NoiseShape::per_row || shape == NoiseShape::per_target;
    const bool by_col = shape == NoiseShape::per_output || shape == NoiseShape::per_target;
    col_stride = by_col ? 1 : 0;
    row_stride = by_row ? (by_col ? cols : 1) : 0;
    values = random.log_uniforms((by_row ? rows : 1) * (by_col ? cols : 1), 1e-4, 1);
  }

  bool has_head() const {
    return shape == NoiseShape::exp_head || shape == NoiseShape::believed_exp_head ||
           shape == NoiseShape::softplus_head;
  }
  /// The columns of a prediction for so many targets.
  Index prediction_cols(Index targets) const { return has_head() ? 2 * targets : targets; }

  /// The noise variance of a target, where no head says it.
  double at(Index row, Index col) const {
    return values[static_cast<std::size_t>(row * row_stride + col * col_stride)];
  }
  /// The same, wherever it comes from. `prediction` has the head's output where there is one.
  double at(const HostGaussians& prediction, Index row, Index col) const {
    return has_head() ? truth(prediction, row, col).mean : at(row, col);
  }
  NoiseTruth truth(const HostGaussians& prediction, Index row, Index col) const {
    const auto i = static_cast<std::size_t>(row * prediction.cols + prediction.cols / 2 + col);
    return {shape, prediction.mean[i], prediction.var[i]};
  }

  NoiseView view(Arrays& arrays, bool expects_information = true) const {
    if (!has_head()) return {arrays.input(values), row_stride, col_stride};
    const auto link =
        shape == NoiseShape::softplus_head ? math::NoiseLink::softplus : math::NoiseLink::exp;
    const float precision = shape == NoiseShape::believed_exp_head ? belief_precision : 0;
    return {nullptr, 0, 0, {link, expects_information, precision}};
  }
};

}  // namespace tagix::conformance
