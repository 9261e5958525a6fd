#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <numbers>
#include <random>

#include "core/layer.h"
#include "graph/builder.h"
#include "graph/graph_executor.h"
#include "graph/topology.h"
#include "layers/activation.h"
#include "layers/linear.h"
#include "layers/sequential.h"
#include "test_helpers.h"

using namespace tagix;
using namespace tagix::test;

namespace {

/// One forward and one backward pass of a layer as a graph.
struct LayerRun {
  Gaussians output, input_delta, innovation;

  /// `input.var` all 0 is passed on as an input known exactly if `known`.
  LayerRun(const Layer& layer, const HostPair& parameters, const Gaussians& input,
           const Gaussians& output_delta, bool known = false, bool need_input_delta = true) {
    const std::shared_ptr<Backend> backend = cpu_backend();
    const std::array shapes{Shape(static_cast<Index>(input.cols))};
    const auto executor =
        make_graph_executor(*backend, std::make_shared<const Graph>(graph_of(layer, shapes)));
    Moments device_input(*backend), device_parameters(*backend);
    const auto rows = static_cast<Index>(input.rows), cols = static_cast<Index>(input.cols);
    upload(*backend, device_input, rows, cols, floats(input.mean), floats(input.var));
    const auto count = static_cast<Index>(parameters.mean.size());
    upload(*backend, device_parameters, 1, count, parameters.mean, parameters.var);
    ConstMomentsView a = device_input.view();
    if (known) a.var = nullptr;
    const ConstMomentsView theta = device_parameters.view();
    output = host(*backend, executor->predict(theta, a));

    // Targets from which the output learns just `output_delta`, whatever its variance.
    std::vector<float> target, noise_var;
    for (std::size_t i = 0; i < output.mean.size(); ++i) {
      noise_var.push_back(static_cast<float>(-1 / output_delta.var[i]));
      target.push_back(
          static_cast<float>(output.mean[i] + output_delta.mean[i] * double{noise_var.back()}));
    }
    Buffer<float> device_target(*backend), device_noise(*backend);
    device_target.assign(target);
    device_noise.assign(noise_var);
    const NoiseView noise{device_noise.data(), static_cast<Index>(output.cols), 1};
    const Learned learned =
        executor->learn(theta, a, {device_target.data(), noise, /*spread=*/0}, need_input_delta);
    if (need_input_delta) input_delta = host(*backend, learned.input_delta);
    innovation = host(*backend, executor->innovation());
  }

  static std::vector<float> floats(const std::vector<double>& values) {
    return {values.begin(), values.end()};
  }

 private:
  static void upload(Backend& backend, Moments& to, Index rows, Index cols,
                     const std::vector<float>& mean, const std::vector<float>& var) {
    to.resize(rows, cols);
    backend.upload(on_host(mean), to.view().mean, rows * cols);
    backend.upload(on_host(var), to.view().var, rows * cols);
  }
  static Gaussians host(Backend& backend, ConstMomentsView view) {
    std::vector<float> mean(static_cast<std::size_t>(view.size())), var(mean.size());
    download(backend, view, mean, var);
    Gaussians result(static_cast<std::size_t>(view.rows), static_cast<std::size_t>(view.cols));
    result.mean.assign(mean.begin(), mean.end());
    result.var.assign(var.begin(), var.end());
    return result;
  }
};

/// Gaussians of float32 numbers.
Gaussians gaussians(std::size_t rows, std::size_t cols, unsigned seed, double var_sign = 1) {
  Gaussians result(rows, cols);
  result.mean = doubles(uniform_floats(rows * cols, -1.5, 1.5, seed));
  result.var = doubles(uniform_floats(rows * cols, 0.05, 1, seed + 1));
  for (double& var : result.var) var *= var_sign;
  return result;
}

HostPair random_parameters(const Layer& layer, unsigned seed) {
  const std::array shapes{Shape(*layer.input_features())};
  const auto count = static_cast<std::size_t>(graph_of(layer, shapes).parameter_count());
  return {uniform_floats(count, -1, 1, seed), uniform_floats(count, 0.01, 0.5, seed + 1)};
}

/// The largest error over a plane, relative to the largest value of its kind.
double worst(const std::vector<double>& got, const std::vector<double>& truth) {
  REQUIRE(got.size() == truth.size());
  double error = 0, scale = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double difference = std::fabs(got[i] - truth[i]);
    if (!(difference <= error)) error = difference;
    scale = std::max(scale, std::fabs(truth[i]));
  }
  return error == 0 ? 0 : error / scale;
}

