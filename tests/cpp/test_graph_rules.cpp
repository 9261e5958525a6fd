#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "conformance/suite.h"
#include "float64_graph.h"
#include "graph_problem.h"
#include "layers/concat.h"
#include "layers/residual.h"

using namespace tagix;
using namespace tagix::test;
using graph::Value;

namespace {

constexpr math::ActivationSpec relu{ActivationKind::relu, MomentsForm::exact};

/// A graph with every operation: values read twice, weights used twice, columns of the row that are
/// read twice and not at all, a parameter that nothing reads.
std::shared_ptr<const Graph> every_operation(bool with_residual) {
  GraphBuilder g;
  const auto weight = [&g](const char* name, Index out, Index in) {
    return g.parameter({name, {out, in}, 0.6f});
  };
  const auto bias = [&g](const char* name, Index out) { return g.parameter({name, {out}, 0.5f}); };
  const Value image = g.input({{4, 4}, 2}, 1);
  const Value time = g.input(3, 34), again = g.input(2, 35);
  const Parameter shared = weight("shared", 3, 3);
  const Value a = g.affine(image, weight("image", 3, 2), bias("image_bias", 3));
  bias("unused", 7);
  const Value sum = g.add(a, g.affine(time, shared, bias("time_bias", 3)));
  const Value rectified = g.activate(sum, relu);
  const Value skip = with_residual ? g.add(sum, rectified) : g.add(sum, a);
  const Value pooled = g.mix(rectified, window({4, 4}, 2, 2, 0, 0.25f));
  const Value resampled = g.mix(pooled, nearest({2, 2}, 2));
  const Value gated = g.product(resampled, g.affine(skip, shared, std::nullopt));
  const Value scaled = g.product(gated, time);
  const Value joined = g.concat(
      std::array{g.affine(scaled, shared, std::nullopt), g.slice(skip, 1, 2), image, gated});
  const Value smoothed = g.mix(joined, window({4, 4}, 3, 1, 1, 1.0f / 9));
  const Value flat = g.reshape(smoothed, 16 * 10);
  const Value part = g.activate(g.slice(flat, 5, 30), relu);
  // Two parameters as one weight, of which the second is used alone, too.
  const Parameter low = weight("low", 1, 3), high = weight("high", 2, 3);
  const Value by_both = g.affine(time, g.stacked(low, high), std::nullopt);
  const Value by_high = g.affine(time, high, std::nullopt);
  const Value out = g.affine(part, weight("out", 2, 30), bias("out_bias", 2));
  const Value more = g.product(g.add(g.slice(by_both, 0, 2), by_high), again);
  return std::make_shared<const Graph>(g.finish(g.add(g.add(out, again), more)));
}

/// A graph with every operation of windows and norms: a convolution of two values by one weight,
/// one turned round, one whose windows have gaps; values that are read twice.
std::shared_ptr<const Graph> image_operations() {
  GraphBuilder g;
  const auto weight = [&g](const char* name, Index out, Index in) {
    return g.parameter({name, {out, in}, 0.4f});
  };
  const auto bias = [&g](const char* name, Index out) { return g.parameter({name, {out}, 0.5f}); };
  const Value image = g.input({{4, 4}, 3}, 1);
  const Value normed = g.normalise(image, 1, /*per_position=*/false, true, true, 0.1f);
  const Parameter down = weight("down", 5, 9 * 3);
  const Taps halving = window({4, 4}, 3, 2, 1);
  const Value coarse = g.add(g.affine(image, down, bias("down_bias", 5), halving),
                             g.affine(normed, down, std::nullopt, halving));
  const std::array<WindowAxis, 2> doubling{WindowAxis{3, 2, 1, 0}, WindowAxis{2, 2, 0, 0}};
  const Value fine = g.affine(g.activate(coarse, relu), weight("up", 3, 6 * 5), bias("up_bias", 3),
                              transposed_window({2, 2}, doubling, std::array<Index, 2>{0, 0}));
  const std::array<WindowAxis, 2> apart{WindowAxis{2, 1, 1, 1, 2}, WindowAxis{3, 1, 1, 1}};
  const Value between = g.affine(g.activate(fine, relu), weight("between", 4, 6 * 3),
                                 bias("between_bias", 4), window({4, 4}, apart));
  const Value largest = g.largest(between, window({4, 4}, 3, 1, 1));
  const Value by_group = g.normalise(g.concat(std::array{largest, between}), 4,
                                     /*per_position=*/false, false, true, 0.1f);
  const Value by_position = g.normalise(by_group, 1, /*per_position=*/true, true, true, 0.1f);
  const Value pooled = g.mix(by_position, window({4, 4}, 2, 2, 0, 0.25f));
  const Value flat = g.reshape(pooled, 4 * 8);
  return std::make_shared<const Graph>(
      g.finish(g.affine(flat, weight("out", 2, 32), bias("out_bias", 2))));
}

std::vector<std::shared_ptr<const Graph>> all_operations() {
  return {every_operation(false), every_operation(true), image_operations()};
}

struct Truth {
  std::vector<double> mean, var;
  Float64Graph::Innovations innovations;
};

std::vector<double> variances(const HostPair& pair) { return doubles(pair.var); }

Truth truth_of(const Graph& graph, const Problem& problem, float spread) {
  const Float64Graph network(graph, doubles(problem.parameters.mean),
                             doubles(problem.parameters.var));
  const auto rows = static_cast<std::size_t>(problem.rows);
  const auto values = network.forward(doubles(problem.input.mean), variances(problem.input), rows);
  const GraphValue& output = network.output(values);
  GraphValue delta(output.mean.size());
  for (std::size_t i = 0; i < delta.mean.size(); ++i) {
    if (std::isnan(problem.target[i])) continue;
    const double total = output.var[i] * spread + problem.noise_var[i];
    delta.mean[i] = (problem.target[i] - output.mean[i]) / total;
    delta.var[i] = -1 / total;
  }
  Truth truth{output.mean, output.var, network.backward(values, delta, rows)};
  for (std::vector<double>* vars :
       {&truth.innovations.parameter_var, &truth.innovations.input_var}) {
    for (double& var : *vars) {
      // float32 has none below 1e-38, and normal tails may count as 0 beyond 8 standard deviations.
      if (std::fabs(var) < 1e-28) var = 0;
    }
  }
  return truth;
}

void check_close(const Result& got, const Truth& truth, double tolerance) {
  check_close(got.prediction, truth.mean, truth.var, tolerance);
  const Float64Graph::Innovations& innovations = truth.innovations;
  check_close(got.innovation, innovations.parameter_mean, innovations.parameter_var, tolerance);
  check_close(got.input_delta, innovations.input_mean, innovations.input_var, tolerance);
}

}  // namespace

