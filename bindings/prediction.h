#pragma once

#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.h"
#include "cuda_array.h"
#include "models/model.h"

namespace tagix::python {

/// The arrays of a prediction: mean and variance, and, where the noise is known, its variance and
/// the sum of both.
template <class T>
struct PredictionOf {
  T mean, var;
  std::optional<T> noise_var, total_var;

  PredictionOf(const std::vector<Index>& shape, bool has_noise)
      : mean(make(shape)), var(make(shape)) {
    if (!has_noise) return;
    noise_var = make(shape);
    total_var = make(shape);
  }

  /// Arrays on the host, or on the GPU.
  auto arrays() {
    using Arrays = BasicPredictionArrays<decltype(data(mean))>;
    if (!noise_var) return Arrays{data(mean), data(var)};
    return Arrays{data(mean), data(var), data(*noise_var), data(*total_var)};
  }
  /// (mean, var, noise_var or None, total_var or None)
  auto tuple() {
    return std::make_tuple(std::move(mean), std::move(var), std::move(noise_var),
                           std::move(total_var));
  }

 private:
  static T make(const std::vector<Index>& shape) { return T(shape); }
  static HostPointer<float> data(Array& array) { return new_values_of(array); }
  static float* data(CudaArray& array) { return array.data(); }
};

}  // namespace tagix::python