void check_close(const Gaussians& got, const Gaussians& truth, double tolerance) {
  CHECK(worst(got.mean, truth.mean) < tolerance);
  CHECK(worst(got.var, truth.var) < tolerance);
}

std::shared_ptr<Linear> linear(Index in, Index out, bool bias = true) {
  return std::make_shared<Linear>(in, out, bias, Linear::Init::he, 1.0, 1.0);
}

std::shared_ptr<Activation> relu() {
  return std::make_shared<Activation>(
      math::ActivationSpec{math::ActivationKind::relu, math::MomentsForm::exact});
}

/// A float64 layer with the parameters of a Linear.
Float64Layer float64_linear(std::size_t in, std::size_t out, bool bias,
                            const HostPair& parameters) {
  Float64Layer layer{Gaussians(out, in), Gaussians(1, bias ? out : 0), identity_truth};
  const auto mean = parameters.mean.begin(), var = parameters.var.begin();
  const auto split = static_cast<std::ptrdiff_t>(in * out);
  layer.weight.mean.assign(mean, mean + split);
  layer.weight.var.assign(var, var + split);
  if (bias) {
    layer.bias.mean.assign(mean + split, parameters.mean.end());
    layer.bias.var.assign(var + split, parameters.var.end());
  }
  return layer;
}

/// sin, as a user would give it.
struct Sine final : ScalarFunction {
  void evaluate(const float* points, Index count, float* values,
                float* derivatives) const override {
    for (Index i = 0; i < count; ++i) {
      values[i] = std::sin(points[i]);
      derivatives[i] = std::cos(points[i]);
    }
  }
};

}  // namespace

TEST_CASE("Linear passes moments forward and innovations back") {
  for (bool bias : {true, false}) {
    for (bool known : {true, false}) {
      for (std::size_t rows : {1, 7, 130}) {
        CAPTURE(bias);
        CAPTURE(known);
        CAPTURE(rows);
        const auto layer = linear(5, 3, bias);
        const HostPair parameters = random_parameters(*layer, 7);
        Gaussians input = gaussians(rows, 5, 11);
        if (known) std::fill(input.var.begin(), input.var.end(), 0.0);
        Gaussians delta = gaussians(rows, 3, 17, -1);
        const LayerRun run(*layer, parameters, input, delta, known);

        const Float64Network truth{{float64_linear(5, 3, bias, parameters)}};
        const Float64Network::Pass pass = truth.forward(input);
        const Float64Layer innovation = truth.backward(pass, delta).front();
        check_close(run.output, pass.output, 1e-6);
        check_close(run.input_delta, delta, 1e-6);
        Gaussians flat(1, run.innovation.cols);
        flat.mean = innovation.weight.mean;
        flat.var = innovation.weight.var;
        flat.mean.insert(flat.mean.end(), innovation.bias.mean.begin(), innovation.bias.mean.end());
        flat.var.insert(flat.var.end(), innovation.bias.var.begin(), innovation.bias.var.end());
        check_close(run.innovation, flat, 2e-6);
      }
    }
  }
}

