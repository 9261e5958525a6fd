#include <doctest/doctest.h>

#include "core/cuda.h"
#include "cuda/fused_executor.h"
#include "cuda/fused_network.h"
#include "cuda_is_there.h"
#include "executor_problem.h"
#include "graph_problem.h"

using namespace tagix;
using namespace tagix::test;

namespace {

enum class Noise { one, per_output, per_target, exp_head, softplus_head };
constexpr unsigned n_noises = 5;

/// The noise head of a network with an even number of outputs; none of another.
math::NoiseHead noise_head(Noise noise, const UpdateRule& rule, Index outputs) {
  using math::NoiseLink;
  if (outputs % 2 != 0 || noise < Noise::exp_head) return {};
  const bool expects = rule.kind == UpdateRule::Kind::information;
  return {noise == Noise::exp_head ? NoiseLink::exp : NoiseLink::softplus, expects,
          expects ? 0.25f : 0.0f};
}

/// What Executor::train leaves behind.
struct Outcome {
  HostPair parameters;
  TrainingState state;
};

Outcome train(Backend& backend, Executor& executor, const Problem& problem, const UpdateRule& rule,
              Index batch_size, Noise noise, const TrainingState& start = {}) {
  Moments parameters(backend), input(backend);
  Buffer<float> target(backend), noise_var(backend);
  Buffer<TrainingState> state(backend);
  state.assign(start);
  const auto count = static_cast<Index>(problem.parameters.mean.size());
  const MomentsView theta = to_device(backend, parameters, 1, count, problem.parameters);
  TrainingRows rows;
  rows.input = to_device(backend, input, problem.rows, problem.in_features, problem.input);
  target.assign(problem.target);
  noise_var.assign(problem.noise_var);
  rows.target = target.data();
  rows.noise = {noise_var.data(), noise == Noise::per_target ? problem.out_features : 0,
                noise == Noise::one ? 0 : 1};
  const math::NoiseHead head = noise_head(noise, rule, problem.out_features);
  if (head.exists()) rows.noise = {nullptr, 0, 0, head};
  executor.train(rule, rows, batch_size, theta, state.data());
  return {to_host(backend, theta), state.first()};
}

bool is_fused(const LayerPointer& network, int rows = cuda::fused_rows) {
  return cuda::plan_fused(steps_of(network), rows, 227 * 1024).has_value();
}

LayerPointer first_order_network() {
  const LayerPointer first_order = activation(ActivationKind::relu, MomentsForm::first_order);
  return sequential({linear(6, 40), first_order, linear(40, 9, false),
                     activation(ActivationKind::leaky_relu), linear(9, 12), linear(12, 5),
                     activation(ActivationKind::identity), linear(5, 3),
                     activation(ActivationKind::leaky_relu, MomentsForm::first_order)});
}

/// CHECKs what the parameters have become, but for rounding.
void check_parameters(const Outcome& got, const Outcome& expected, const Problem& problem,
                      const UpdateRule& rule) {
  const std::vector<double> mean = doubles(expected.parameters.mean);
  const std::vector<double> var = doubles(expected.parameters.var);
  if (rule.kind == UpdateRule::Kind::information) {
    check_close(got.parameters, mean, var, 2e-5);
    return;
  }
  // A difference of variances: its error is relative to the variance that it is taken from.
  check_close({got.parameters.mean, expected.parameters.var}, mean, var, 2e-5);
  double var_error = 0;
  for (std::size_t i = 0; i < problem.parameters.var.size(); ++i) {
    const double scale = std::max(problem.parameters.var[i], expected.parameters.var[i]);
    const double error = std::fabs(got.parameters.var[i] - expected.parameters.var[i]) / scale;
    if (!(error <= var_error)) var_error = error;
  }
  CHECK(var_error <= 2e-5);
}

/// CHECKs that training succeeded and has recorded the same, but for rounding.
void check_state(const TrainingState& got, const TrainingState& expected) {
  const auto close = [](double a, double b) { return std::fabs(a - b) <= 2e-5 * std::fabs(b); };
  CHECK(got.failure == Failure::none);
  CHECK(got.position == expected.position);
  CHECK(got.sums.n_observed == expected.sums.n_observed);
  CHECK(close(got.sums.squared_error, expected.sums.squared_error));
  CHECK(close(got.sums.var, expected.sums.var));
  CHECK(close(got.sums.noise_var, expected.sums.noise_var));
  CHECK(close(got.sums.chi_square, expected.sums.chi_square));
  CHECK(close(got.sums.log_likelihood, expected.sums.log_likelihood));
}

}  // namespace

