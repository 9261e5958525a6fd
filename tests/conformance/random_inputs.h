#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "conformance/arrays.h"

namespace tagix::conformance {

/// Inputs of operations, the same in every run.
class RandomInputs {
 public:
  explicit RandomInputs(Index seed) : engine_(static_cast<std::uint64_t>(seed)) {}

  float uniform(double low, double high) {
    const double share = static_cast<double>(engine_() >> 11) * 0x1p-53;
    return static_cast<float>(low + (high - low) * share);
  }
  float log_uniform(double low, double high) {
    return static_cast<float>(
        std::exp(static_cast<double>(uniform(std::log(low), std::log(high)))));
  }
  bool chance(double probability) { return uniform(0, 1) < probability; }
  Index below(Index bound) {
    return static_cast<Index>(engine_() % static_cast<std::uint64_t>(bound));
  }

  std::vector<float> uniforms(Index size, double low, double high) {
    std::vector<float> values(static_cast<std::size_t>(size));
    for (float& value : values) value = uniform(low, high);
    return values;
  }
  std::vector<float> log_uniforms(Index size, double low, double high) {
    std::vector<float> values(static_cast<std::size_t>(size));
    for (float& value : values) value = log_uniform(low, high);
    return values;
  }

  /// Means in [-1, 1], variances over three decades below `largest_var`.
  HostGaussians gaussians(Index rows, Index cols, double largest_var = 1) {
    return {rows, cols, uniforms(rows * cols, -1, 1),
            log_uniforms(rows * cols, 1e-3 * largest_var, largest_var)};
  }

  /// As innovations are: means of both signs, variances below zero.
  HostGaussians innovations(Index rows, Index cols) {
    HostGaussians deltas = gaussians(rows, cols);
    for (float& var : deltas.var) var = -var;
    return deltas;
  }

  /// Targets in [-2, 2], of which a part is NaN (missing).
  std::vector<float> targets(Index size, double missing_share) {
    std::vector<float> targets = uniforms(size, -2, 2);
    for (float& target : targets) {
      if (chance(missing_share)) target = std::numeric_limits<float>::quiet_NaN();
    }
    return targets;
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace tagix::conformance
