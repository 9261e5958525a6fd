#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <variant>
#include <vector>

#include "conformance/suite.h"
#include "graph_problem.h"

using namespace tagix;
using namespace tagix::test;

namespace {

double value_of(ActivationKind kind, double z) {
  const double sigmoid = 1 / (1 + std::exp(-z));
  switch (kind) {
    case ActivationKind::relu:
      return std::max(z, 0.0);
    case ActivationKind::leaky_relu:
      return z > 0 ? z : double{0.01f} * z;
    case ActivationKind::tanh:
      return std::tanh(z);
    case ActivationKind::silu:
      return z * sigmoid;
    case ActivationKind::gelu:
      return z * 0.5 * std::erfc(-z / std::sqrt(2.0));
    case ActivationKind::sigmoid:
      return sigmoid;
    default:
      return z;
  }
}

/// The outputs of a chain of steps for the means of a problem.
std::vector<double> outputs_of(const std::vector<ChainStep>& steps, const Problem& problem) {
  std::vector<double> values = doubles(problem.input.mean);
  const std::vector<double> parameters = doubles(problem.parameters.mean);
  const auto rows = static_cast<std::size_t>(problem.rows);
  std::size_t offset = 0;
  for (const ChainStep& step : steps) {
    if (const auto* spec = std::get_if<math::ActivationSpec>(&step)) {
      for (double& value : values) value = value_of(spec->kind, value);
      continue;
    }
    const auto& affine = std::get<AffineStep>(step);
    const auto in = static_cast<std::size_t>(affine.in_features),
               out = static_cast<std::size_t>(affine.out_features);
    std::vector<double> next(rows * out);
    for (std::size_t i = 0; i < next.size(); ++i) {
      const std::size_t row = i / out, o = i % out;
      if (affine.bias) next[i] = parameters[offset + in * out + o];
      for (std::size_t k = 0; k < in; ++k) {
        next[i] += parameters[offset + o * in + k] * values[row * in + k];
      }
    }
    values = next;
    offset += static_cast<std::size_t>(affine.parameter_count());
  }
  return values;
}

std::vector<LayerPointer> networks() {
  return {relu_network({3, 64, 64, 2}), relu_network({1, 1}), relu_network({5, 17, 3, 1}),
          relu_network({8, 600, 300}),
          sequential({activation(ActivationKind::tanh), linear(6, 10),
                      activation(ActivationKind::silu), linear(10, 31, false),
                      activation(ActivationKind::gelu), activation(ActivationKind::leaky_relu),
                      linear(31, 4), activation(ActivationKind::sigmoid)})};
}

}  // namespace

TEST_CASE("parameters known exactly give the means alone, by every executor, on every backend") {
  for (const std::shared_ptr<Backend>& backend : conformance::backends()) {
    // Factors of bfloat16 have 8 bits.
    const double tolerance = backend->precision() == Precision::bfloat16 ? 3e-2 : 2e-5;
    unsigned seed = 1;
    for (const LayerPointer& network : networks()) {
      const std::vector<ChainStep> steps = steps_of(network);
      const auto by_graph = graph_executor(*backend, network, 6);
      const auto fused = backend->fuse(steps, graph_executor(*backend, network, 6));
      const Index in = network->input_features().value_or(6);
      for (Index rows : {1, 5, 64, 190}) {
        const Problem problem(*network, rows, in, false, seed += 20);
        const std::vector<double> truth = outputs_of(steps, problem);
        for (Executor* executor : {by_graph.get(), fused.get()}) {
          INFO(backend->name(), ", ", in, " inputs, ", rows, " rows, ",
               executor == fused.get() ? "fused" : "by graph");
          predict(*backend, *executor, problem);  // leaves variances behind
          check_close(predict_means(*backend, *executor, problem), truth,
                      std::vector<double>(truth.size(), 0), tolerance);
        }
      }
    }
  }
}

TEST_CASE("a user's activation has its values among means alone") {
  const LayerPointer network =
      sequential({linear(4, 9), std::make_shared<FunctionActivation>(std::make_shared<Cubic>(),
                                                                     MomentsForm::exact)});
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    const auto executor = graph_executor(*backend, network);
    const Problem problem(*network, 40, 4, false, 3);
    std::vector<double> truth = outputs_of({AffineStep{4, 9, true}}, problem);
    for (double& value : truth) value -= 0.1 * value * value * value;
    check_close(predict_means(*backend, *executor, problem), truth,
                std::vector<double>(truth.size(), 0), 2e-5);
  }
}