TEST_CASE("every operation is within float32 of float64, forward and backward") {
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    unsigned seed = 1;
    for (const std::shared_ptr<const Graph>& graph : all_operations()) {
      const auto executor = make_graph_executor(*backend, graph);
      for (Index rows : {1, 2, 17}) {
        for (bool uncertain : {false, true}) {
          INFO(backend->name(), ", ", rows, " rows, uncertain input ", uncertain);
          const Problem problem(*graph, rows, uncertain, seed += 40);
          const Result got = learn(*backend, *executor, problem, 1.5f);
          check_close(got, truth_of(*graph, problem, 1.5f), 2e-5);
          check_same(learn(*backend, *executor, problem, 1.5f, false).innovation, got.innovation);
          check_same(predict(*backend, *executor, problem), got.prediction);
        }
      }
    }
  }
}

TEST_CASE("every operation of means alone is within float32 of float64") {
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    for (const std::shared_ptr<const Graph>& graph : all_operations()) {
      const Problem problem(*graph, 17, false, 77);
      Float64Graph network(*graph, doubles(problem.parameters.mean),
                           std::vector<double>(problem.parameters.mean.size(), 0));
      network.activation = [](ActivationKind, double mean, double) {
        return ScalarMoments{std::max(mean, 0.0), 0, 0};
      };
      const GraphValue truth = network.output(network.forward(doubles(problem.input.mean), {}, 17));
      for (Index bytes : {Index{1}, Index{1} << 30}) {
        INFO(backend->name(), ", ", graph->nodes.size(), " operations, ", bytes, " bytes");
        const auto executor = make_graph_executor(*backend, graph, bytes);
        predict(*backend, *executor, problem);  // leaves variances behind
        check_close(predict_means(*backend, *executor, problem), truth.mean,
                    std::vector<double>(truth.mean.size(), 0), 2e-5);
      }
    }
  }
}

TEST_CASE("a batch is cut by the bytes that a row takes") {
  for (const std::shared_ptr<Backend>& backend : conformance::devices()) {
    const std::shared_ptr<const Graph> graph = every_operation(true);
    const Problem problem(*graph, 23, true, 900);
    const Truth truth = truth_of(*graph, problem, 2);
    const auto whole = make_graph_executor(*backend, graph);
    for (Index bytes : {1, 20'000, 100'000}) {
      INFO(backend->name(), ", ", bytes, " bytes");
      const auto executor = make_graph_executor(*backend, graph, bytes);
      check_close(learn(*backend, *executor, problem, 2), truth, 2e-5);
      check_same(learn(*backend, *executor, problem, 2, false).innovation,
                 learn(*backend, *executor, problem, 2).innovation);
      check_same(predict(*backend, *executor, problem), predict(*backend, *whole, problem));
    }
  }
}

