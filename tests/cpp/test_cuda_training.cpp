#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <optional>
#include <thread>

#include "core/cuda.h"
#include "cuda_is_there.h"
#include "diffusion_example.h"
#include "executor_problem.h"
#include "models/diffusion_process.h"
#include "models/diffusion_source.h"
#include "models/regression_source.h"
#include "models/sampling.h"
#include "models/trainer.h"

using namespace tagix;
using namespace tagix::test;

namespace {

/// What a model may have beside a network of known noise.
struct Extras {
  std::optional<LearnedNoise> noise;
  std::optional<Forgetting> forgetting;
};

std::unique_ptr<Model> make_model(const std::shared_ptr<Backend>& backend,
                                  const std::vector<Index>& widths, std::uint64_t seed = 3,
                                  const Extras& extras = {}) {
  return std::make_unique<Model>(relu_network(widths), UpdateRule{}, seed, backend, extras.noise,
                                 extras.forgetting);
}

/// |a - b| / |b| in the Euclidean norm, of means and of variances.
void check_near(const HostPair& a, const HostPair& b, double tolerance) {
  const auto distance = [](const std::vector<float>& got, const std::vector<float>& truth) {
    REQUIRE(got.size() == truth.size());
    double error = 0, size = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      error += std::pow(double{got[i]} - truth[i], 2);
      size += std::pow(double{truth[i]}, 2);
    }
    return std::sqrt(error / size);
  };
  CHECK(distance(a.mean, b.mean) <= tolerance);
  CHECK(distance(a.var, b.var) <= tolerance);
}

/// Rows of a smooth function of three inputs with two outputs, some of them missing.
struct Table {
  std::vector<float> x, y;
  Index rows;

  explicit Table(Index rows)
      : x(uniform_floats(static_cast<std::size_t>(3 * rows), -1, 1, 5)), rows(rows) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
      y.push_back(i % 11 == 3 ? missing : std::sin(2 * x[3 * i]) * x[3 * i + 1]);
      y.push_back(x[3 * i + 2] - x[3 * i]);
    }
  }

  std::unique_ptr<RegressionSource> source(Backend& backend) const {
    auto source = std::make_unique<RegressionSource>(backend, x, y, rows, 3, 2);
    source->set_noise_var({0.1f, 0.2f});
    return source;
  }
};

/// A record and the parameters after `n_epochs` epochs.
struct Trained {
  std::vector<EpochRecord> records;
  HostPair parameters;

  Index n_drifts;

  Trained(const std::shared_ptr<Backend>& backend, const Table& table, Index batch_size,
          bool shuffle, int n_epochs, const Extras& extras = {}) {
    const auto model = make_model(backend, {3, 20, 33, 2}, 3, extras);
    const auto source = table.source(*backend);
    source->set_heads(model->noise_head(), model->class_head());
    Trainer trainer(*model, *source, batch_size, shuffle);
    for (int i = 0; i < n_epochs; ++i) records.push_back(trainer.run_epoch({}));
    parameters = parameters_of(*model);
    n_drifts = model->drift().n_drifts;
  }
};

}  // namespace

TEST_CASE("50 updates on the GPU and on the CPU agree to 1e-5") {
  if (!cuda_is_there()) return;
  struct Case {
    Index rows, batch_size;
    bool shuffle;
    int n_epochs;
  };
  // The last batch of an epoch is partial, so that two sizes are recorded; single rows go through
  // the network 1024 at a time.
  for (const auto& [rows, batch_size, shuffle, n_epochs] : {Case{170, 16, false, 5},
                                                            {170, 16, true, 5},
                                                            {25, 1, true, 2},
                                                            {1030, 1, false, 1},
                                                            {778, 264, false, 3}}) {
    INFO(rows, " rows in batches of ", batch_size);
    const Table table(rows);
    const Trained cuda(cuda_backend(), table, batch_size, shuffle, n_epochs);
    const Trained cpu(cpu_backend(), table, batch_size, shuffle, n_epochs);
    check_near(cuda.parameters, cpu.parameters, 1e-5);
    for (std::size_t epoch = 0; epoch < cpu.records.size(); ++epoch) {
      const EpochRecord &got = cuda.records[epoch], &expected = cpu.records[epoch];
      CHECK(got.epoch == static_cast<Index>(epoch));
      CHECK(got.n_rows == rows);
      CHECK(got.mse == doctest::Approx(expected.mse).epsilon(1e-5));
      CHECK(got.predicted_var == doctest::Approx(expected.predicted_var).epsilon(1e-5));
      CHECK(got.log_likelihood == doctest::Approx(expected.log_likelihood).epsilon(1e-5));
    }
  }
}

