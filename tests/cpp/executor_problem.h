#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "core/executor.h"
#include "core/memory.h"
#include "graph/builder.h"
#include "graph/chain.h"
#include "graph/graph_executor.h"
#include "layers/activation.h"
#include "layers/linear.h"
#include "layers/sequential.h"
#include "test_helpers.h"

// What tests of executors share: small networks, what they are to learn from, and the truth in
// float64.

namespace tagix::test {

using LayerPointer = std::shared_ptr<const Layer>;
using math::ActivationKind;
using math::MomentsForm;

inline LayerPointer linear(Index in, Index out, bool bias = true) {
  return std::make_shared<Linear>(in, out, bias, Linear::Init::he, 1.0, 1.0);
}

inline LayerPointer activation(ActivationKind kind, MomentsForm form = MomentsForm::exact) {
  return std::make_shared<Activation>(math::ActivationSpec{kind, form});
}

inline LayerPointer sequential(std::vector<LayerPointer> layers) {
  return std::make_shared<Sequential>(std::move(layers));
}

/// Widths joined by linear layers with exact ReLU between them; every second one without bias.
inline LayerPointer relu_network(const std::vector<Index>& widths) {
  std::vector<LayerPointer> layers;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    layers.push_back(linear(widths[i], widths[i + 1], i % 2 == 0));
    if (i + 2 < widths.size()) layers.push_back(activation(ActivationKind::relu));
  }
  return sequential(std::move(layers));
}

/// The largest error in units of the largest value.
inline double largest_error(const std::vector<float>& got, const std::vector<double>& truth) {
  REQUIRE(got.size() == truth.size());
  double largest = 0, scale = 1e-30;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    scale = std::fmax(scale, std::fabs(truth[i]));
    const double each = std::fabs(got[i] - truth[i]);
    if (!(each <= largest)) largest = each;
  }
  return largest / scale;
}

/// The graph of a network for inputs of these shapes.
inline std::shared_ptr<const Graph> graph_of(const LayerPointer& network,
                                             const std::vector<Shape>& inputs) {
  return std::make_shared<const Graph>(tagix::graph_of(*network, inputs));
}

/// The graph of a network for the features that it fixes, else for so many.
inline std::shared_ptr<const Graph> row_graph(const LayerPointer& network, Index features = 1) {
  return graph_of(network, {Shape(network->input_features().value_or(features))});
}

inline std::vector<ChainStep> steps_of(const LayerPointer& network) {
  const std::optional<std::vector<ChainStep>> steps = as_chain(*row_graph(network));
  REQUIRE(steps.has_value());
  return *steps;
}

/// The executor that runs one operation after the other.
inline std::unique_ptr<Executor> graph_executor(Backend& backend, const LayerPointer& network,
                                                Index features = 1) {
  return make_graph_executor(backend, row_graph(network, features));
}

/// The inputs of Executor::learn, on the host.
struct Problem {
  HostPair parameters;
  HostPair input;  // no variances: known exactly
  std::vector<float> target, noise_var;
  Index rows, in_features, out_features;

  Problem(const Layer& network, Index rows, Index in_features, bool uncertain, unsigned seed)
      : Problem(tagix::graph_of(network, std::vector{Shape(in_features)}), rows, uncertain, seed) {}
  Problem(const Graph& graph, Index rows, bool uncertain, unsigned seed)
      : Problem(graph.parameters, rows, graph.row_size, graph.output_shape().size(), uncertain,
                seed) {}
  Problem(const std::vector<ParameterSpec>& specs, Index rows, Index in_features,
          Index out_features, bool uncertain, unsigned seed)
      : rows(rows), in_features(in_features), out_features(out_features) {
    for (const ParameterSpec& spec : specs) {
      const auto count = static_cast<std::size_t>(spec.size());
      const double std = spec.prior_std;
      const auto mean = uniform_floats(count, -1.7 * std, 1.7 * std, seed++);
      const auto var = uniform_floats(count, 0.01 * std * std, 0.3 * std * std, seed++);
      parameters.mean.insert(parameters.mean.end(), mean.begin(), mean.end());
      parameters.var.insert(parameters.var.end(), var.begin(), var.end());
    }
    const auto inputs = static_cast<std::size_t>(rows * in_features);
    const auto outputs = static_cast<std::size_t>(rows * out_features);
    input.mean = uniform_floats(inputs, -1.5, 1.5, seed++);
    if (uncertain) input.var = uniform_floats(inputs, 0, 0.2, seed++);
    target = uniform_floats(outputs, -2, 2, seed++);
    for (std::size_t i = 0; i < outputs; i += 7) target[i] = missing;
    noise_var = uniform_floats(outputs, 0.1, 0.5, seed++);
  }
};

struct Result {
  HostPair prediction, innovation, input_delta;
};

inline HostPair to_host(Backend& backend, ConstMomentsView view) {
  HostPair pair;
  pair.mean.resize(static_cast<std::size_t>(view.size()));
  pair.var.resize(pair.mean.size());
  download(backend, view, pair.mean, pair.var);
  return pair;
}

inline MomentsView to_device(Backend& backend, Moments& moments, Index rows, Index cols,
                             const HostPair& pair) {
  moments.resize(rows, cols);
  MomentsView view = moments.view();
  backend.upload(on_host(pair.mean), view.mean, view.size());
  if (pair.var.empty()) {
    view.var = nullptr;
  } else {
    backend.upload(on_host(pair.var), view.var, view.size());
  }
  return view;
}