TEST_CASE("x + f(x) has the moments of a function of its own, by Simpson's rule") {
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const std::vector<std::pair<LayerPointer, std::function<double(double)>>> functions{
      {activation(ActivationKind::identity), [](double x) { return x; }},
      {activation(ActivationKind::relu), [](double x) { return std::max(x, 0.0); }},
      {activation(ActivationKind::tanh), [](double x) { return std::tanh(x); }},
      {activation(ActivationKind::sigmoid), sigmoid},
      {activation(ActivationKind::silu), [sigmoid](double x) { return x * sigmoid(x); }},
      {std::make_shared<FunctionActivation>(std::make_shared<Cubic>(), MomentsForm::exact),
       [](double x) { return x - 0.1 * x * x * x; }},
  };
  for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
    for (const auto& [layer, f] : functions) {
      INFO(backend->name(), ", ", layer->name());
      const LayerPointer network = std::make_shared<Residual>(layer);
      const auto executor = make_graph_executor(*backend, graph_of(network, {3}));
      const Problem problem(*network, 20, 3, true, 12);
      const Result got = learn(*backend, *executor, problem, 1);
      const ActivationTruth truth = simpson_truth([&f](double x) { return x + f(x); }, {0.0});
      for (std::size_t i = 0; i < got.prediction.mean.size(); ++i) {
        const ScalarMoments expected = truth(problem.input.mean[i], problem.input.var[i]);
        CHECK(got.prediction.mean[i] == doctest::Approx(expected.mean).epsilon(2e-5));
        CHECK(got.prediction.var[i] == doctest::Approx(expected.var).epsilon(2e-4));
        if (std::isnan(problem.target[i])) continue;
        const double total = expected.var + problem.noise_var[i];
        CHECK(got.input_delta.var[i] ==
              doctest::Approx(-expected.jacobian * expected.jacobian / total).epsilon(2e-4));
      }
    }
  }
}

TEST_CASE("Jacobians of every operation against central differences in float64") {
  const std::shared_ptr<const Graph> graph = every_operation(false);
  const auto n_in = static_cast<std::size_t>(graph->row_size);
  for (bool uncertain : {false, true}) {
    const Problem problem(*graph, 3, uncertain, 33);
    const Float64Graph network(*graph, doubles(problem.parameters.mean),
                               doubles(problem.parameters.var));
    std::vector<double> truth(3 * 2 * n_in);
    constexpr double h = 1e-5;
    for (std::size_t k = 0; k < n_in; ++k) {
      const auto moved = [&](double by) {
        std::vector<double> mean = doubles(problem.input.mean);
        for (std::size_t row = 0; row < 3; ++row) mean[row * n_in + k] += by;
        return network.output(network.forward(mean, variances(problem.input), 3)).mean;
      };
      const std::vector<double> right = moved(h), left = moved(-h);
      for (std::size_t i = 0; i < right.size(); ++i) {
        truth[i * n_in + k] = (right[i] - left[i]) / (2 * h);
      }
    }
    for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
      INFO(backend->name(), ", uncertain input ", uncertain);
      for (Index bytes : {default_pass_bytes, Index{1}}) {
        const auto executor = make_graph_executor(*backend, graph, bytes);
        const HostLinearized got =
            linearize(*backend, *executor, problem, {2, graph->row_size, Covariances::none});
        CHECK(largest_error(got.jacobian, truth) < 2e-5);
        check_same(got.prediction, predict(*backend, *executor, problem));
      }
    }
  }
}