TEST_CASE("classes and uncertain inputs are learned on the GPU as on the CPU") {
  if (!cuda_is_there()) return;
  const math::ClassHead none;
  const math::ClassHead tree{math::ClassLink::tree, 3, 0};
  const math::ClassHead remax{math::ClassLink::remax, 2, 0.01f};
  const math::ClassHead softmax{math::ClassLink::softmax, 2, 0};
  for (const math::ClassHead& head : {none, tree, remax, softmax}) {
    for (bool uncertain : {false, true}) {
      if (!head.exists() && !uncertain) continue;
      for (const auto& [rows, batch_size] :
           {std::pair<Index, Index>{40, 1}, {170, 16}, {300, 290}}) {
        INFO(rows, " rows in batches of ", batch_size, ", ", head.n_classes,
             " classes, uncertain inputs ", uncertain);
        const auto train = [&, rows = rows, batch_size = batch_size](
                               const std::shared_ptr<Backend>& backend, EpochRecord& record) {
          const auto n_rows = static_cast<std::size_t>(rows);
          const std::vector<float> x = uniform_floats(3 * n_rows, -1, 1, 5);
          const std::vector<float> x_var = uniform_floats(3 * n_rows, 0, 0.3, 6);
          const auto n_targets = head.exists() ? n_rows : 2 * n_rows;
          std::vector<float> y =
              uniform_floats(n_targets, 0, std::max<double>(1, head.n_classes), 7);
          for (std::size_t i = 0; i < n_targets; ++i) {
            if (head.exists()) y[i] = std::floor(y[i]);
            if (i % 11 == 3) y[i] = missing;
          }
          Model model(relu_network({3, 20, 33, 2}), UpdateRule{}, 3, backend, {}, {}, head);
          RegressionSource source(*backend, x, y, rows, 3, head.exists() ? 1 : 2);
          if (!head.exists()) source.set_noise_var({0.1f, 0.2f});
          source.set_heads({}, head);
          if (uncertain) source.set_x_var(x_var);
          Trainer trainer(model, source, batch_size, true);
          trainer.run_epoch({});
          record = trainer.run_epoch({});
          return parameters_of(model);
        };
        EpochRecord got, expected;
        check_near(train(cuda_backend(), got), train(cpu_backend(), expected), 1e-5);
        CHECK(got.mse == doctest::Approx(expected.mse).epsilon(1e-4));
        CHECK(got.log_likelihood == doctest::Approx(expected.log_likelihood).epsilon(1e-4));
      }
    }
  }
}