inline Result learn(Backend& backend, Executor& executor, const Problem& problem, float spread,
                    bool need_input_delta = true) {
  Moments parameters(backend), input(backend);
  Buffer<float> target(backend), noise_var(backend);
  const auto count = static_cast<Index>(problem.parameters.mean.size());
  const MomentsView theta = to_device(backend, parameters, 1, count, problem.parameters);
  const MomentsView a = to_device(backend, input, problem.rows, problem.in_features, problem.input);
  target.assign(problem.target);
  noise_var.assign(problem.noise_var);
  const Learned learned =
      executor.learn(theta, a, {target.data(), {noise_var.data(), problem.out_features, 1}, spread},
                     need_input_delta);
  CHECK((learned.input_delta.mean != nullptr) == need_input_delta);
  return {to_host(backend, learned.prediction), to_host(backend, executor.innovation()),
          need_input_delta ? to_host(backend, learned.input_delta) : HostPair{}};
}

/// |got - truth| / |truth| in the Euclidean norm.
inline double norm_error(const std::vector<float>& got, const std::vector<double>& truth) {
  REQUIRE(got.size() == truth.size());
  double error = 0, size = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    error += (got[i] - truth[i]) * (got[i] - truth[i]);
    size += truth[i] * truth[i];
  }
  return std::sqrt(error / size);
}

/// Largest error of the means in units of the largest mean, and of the variances relative to each:
/// the terms of a variance, and of a summed delta_var, all have one sign.
inline void check_close(const HostPair& got, const std::vector<double>& mean,
                        const std::vector<double>& var, double tolerance) {
  REQUIRE(got.mean.size() == mean.size());
  double scale = 0, mean_error = 0, var_error = 0;
  for (double value : mean) scale = std::max(scale, std::fabs(value));
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const double difference = std::fabs(got.mean[i] - mean[i]);
    if (!(difference <= mean_error)) mean_error = difference;
    const double relative =
        var[i] == 0 ? std::fabs(got.var[i]) : std::fabs(got.var[i] / var[i] - 1);
    if (!(relative <= var_error)) var_error = relative;
  }
  CHECK(mean_error <= tolerance * scale);
  CHECK(var_error <= tolerance);
}

/// The parameters of relu_network(widths) in float64.
inline Float64Network float64_network(const Problem& problem, const std::vector<Index>& widths) {
  Float64Network network;
  std::size_t offset = 0;
  const auto take = [&](Index rows, Index cols) {
    Gaussians part(static_cast<std::size_t>(rows), static_cast<std::size_t>(cols));
    for (std::size_t i = 0; i < part.mean.size(); ++i, ++offset) {
      part.mean[i] = problem.parameters.mean[offset];
      part.var[i] = problem.parameters.var[offset];
    }
    return part;
  };
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    Gaussians weight = take(widths[i + 1], widths[i]);
    Gaussians bias = take(1, i % 2 == 0 ? widths[i + 1] : 0);
    const bool last = i + 2 == widths.size();
    network.layers.push_back({weight, bias, last ? ActivationTruth(identity_truth) : relu_truth});
  }
  return network;
}

/// What a network predicts and has to learn, in float64: means and variances of the prediction, of
/// the innovations of the parameters and of those of the input.
inline void float64_truth(const Problem& problem, const Float64Network& network, float spread,
                          std::vector<std::vector<double>>& truth) {
  Gaussians input(static_cast<std::size_t>(problem.rows),
                  static_cast<std::size_t>(problem.in_features));
  input.mean = doubles(problem.input.mean);
  if (!problem.input.var.empty()) input.var = doubles(problem.input.var);
  const Float64Network::Pass pass = network.forward(input);
  Gaussians delta(pass.output.rows, pass.output.cols);
  for (std::size_t i = 0; i < delta.mean.size(); ++i) {
    if (std::isnan(problem.target[i])) continue;
    const double total = pass.output.var[i] * spread + problem.noise_var[i];
    delta.mean[i] = (problem.target[i] - pass.output.mean[i]) / total;
    delta.var[i] = -1 / total;
  }
  const std::vector<Float64Layer> innovations = network.backward(pass, delta);
  std::vector<double> mean, var;
  for (const Float64Layer& layer : innovations) {
    for (const Gaussians* part : {&layer.weight, &layer.bias}) {
      mean.insert(mean.end(), part->mean.begin(), part->mean.end());
      var.insert(var.end(), part->var.begin(), part->var.end());
    }
  }
  truth = {pass.output.mean, pass.output.var, mean, var, delta.mean, delta.var};
}

inline void float64_truth(const Problem& problem, const std::vector<Index>& widths, float spread,
                          std::vector<std::vector<double>>& truth) {
  float64_truth(problem, float64_network(problem, widths), spread, truth);
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

inline void check_same(const HostPair& a, const HostPair& b) {
  CHECK(same_bits(a.mean, b.mean));
  CHECK(same_bits(a.var, b.var));
}

inline std::unique_ptr<Executor> fuse(Backend& backend, const LayerPointer& network,
                                      Index features = 1) {
  return backend.fuse(steps_of(network), graph_executor(backend, network, features));
}

/// Updates by the batch that was learned last.
inline Failure update(Backend& backend, Executor& executor, const UpdateRule& rule, Index rows,
                      MomentsView parameters) {
  const TrainingState start;
  Buffer<TrainingState> state(backend);
  state.assign(start);
  executor.update(rule, rows, parameters, state.data());
  return state.first().failure;
}

}  // namespace tagix::test