namespace {

/// Sums, products and sums over positions of values that vary together, of weights that are each
/// used once.
std::shared_ptr<const Graph> covarying() {
  GraphBuilder g;
  const auto weight = [&g](const char* name, Index out, Index in) {
    return g.parameter({name, {out, in}, 0.7f});
  };
  const Value x = g.input(3, 0);
  const Value y = g.affine(x, weight("first", 6, 3), g.parameter({"bias", {6}, 0.5f}));
  const Value branch = g.affine(g.activate(y, relu), weight("second", 6, 6), std::nullopt);
  const Value sum = g.add(y, branch);
  const Value skip = g.add(sum, g.activate(sum, relu));
  const Value grid = g.reshape(g.slice(skip, 1, 4), {{2, 2}, 1});
  const Value pooled = g.reshape(g.mix(grid, window({2, 2}, 2, 1, 0, 0.25f)), Shape{1});
  const Value gate = g.product(g.input(3, 3), g.slice(skip, 3, 3));
  const Value joined = g.concat(std::array{gate, pooled, x});
  return std::make_shared<const Graph>(
      g.finish(g.affine(joined, weight("last", 2, 7), std::nullopt)));
}

/// How the means of the outputs follow those of a node, by central differences of the nodes above:
/// rows x outputs x cols.
std::vector<double> slopes_of(const Float64Graph& network, const std::vector<GraphValue>& values,
                              std::size_t node, const Problem& problem) {
  constexpr double h = 1e-5;
  const auto rows = static_cast<std::size_t>(problem.rows);
  const std::size_t n = network.output(values).mean.size(), cols = values[node].mean.size() / rows;
  std::vector<double> slopes(n * cols);
  for (std::size_t k = 0; k < cols; ++k) {
    const auto moved = [&](double by) {
      std::vector<GraphValue> below(values.begin(),
                                    values.begin() + static_cast<std::ptrdiff_t>(node) + 1);
      for (std::size_t row = 0; row < rows; ++row) below[node].mean[row * cols + k] += by;
      return network
          .output(network.forward(std::move(below), doubles(problem.input.mean),
                                  variances(problem.input), rows))
          .mean;
    };
    const std::vector<double> right = moved(h), left = moved(-h);
    for (std::size_t i = 0; i < n; ++i) slopes[i * cols + k] = (right[i] - left[i]) / (2 * h);
  }
  return slopes;
}

/// Adds slope diag(noise) slope^T, of slopes rows x outputs x cols, to the covariances of the
/// outputs; each row has noise of its own unless there is one row of it for all.
void add_noise(const std::vector<double>& slopes, const std::vector<double>& noise,
               std::size_t rows, std::vector<double>& covariance) {
  const auto n = static_cast<std::size_t>(
      std::lround(std::sqrt(static_cast<double>(covariance.size() / rows))));
  const std::size_t cols = slopes.size() / (rows * n);
  for (std::size_t i = 0; i < rows * n * n; ++i) {
    const std::size_t row = i / (n * n);
    const std::size_t first = (row * n + i / n % n) * cols, second = (row * n + i % n) * cols;
    const std::size_t from = noise.size() == cols ? 0 : row * cols;
    for (std::size_t k = 0; k < cols; ++k) {
      covariance[i] += slopes[first + k] * slopes[second + k] * noise[from + k];
    }
  }
}

/// The variances that a node adds to those from below, but for what parameters add to its mean.
std::vector<double> added_noise(const Graph& graph, const Float64Graph& network,
                                const std::vector<GraphValue>& values, std::size_t node) {
  const auto at = [](Index i) { return static_cast<std::size_t>(i); };
  const graph::Node& of = graph.nodes[node];
  const GraphValue& value = values[node];
  if (std::holds_alternative<graph::Input>(of.op)) return value.var;
  std::vector<double> noise(value.mean.size());
  if (const auto* affine = std::get_if<graph::Affine>(&of.op)) {
    const GraphValue& x = values[at(affine->x)];
    const std::size_t rows = noise.size() / at(of.shape.size());
    for_each_product(graph, *affine, of.shape, rows,
                     [&](std::size_t z, std::size_t w, std::size_t a) {
                       noise[z] += network.parameter_var[w] * x.var[a];
                     });
  } else if (const auto* activate = std::get_if<graph::Activate>(&of.op)) {
    const GraphValue& z = values[at(activate->x)];
    for (std::size_t i = 0; i < noise.size(); ++i) {
      noise[i] = value.var[i] - value.jacobian[i] * value.jacobian[i] * z.var[i];
    }
  } else if (const auto* product = std::get_if<graph::Product>(&of.op)) {
    for (std::size_t i = 0; i < noise.size(); ++i) {
      noise[i] = values[at(product->a)].var[i] * values[at(product->b)].var[i];
    }
  }
  return noise;
}

/// How the means of the outputs follow parameters by the means of an affine map's input, added up
/// over its positions: to slopes of rows x outputs x parameters, from those of its values.
void add_parameter_slopes(const Graph& graph, std::size_t node, const GraphValue& input,
                          const std::vector<double>& slopes, std::size_t rows,
                          std::vector<double>& parameter_slopes) {
  const auto at = [](Index i) { return static_cast<std::size_t>(i); };
  const auto& op = std::get<graph::Affine>(graph.nodes[node].op);
  const Shape& shape = graph.nodes[node].shape;
  const std::size_t size = at(shape.size()), n_parameters = at(graph.parameter_count());
  const std::size_t outputs = slopes.size() / size / rows;  // of each row, one after the other
  for (std::size_t i = 0; op.bias && i < slopes.size(); ++i) {
    const std::size_t b = at(*op.bias) + i % at(shape.channels);
    parameter_slopes[i / size * n_parameters + b] += slopes[i];
  }
  for_each_product(graph, op, shape, rows, [&](std::size_t z, std::size_t w, std::size_t a) {
    for (std::size_t k = 0; k < outputs; ++k) {
      const std::size_t output = z / size * outputs + k;
      parameter_slopes[output * n_parameters + w] +=
          slopes[output * size + z % size] * input.mean[a];
    }
  });
}

/// The covariances of the outputs by all noises on the way up: each parameter has one noise for all
/// that it adds to a row.
std::vector<double> covariance_truth(const Graph& graph, const Problem& problem) {
  const auto rows = static_cast<std::size_t>(problem.rows);
  const Float64Graph network(graph, doubles(problem.parameters.mean),
                             doubles(problem.parameters.var));
  const auto values = network.forward(doubles(problem.input.mean), variances(problem.input), rows);
  const std::size_t n = network.output(values).mean.size() / rows;
  std::vector<double> covariance(rows * n * n);
  std::vector<double> parameter_slopes(rows * n * network.parameter_var.size());
  for (std::size_t node = 0; node < values.size(); ++node) {
    const std::vector<double> slopes = slopes_of(network, values, node, problem);
    add_noise(slopes, added_noise(graph, network, values, node), rows, covariance);
    if (const auto* affine = std::get_if<graph::Affine>(&graph.nodes[node].op)) {
      add_parameter_slopes(graph, node, values[static_cast<std::size_t>(affine->x)], slopes, rows,
                           parameter_slopes);
    }
  }
  add_noise(parameter_slopes, network.parameter_var, rows, covariance);
  return covariance;
}

}  // namespace