TEST_CASE("noise is learned, and learned things are forgotten, on the GPU as on the CPU") {
  if (!cuda_is_there()) return;
  const Homoscedastic homoscedastic({0.5}, 0, 1, true);
  const Heteroscedastic by_exp(math::NoiseLink::exp, 0.5);
  const Heteroscedastic by_softplus(math::NoiseLink::softplus, 0.5);
  const Forgetting forgetting(1e-3, 0.4, 20, 0.3);
  const std::vector<Extras> all{{homoscedastic.learned(), {}},
                                {by_exp.learned(), {}},
                                {by_softplus.learned(), {}},
                                {{}, forgetting},
                                {homoscedastic.learned(), forgetting}};
  Index n_drifts = 0;
  for (const Extras& extras : all) {
    struct Case {
      Index rows, batch_size;
      int n_epochs;
    };
    for (const auto& [rows, batch_size, n_epochs] : {Case{170, 16, 3}, {40, 1, 1}, {300, 290, 3}}) {
      INFO(rows, " rows in batches of ", batch_size, ", noise ", extras.noise.has_value(),
           ", forgetting ", extras.forgetting.has_value());
      const Table table(rows);
      const Trained cuda(cuda_backend(), table, batch_size, true, n_epochs, extras);
      const Trained cpu(cpu_backend(), table, batch_size, true, n_epochs, extras);
      check_near(cuda.parameters, cpu.parameters, 3e-5);
      CHECK(cuda.n_drifts == cpu.n_drifts);
      if (extras.forgetting) {
        n_drifts += cpu.n_drifts;
      } else {
        CHECK(cpu.n_drifts == 0);
      }
      for (std::size_t epoch = 0; epoch < cpu.records.size(); ++epoch) {
        const EpochRecord &got = cuda.records[epoch], &expected = cpu.records[epoch];
        CHECK(got.mse == doctest::Approx(expected.mse).epsilon(3e-5));
        CHECK(got.noise_var == doctest::Approx(expected.noise_var).epsilon(3e-5));
        CHECK(got.surprise == doctest::Approx(expected.surprise).epsilon(3e-5));
        CHECK(got.log_likelihood == doctest::Approx(expected.log_likelihood).epsilon(3e-5));
      }
      const Trained again(cuda_backend(), table, batch_size, true, n_epochs, extras);
      check_same(again.parameters, cuda.parameters);
    }
  }
  CHECK(n_drifts > 0);
}

TEST_CASE("training is the same bits again, and recorded steps are those that are queued") {
  if (!cuda_is_there()) return;
  const Table table(100);
  const Trained first(cuda_backend(), table, 10, true, 3),
      second(cuda_backend(), table, 10, true, 3);
  check_same(first.parameters, second.parameters);

  // The same steps one at a time, with an executor that records none.
  const auto model = make_model(cuda_backend(), {3, 20, 33, 2});
  const auto source = table.source(*cuda_backend());
  for (int epoch = 0; epoch < 3; ++epoch) {
    Buffer<Index> order(*cuda_backend(), 100);
    cuda_backend()->shuffle(model->seed(), static_cast<std::uint64_t>(epoch), 100, order.data());
    Buffer<TrainingState> state(*cuda_backend());
    const std::unique_ptr<Executor> executor = model->make_executor(3);
    TrainingState start;
    start.epoch = static_cast<std::uint64_t>(epoch);
    state.assign(start);
    for (int batch = 0; batch < 10; ++batch) {
      executor->train(model->rule(), source->load({order.data(), state.data()}, 10), 10,
                      model->parameter_view(), state.data());
    }
    CHECK(state.first().failure == Failure::none);
  }
  check_same(parameters_of(*model), first.parameters);
}

TEST_CASE("noise that changes between epochs reaches recorded steps") {
  if (!cuda_is_there()) return;
  const Table table(60);
  HostPair results[2];
  const std::shared_ptr<Backend> backends[] = {cuda_backend(), cpu_backend()};
  for (int k = 0; k < 2; ++k) {
    const auto model = make_model(backends[k], {3, 20, 2});
    const auto source = table.source(*backends[k]);
    Trainer trainer(*model, *source, 20, true);
    for (float noise_var : {1.0f, 0.1f, 0.5f, 0.02f}) {
      source->set_noise_var({noise_var, 2 * noise_var});
      trainer.run_epoch({});
    }
    results[k] = parameters_of(*model);
  }
  check_near(results[0], results[1], 1e-5);
}

TEST_CASE("a batch that overflows in the middle of an epoch leaves what was learned before it") {
  if (!cuda_is_there()) return;
  Table table(64);
  for (bool in_input : {true, false}) {
    CAPTURE(in_input);
    Table bad = table;
    (in_input ? bad.x[3 * 40] : bad.y[2 * 40]) = in_input ? 1e30f : 3e38f;
    HostPair results[2];
    const std::shared_ptr<Backend> backends[] = {cuda_backend(), cpu_backend()};
    for (int k = 0; k < 2; ++k) {
      const auto model = make_model(backends[k], {3, 20, 2});
      const auto source = bad.source(*backends[k]);
      source->set_noise_var({1e-3f});
      Trainer trainer(*model, *source, 8, false);
      check_refused([&] { trainer.run_epoch({}); }, {in_input ? "x: " : "y: ", "overflow float32"});
      CHECK(model->epochs_trained() == 0);
      results[k] = parameters_of(*model);
    }
    check_near(results[0], results[1], 1e-5);
  }
}

