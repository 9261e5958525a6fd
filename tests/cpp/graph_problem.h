#pragma once

#include <memory>
#include <vector>

#include "executor_problem.h"

// What tests of graphs share: predictions, and what linearize gives on the host.

namespace tagix::test {

/// A function of a user's own: x - x^3 / 10.
struct Cubic final : ScalarFunction {
  void evaluate(const float* points, Index count, float* values,
                float* derivatives) const override {
    for (Index i = 0; i < count; ++i) {
      values[i] = points[i] - 0.1f * points[i] * points[i] * points[i];
      derivatives[i] = 1 - 0.3f * points[i] * points[i];
    }
  }
};

struct HostLinearized {
  HostPair prediction;
  std::vector<float> jacobian, covariance;
};

inline std::vector<float> array_to_host(Backend& backend, const float* array, Index size) {
  if (array == nullptr) return {};
  std::vector<float> host(static_cast<std::size_t>(size));
  backend.download(array, on_host(host), static_cast<Index>(host.size()));
  return host;
}

/// The parameters and the input of a problem in a backend's memory.
struct DeviceProblem {
  Moments parameter_memory, input_memory;
  MomentsView parameters, input;

  DeviceProblem(Backend& backend, const Problem& problem)
      : parameter_memory(backend),
        input_memory(backend),
        parameters(to_device(backend, parameter_memory, 1,
                             static_cast<Index>(problem.parameters.mean.size()),
                             problem.parameters)),
        input(to_device(backend, input_memory, problem.rows, problem.in_features, problem.input)) {}
};

inline HostLinearized linearize(Backend& backend, Executor& executor, const Problem& problem,
                                const Linearization& wanted) {
  const DeviceProblem on_device(backend, problem);
  const Linearized got = executor.linearize(on_device.parameters, on_device.input, wanted);
  const Index n = problem.rows * wanted.n_outputs;
  return {to_host(backend, got.prediction),
          array_to_host(backend, got.jacobian, n * wanted.n_directions),
          array_to_host(backend, got.covariance, problem.rows * wanted.n_covariances())};
}

inline HostPair predict(Backend& backend, Executor& executor, const Problem& problem) {
  const DeviceProblem on_device(backend, problem);
  return to_host(backend, executor.predict(on_device.parameters, on_device.input));
}

/// The prediction by means alone: the variances of the parameters do not count.
inline HostPair predict_means(Backend& backend, Executor& executor, const Problem& problem) {
  DeviceProblem on_device(backend, problem);
  on_device.parameters.var = nullptr;
  return to_host(backend, executor.predict(on_device.parameters, on_device.input));
}

inline void check_same(const Result& a, const Result& b) {
  check_same(a.prediction, b.prediction);
  check_same(a.innovation, b.innovation);
  check_same(a.input_delta, b.input_delta);
}

}  // namespace tagix::test