TEST_CASE("Linear has the moments of products of Gaussian draws") {
  const auto layer = linear(4, 2);
  const HostPair parameters = random_parameters(*layer, 3);
  const Gaussians input = gaussians(1, 4, 5);
  const Gaussians output = LayerRun(*layer, parameters, input, gaussians(1, 2, 9, -1)).output;

  constexpr int n = 400000;
  std::mt19937_64 engine(1);
  std::normal_distribution<double> normal;
  for (std::size_t o = 0; o < 2; ++o) {
    double sum = 0, squares = 0;
    for (int draw = 0; draw < n; ++draw) {
      const auto sample = [&](double mean, double var) {
        return mean + std::sqrt(var) * normal(engine);
      };
      double z = sample(parameters.mean[8 + o], parameters.var[8 + o]);
      for (std::size_t i = 0; i < 4; ++i) {
        z += sample(parameters.mean[o * 4 + i], parameters.var[o * 4 + i]) *
             sample(input.mean[i], input.var[i]);
      }
      const double deviation = z - output.mean[o];
      sum += deviation;
      squares += deviation * deviation;
    }
    // Five standard errors; the fourth moment of such a z is below 6 var^2.
    CHECK(std::fabs(sum / n) < 5 * std::sqrt(output.var[o] / n));
    CHECK(std::fabs(squares / n - output.var[o]) < 5 * output.var[o] * std::sqrt(5.0 / n));
  }
}

TEST_CASE("activations pass the moments of f(z) forward and scale innovations back") {
  using math::ActivationKind;
  const auto sigmoid = [](double z) { return 1 / (1 + std::exp(-z)); };
  const auto normal_cdf = [](double z) { return std::erfc(-z / std::numbers::sqrt2) / 2; };
  struct Row {
    ActivationKind kind;
    std::function<double(double)> function;
    std::vector<double> kinks;
  };
  const std::vector<Row> table{
      {ActivationKind::identity, [](double z) { return z; }, {}},
      {ActivationKind::relu, [](double z) { return std::max(z, 0.0); }, {0}},
      {ActivationKind::leaky_relu, [](double z) { return z > 0 ? z : 0.25 * z; }, {0}},
      {ActivationKind::hardtanh, [](double z) { return std::clamp(z, -1.0, 1.0); }, {-1, 1}},
      {ActivationKind::sigmoid, sigmoid, {}},
      {ActivationKind::tanh, [](double z) { return std::tanh(z); }, {}},
      {ActivationKind::softplus, [](double z) { return std::log1p(std::exp(z)); }, {}},
      {ActivationKind::silu, [&](double z) { return z * sigmoid(z); }, {}},
      {ActivationKind::gelu, [&](double z) { return z * normal_cdf(z); }, {}},
      {ActivationKind::exp, [](double z) { return std::exp(z); }, {}},
  };
  REQUIRE(table.size() == math::n_activation_kinds);
  for (const Row& row : table) {
    for (math::MomentsForm form : {math::MomentsForm::exact, math::MomentsForm::first_order}) {
      const bool exact_form = form == math::MomentsForm::exact;
      INFO(std::string(math::activation_name(row.kind)), (exact_form ? " exact" : " first_order"));
      const Activation layer({row.kind, form, 0.25f});
      CHECK(layer.name() == math::activation_name(row.kind));
      const Gaussians input = gaussians(13, 5, 21), delta = gaussians(13, 5, 31, -1);
      const LayerRun run(layer, {}, input, delta);

      Gaussians output(13, 5), below = delta;
      const ActivationTruth by_simpson = simpson_truth(row.function, row.kinks);
      for (std::size_t i = 0; i < input.mean.size(); ++i) {
        ScalarMoments moments = by_simpson(input.mean[i], input.var[i]);
        if (!exact_form) {
          constexpr double step = 1e-6;
          const double slope =
              (row.function(input.mean[i] + step) - row.function(input.mean[i] - step)) /
              (2 * step);
          moments = {row.function(input.mean[i]), slope * slope * input.var[i], slope};
        }
        output.mean[i] = moments.mean;
        output.var[i] = moments.var;
        below.mean[i] *= moments.jacobian;
        below.var[i] *= moments.jacobian * moments.jacobian;
      }
      // Quadrature is good to 9e-5 in the worst case, and better for variances up to 1.
      check_close(run.output, output, 3e-5);
      check_close(run.input_delta, below, 3e-5);
    }
  }
}

