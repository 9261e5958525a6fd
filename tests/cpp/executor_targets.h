#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/executor.h"
#include "core/memory.h"
#include "executor_problem.h"

// Targets beyond numbers with known noise, and training on them.

namespace tagix::test {

/// Weights of rows, between 0 and 5.
inline std::vector<float> weights_of(Index rows, unsigned seed) {
  return uniform_floats(static_cast<std::size_t>(rows), 0, 5, seed);
}

/// Labels of rows, of which every seventh is missing.
inline std::vector<float> labels(Index rows, Index n_classes, unsigned seed) {
  std::vector<float> labels =
      uniform_floats(static_cast<std::size_t>(rows), 0, static_cast<double>(n_classes), seed);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels[i] = i % 7 == 0 ? missing : std::floor(labels[i]);
  }
  return labels;
}

inline constexpr math::ClassHead tree_of_ten{math::ClassLink::tree, 10, 0};
inline constexpr math::ClassHead remax_of_two{math::ClassLink::remax, 2, 0.01f};
inline constexpr math::ClassHead softmax_of_two{math::ClassLink::softmax, 2, 0};

/// The parameters and the record after Executor::train on rows, in batches.
struct TrainedRows {
  HostPair parameters;
  TrainingState state;

  TrainedRows(Backend& backend, Executor& executor, const Problem& problem,
              const std::vector<float>& targets, const math::ClassHead& head, Index batch_size,
              const UpdateRule& rule = {}) {
    Moments theta(backend), input(backend);
    Buffer<float> target(backend), noise_var(backend);
    Buffer<TrainingState> states(backend);
    states.assign(state);
    target.assign(targets);
    noise_var.assign(problem.noise_var);
    NoiseView noise{noise_var.data(), problem.out_features, 1};
    if (head.exists()) noise = {nullptr, 0, 0, {}, head};
    Buffer<float> weight(backend);
    weight.assign(weights_of(problem.rows, 7));
    if (problem.rows > 100 && head.exists()) {
      noise.weight = weight.data();
      noise.mean_weight = 2.5;
    }
    const MomentsView view = to_device(
        backend, theta, 1, static_cast<Index>(problem.parameters.mean.size()), problem.parameters);
    const TrainingRows rows{
        to_device(backend, input, problem.rows, problem.in_features, problem.input), target.data(),
        noise};
    executor.train(rule, rows, batch_size, view, states.data());
    state = states.first();
    parameters = to_host(backend, view);
  }
};

/// The parameters of a network after training on all rows of a problem in batches, in float64.
inline Gaussians trained_in_float64(const Problem& problem, Float64Network network,
                                    Index batch_size) {
  const Index in = problem.in_features, out = problem.out_features;
  for (Index first = 0; first < problem.rows; first += batch_size) {
    const Index count = std::min(batch_size, problem.rows - first);
    const auto part = [&](const std::vector<float>& values, Index cols) {
      const auto begin = values.begin() + first * cols;
      return std::vector<double>(begin, begin + count * cols);
    };
    Gaussians input(static_cast<std::size_t>(count), static_cast<std::size_t>(in));
    input.mean = part(problem.input.mean, in);
    if (!problem.input.var.empty()) input.var = part(problem.input.var, in);
    network.update(input, part(problem.target, out), part(problem.noise_var, out), UpdateRule{});
  }
  Gaussians parameters(1, problem.parameters.mean.size());
  parameters.mean.clear();
  parameters.var.clear();
  for (const Float64Layer& layer : network.layers) {
    for (const Gaussians* values : {&layer.weight, &layer.bias}) {
      parameters.mean.insert(parameters.mean.end(), values->mean.begin(), values->mean.end());
      parameters.var.insert(parameters.var.end(), values->var.begin(), values->var.end());
    }
  }
  return parameters;
}

/// The same of relu_network(widths).
inline Gaussians trained_in_float64(const Problem& problem, const std::vector<Index>& widths,
                                    Index batch_size) {
  return trained_in_float64(problem, float64_network(problem, widths), batch_size);
}

}  // namespace tagix::test