TEST_CASE("covariances are those of all noises on the way up, by differences in float64") {
  for (const auto& graph : {covarying(), every_operation(false), image_operations()}) {
    for (bool uncertain : {false, true}) {
      const Problem problem(*graph, 6, uncertain, 71);
      const std::vector<double> truth = covariance_truth(*graph, problem);
      for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
        INFO(backend->name(), ", uncertain input ", uncertain);
        for (Index bytes : {default_pass_bytes, Index{1}}) {
          const auto executor = make_graph_executor(*backend, graph, bytes);
          for (Index n_directions : {0, 3}) {
            const HostLinearized got =
                linearize(*backend, *executor, problem, {2, n_directions, Covariances::all});
            CHECK(largest_error(got.covariance, truth) < 2e-5);
            const HostLinearized variances =
                linearize(*backend, *executor, problem, {2, n_directions, Covariances::variances});
            for (std::size_t i = 0; i < variances.covariance.size(); ++i) {
              CHECK(variances.covariance[i] == doctest::Approx(truth[i / 2 * 4 + i % 2 * 3]));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("the positions of a grid share a noise, and have their own of uncertain inputs") {
  // y_p = w x_p + b: Cov(y_p, y_q) = w_var x_p x_q + b_var + [p = q] x_var (w^2 + w_var).
  GraphBuilder g;
  const Value image = g.input({{2, 2}, 1}, 0);
  const Parameter weight = g.parameter({"weight", {1, 1}, 0.7f});
  const Value map = g.affine(image, weight, g.parameter({"bias", {1}, 0.5f}));
  const auto graph = std::make_shared<const Graph>(g.finish(g.reshape(map, Shape{4})));
  for (bool uncertain : {false, true}) {
    const Problem problem(*graph, 5, uncertain, 5);
    const auto& [mean, var] = problem.parameters;
    std::vector<double> truth;
    for (std::size_t i = 0; i < std::size_t{5 * 16}; ++i) {
      const std::size_t p = i / 16 * 4 + i / 4 % 4, q = i / 16 * 4 + i % 4;
      double covariance = double{var[0]} * problem.input.mean[p] * problem.input.mean[q] + var[1];
      if (uncertain && p == q) {
        covariance += problem.input.var[p] * (double{mean[0]} * mean[0] + var[0]);
      }
      truth.push_back(covariance);
    }
    for (const std::shared_ptr<Backend>& backend : conformance::float32_backends()) {
      INFO(backend->name(), ", uncertain input ", uncertain);
      const auto got = linearize(*backend, *make_graph_executor(*backend, graph), problem,
                                 {4, 0, Covariances::all});
      CHECK(largest_error(got.covariance, truth) < 2e-6);
    }
  }
}