TEST_CASE("an activation of the user's own has the moments of its function") {
  // More elements than are evaluated at a time.
  for (std::size_t rows : {3, 4000}) {
    const Gaussians input = gaussians(rows, 5, 41), delta = gaussians(rows, 5, 43, -1);
    Gaussians exact(rows, 5), exact_below = delta, first(rows, 5), first_below = delta;
    for (std::size_t i = 0; i < input.mean.size(); ++i) {
      const double m = input.mean[i], v = input.var[i], decay = std::exp(-v / 2);
      exact.mean[i] = std::sin(m) * decay;
      exact.var[i] = (1 - std::cos(2 * m) * std::exp(-2 * v)) / 2 - exact.mean[i] * exact.mean[i];
      exact_below.mean[i] *= std::cos(m) * decay;
      exact_below.var[i] *= std::pow(std::cos(m) * decay, 2);
      first.mean[i] = std::sin(m);
      first.var[i] = std::pow(std::cos(m), 2) * v;
      first_below.mean[i] *= std::cos(m);
      first_below.var[i] *= std::pow(std::cos(m), 2);
    }
    const auto sine = std::make_shared<Sine>();
    const LayerRun exact_run(FunctionActivation(sine, math::MomentsForm::exact), {}, input, delta);
    check_close(exact_run.output, exact, 5e-5);
    check_close(exact_run.input_delta, exact_below, 5e-5);
    const LayerRun first_run(FunctionActivation(sine, math::MomentsForm::first_order), {}, input,
                             delta);
    check_close(first_run.output, first, 1e-6);
    check_close(first_run.input_delta, first_below, 1e-6);
  }
}

TEST_CASE("Sequential is its layers one after the other, nested or not") {
  const auto first = linear(4, 6), second = linear(6, 5, false), third = linear(5, 2);
  const Sequential flat({first, relu(), second, relu(), third});
  const Sequential nested(
      {std::make_shared<Sequential>(std::vector<std::shared_ptr<const Layer>>{first, relu()}),
       std::make_shared<Sequential>(std::vector<std::shared_ptr<const Layer>>{
           second, std::make_shared<Sequential>(
                       std::vector<std::shared_ptr<const Layer>>{relu(), third})})});
  const HostPair parameters = random_parameters(flat, 51);
  const Gaussians input = gaussians(19, 4, 53), delta = gaussians(19, 2, 57, -1);
  const LayerRun flat_run(flat, parameters, input, delta);
  const LayerRun nested_run(nested, parameters, input, delta);
  CHECK(flat_run.output.mean == nested_run.output.mean);
  CHECK(flat_run.output.var == nested_run.output.var);
  CHECK(flat_run.input_delta.mean == nested_run.input_delta.mean);
  CHECK(flat_run.input_delta.var == nested_run.input_delta.var);
  CHECK(flat_run.innovation.mean == nested_run.innovation.mean);
  CHECK(flat_run.innovation.var == nested_run.innovation.var);

  // Without the innovation of the input, those of the parameters are the same.
  const LayerRun no_input(flat, parameters, input, delta, false, false);
  CHECK(no_input.innovation.mean == flat_run.innovation.mean);
  CHECK(no_input.innovation.var == flat_run.innovation.var);

  Float64Network truth;
  std::size_t offset = 0;
  for (const auto& [in, out, bias] :
       {std::tuple<std::size_t, std::size_t, bool>{4, 6, true}, {6, 5, false}, {5, 2, true}}) {
    const std::size_t count = in * out + (bias ? out : 0);
    const auto from = static_cast<std::ptrdiff_t>(offset);
    const auto to = static_cast<std::ptrdiff_t>(offset + count);
    truth.layers.push_back(
        float64_linear(in, out, bias,
                       {{parameters.mean.begin() + from, parameters.mean.begin() + to},
                        {parameters.var.begin() + from, parameters.var.begin() + to}}));
    offset += count;
  }
  truth.layers[0].activation = truth.layers[1].activation = relu_truth;
  const Float64Network::Pass pass = truth.forward(input);
  Gaussians below = delta;
  truth.backward(pass, below);
  check_close(flat_run.output, pass.output, 2e-6);
  check_close(flat_run.input_delta, below, 2e-6);
}