TEST_CASE("a diffusion model trains and samples on the GPU as on the CPU") {
  if (!cuda_is_there()) return;
  const std::vector<float> data = uniform_floats(2 * 90, -1, 1, 8);
  std::vector<Index> labels;
  for (Index row = 0; row < 90; ++row) labels.push_back(row % 3 - 1);
  const std::shared_ptr<Backend> backends[] = {cuda_backend(), cpu_backend()};
  for (bool labelled : {false, true}) {
    CAPTURE(labelled);
    HostPair parameters[2];
    std::vector<float> samples[2], variances[2], chains[2];
    const DiffusionDescription description = cosine_description(2, 12, labelled ? 2 : 0);
    for (int k = 0; k < 2; ++k) {
      DiffusionProcess process(backends[k], description);
      const auto model = make_model(backends[k], {process.network_inputs(), 24, 24, 2});
      DiffusionSource source(*backends[k], process, model->seed(), data, 90);
      source.set_noise_var({1.0f});
      if (labelled) source.set_labels(labels, 0.3);
      Trainer trainer(*model, source, 32, true);
      for (int epoch = 0; epoch < 4; ++epoch) trainer.run_epoch({});
      parameters[k] = parameters_of(*model);
      samples[k].resize(2 * 50);
      variances[k].resize(2 * 50);
      chains[k].resize(12 * 2 * 50);
      const SamplerPlan plan = cosine_ddpm(12);
      SampleRequest request{50, 21};
      if (labelled) {
        request.labels = labels;
        request.guidance = {2, -1};
      }
      REQUIRE(sample(process, *model, plan, request, {samples[k], variances[k]}, {}));
      std::vector<float> again(2 * 50), again_var(2 * 50);
      REQUIRE(sample(process, *model, plan, request, {again, again_var, chains[k]}, {}));
      // With the chain each step is waited for; without it they are recorded and run in a row.
      CHECK(same_bits(again, samples[k]));
      CHECK(same_bits(again_var, variances[k]));
    }
    check_near(parameters[0], parameters[1], 1e-5);
    check_near({samples[0], variances[0]}, {samples[1], variances[1]}, 1e-4);
    check_near({chains[0], chains[0]}, {chains[1], chains[1]}, 1e-4);
  }
}

TEST_CASE("networks on the GPU serve several threads, and one may train meanwhile") {
  if (!cuda_is_there()) return;
  const Table table(40);
  const auto model = make_model(cuda_backend(), {3, 20, 2});
  const auto alone = make_model(cuda_backend(), {3, 20, 2});
  const auto predict = [&](const Model& net) {
    HostPair moments;
    moments.mean.resize(80);
    moments.var.resize(80);
    net.predict({table.x, nullptr, 40, 3}, {}, {moments.mean, moments.var});
    return moments;
  };
  const HostPair before = predict(*alone);
  std::atomic<bool> stop = false, differs = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        const HostPair seen = predict(*model);
        for (float value : seen.var) differs = differs || !(value > 0);
        const HostPair same = predict(*alone);
        differs = differs || !same_bits(same.mean, before.mean) || !same_bits(same.var, before.var);
      }
    });
  }
  const auto source = table.source(*cuda_backend());
  Trainer trainer(*model, *source, 8, true);
  for (int epoch = 0; epoch < 3; ++epoch) trainer.run_epoch({});
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(differs);
  check_same(parameters_of(*model), [&] {
    const auto again = make_model(cuda_backend(), {3, 20, 2});
    const auto own = table.source(*cuda_backend());
    Trainer alone_trainer(*again, *own, 8, true);
    for (int epoch = 0; epoch < 3; ++epoch) alone_trainer.run_epoch({});
    return parameters_of(*again);
  }());
}