TEST_CASE("fused training is the graph executor's on the CPU") {
  if (!cuda_is_there()) return;
  const std::shared_ptr<Backend> gpu = cuda_backend(), cpu = cpu_backend();
  const std::vector<LayerPointer> networks{
      relu_network({3, 64, 64, 2}), relu_network({1, 1}),
      relu_network({128, 100, 3}),  relu_network({2, 5, 7, 6, 4, 9, 3, 2, 1}),
      relu_network({5, 128, 4}),    first_order_network()};
  unsigned seed = 1;
  for (const LayerPointer& network : networks) {
    REQUIRE(is_fused(network));
    const Index in = *network->input_features();
    const auto with_clusters =
        cuda::make_fused_executor(*gpu, steps_of(network), graph_executor(*gpu, network));
    const auto without =
        cuda::make_fused_executor(*gpu, steps_of(network), graph_executor(*gpu, network), false);
    const auto by_graph = graph_executor(*cpu, network);
    for (const auto& [rows, batch_size, clusters] :
         std::vector<std::tuple<Index, Index, bool>>{{1, 1, true},
                                                     {9, 1, true},
                                                     {5, 5, true},
                                                     {16, 16, true},
                                                     {17, 17, true},
                                                     {40, 16, true},
                                                     {290, 290, true},
                                                     {290, 290, false},
                                                     {2048, 2048, true},
                                                     {2070, 2070, true}}) {
      const auto& fused = clusters ? with_clusters : without;
      const Problem problem(*network, rows, in, false, seed += 20);
      const Noise noise = static_cast<Noise>(seed / 20 % n_noises);
      UpdateRule rule;
      if (seed / 20 % 2 == 0) rule.kind = UpdateRule::Kind::capped;
      INFO(in, " inputs, ", rows, " rows in batches of ", batch_size, ", clusters ", clusters,
           ", noise ", static_cast<int>(noise), ", rule ", static_cast<int>(rule.kind));
      const TrainingState start{{1.5, 2.5, 0.5, 3.5, -3.5, 4}, 50, 2, Failure::none};
      const Outcome got = train(*gpu, *fused, problem, rule, batch_size, noise, start);
      const Outcome expected = train(*cpu, *by_graph, problem, rule, batch_size, noise, start);
      check_parameters(got, expected, problem, rule);
      check_state(got.state, expected.state);
      check_same(train(*gpu, *fused, problem, rule, batch_size, noise, start).parameters,
                 got.parameters);
    }
  }
}

TEST_CASE("an overflow in fused training changes nothing from there on") {
  if (!cuda_is_there()) return;
  const std::shared_ptr<Backend> gpu = cuda_backend(), cpu = cpu_backend();
  const LayerPointer network = relu_network({3, 20, 2});
  const auto fused =
      cuda::make_fused_executor(*gpu, steps_of(network), graph_executor(*gpu, network));
  const auto by_graph = graph_executor(*cpu, network);
  for (const auto& [rows, batch_size] :
       std::vector<std::pair<Index, Index>>{{9, 1}, {30, 30}, {30, 10}}) {
    for (Failure failure : {Failure::prediction, Failure::innovation}) {
      INFO(rows, " rows in batches of ", batch_size, ", failure ", static_cast<int>(failure));
      Problem problem(*network, rows, 3, false, 40);
      if (failure == Failure::prediction) {
        problem.input.mean[3 * 5] = 1e30f;
      } else {
        problem.target[2 * 5 + 1] = 3e38f;
        problem.noise_var.assign(problem.noise_var.size(), 1e-5f);
      }
      const Outcome got = train(*gpu, *fused, problem, {}, batch_size, Noise::one);
      const Outcome expected = train(*cpu, *by_graph, problem, {}, batch_size, Noise::one);
      CHECK(got.state.failure == failure);
      CHECK(expected.state.failure == failure);
      if (batch_size < rows && batch_size != 10) {
        check_close(got.parameters, doubles(expected.parameters.mean),
                    doubles(expected.parameters.var), 2e-5);
      } else {
        check_same(got.parameters, problem.parameters);
      }
      // What has failed stays as it is.
      TrainingState failed;
      failed.failure = failure;
      const Problem good(*network, rows, 3, false, 40);
      const Outcome after = train(*gpu, *fused, good, {}, batch_size, Noise::one, failed);
      CHECK(after.state.failure == failure);
      CHECK(after.state.sums.n_observed == 0);
      check_same(after.parameters, good.parameters);
    }
  }
}

TEST_CASE("networks that do not fit a block are left to the graph executor") {
  const auto fits = [](std::vector<Index> widths) { return is_fused(relu_network(widths)); };
  CHECK(fits({7, 64, 64, 64, 64, 2}));
  CHECK_FALSE(fits({7, 129, 2}));
  CHECK_FALSE(fits({7, 128, 128, 128, 2}));
  CHECK_FALSE(fits({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
  CHECK_FALSE(is_fused(sequential({activation(ActivationKind::relu), linear(2, 3)})));
  CHECK_FALSE(is_fused(sequential({linear(2, 3), activation(ActivationKind::tanh)})));
  CHECK_FALSE(is_fused(sequential(
      {linear(2, 3), activation(ActivationKind::relu), activation(ActivationKind::relu)})));
  const auto own =
      std::make_shared<FunctionActivation>(std::make_shared<Cubic>(), MomentsForm::first_order);
  CHECK_FALSE(is_fused(sequential({linear(2, 3), own})));
  CHECK_FALSE(is_fused(sequential({own, linear(2, 3)})));
}