TEST_CASE("parameters have the names, shapes and priors of their layers") {
  const Sequential network(
      {std::make_shared<Linear>(3, 8, true, Linear::Init::he, 0.5, 2.0), relu(),
       std::make_shared<Sequential>(std::vector<std::shared_ptr<const Layer>>{
           std::make_shared<Linear>(8, 10, false, Linear::Init::xavier, 1.0, 1.0), relu()}),
       std::make_shared<Linear>(10, 2, true, Linear::Init::xavier, 3.0, 0.25)});
  const std::array shapes{Shape(3)};
  const Graph graph = graph_of(network, shapes);
  const std::vector<ParameterSpec>& specs = graph.parameters;
  struct Row {
    std::string name;
    std::vector<Index> shape;
    double prior_std;
  };
  const std::vector<Row> truth{{"0.weight", {8, 3}, 0.5 * std::sqrt(1.0 / 3)},
                               {"0.bias", {8}, 2.0 * std::sqrt(1.0 / 3)},
                               {"2.0.weight", {10, 8}, std::sqrt(2.0 / 18)},
                               {"3.weight", {2, 10}, 3.0 * std::sqrt(2.0 / 12)},
                               {"3.bias", {2}, 0.25 * std::sqrt(2.0 / 12)}};
  REQUIRE(specs.size() == truth.size());
  for (std::size_t i = 0; i < specs.size(); ++i) {
    CHECK(specs[i].name == truth[i].name);
    CHECK(specs[i].shape == truth[i].shape);
    CHECK(specs[i].prior_std == doctest::Approx(truth[i].prior_std).epsilon(1e-6));
  }
  CHECK(graph.parameter_count() == 24 + 8 + 80 + 20 + 2);
  CHECK(network.input_features() == 3);
  CHECK(graph.output_shape() == Shape(2));
}

TEST_CASE("layers that do not fit are refused with what was got and what was needed") {
  check_refused([] { linear(0, 3); }, {"in_features", "got 0", "at least 1"});
  check_refused([] { linear(3, -1); }, {"out_features", "got -1", "at least 1"});
  check_refused([] { linear(Index{1} << 30, Index{1} << 30); }, {"in_features, out_features"});
  check_refused([] { Linear(3, 3, true, Linear::Init::he, 0.0, 1.0); }, {"gain_weight", "got 0"});
  check_refused([] { Linear(3, 3, true, Linear::Init::he, 1.0, -1.0); }, {"gain_bias", "got -1"});
  check_refused([] { Linear(3, 3, true, Linear::Init::he, 1.0, std::nan("")); },
                {"gain_bias", "got nan"});
  check_refused([] { Sequential({}); }, {"layers", "got none", "at least 1"});
  const auto sequential = [](std::vector<std::shared_ptr<const Layer>> layers) {
    return std::make_shared<Sequential>(std::move(layers));
  };
  CHECK(refusal([&] { Topology{sequential({linear(3, 4), relu(), linear(5, 2)})}; }) ==
        "layer 2: got 4 features, needed 5");
  CHECK(refusal([&] {
          Topology{sequential({relu(), sequential({linear(3, 4), linear(5, 2)})})};
        }) == "layer 1.1: got 4 features, needed 5");
  CHECK(refusal([&] { Topology{linear(3, 4)}.graph_for(2); }) == "x: got 2 features, needed 3");
  check_refused(
      [] {
        Activation({math::ActivationKind::leaky_relu, math::MomentsForm::exact,
                    std::numeric_limits<float>::infinity()});
      },
      {"negative_slope", "got inf"});
}
