#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "core/memory.h"
#include "cpu/threads.h"
#include "graph/builder.h"
#include "graph/graph_executor.h"
#include "layers/activation.h"
#include "layers/concat.h"
#include "layers/linear.h"
#include "layers/residual.h"
#include "layers/sequential.h"
#include "models/model.h"
#include "test_helpers.h"
#include "thread_count.h"

using namespace tagix;
using namespace tagix::test;

namespace {

std::atomic<std::size_t> n_allocations = 0, n_bytes = 0;

void* counted(std::size_t size, std::size_t alignment) {
  ++n_allocations;
  n_bytes += size;
  void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Every allocation of this program, the library's included.
[[gnu::noinline]] void* operator new(std::size_t size) {
  return counted(size, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace {

std::unique_ptr<Model> make_model(Index width, Precision precision) {
  std::vector<std::shared_ptr<const Layer>> layers;
  const std::vector<Index> widths{3, width, width, 2};
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    layers.push_back(
        std::make_shared<Linear>(widths[i], widths[i + 1], true, Linear::Init::he, 1.0f, 1.0f));
    if (i + 2 == widths.size()) break;
    layers.push_back(std::make_shared<Activation>(
        math::ActivationSpec{math::ActivationKind::relu, math::MomentsForm::exact}));
  }
  return std::make_unique<Model>(std::make_shared<Sequential>(layers), UpdateRule{}, 1,
                                 cpu_backend(precision));
}

/// Rows of inputs and targets in the backend's memory.
struct Data {
  Buffer<float> x, y, noise_var;

  explicit Data(Index rows) : x(*cpu_backend()), y(*cpu_backend()), noise_var(*cpu_backend()) {
    x.assign(uniform_floats(static_cast<std::size_t>(3 * rows), -1, 1, 1));
    y.assign(uniform_floats(static_cast<std::size_t>(2 * rows), -1, 1, 2));
    noise_var.assign(std::vector<float>{1.0f});
  }
  BatchSource::Batch batch(Index rows) const {
    return {{x.data(), nullptr, rows, 3}, y.data(), {noise_var.data(), 0, 0}};
  }
};

std::vector<Precision> precisions() {
  std::vector<Precision> all;
  for (Precision precision : {Precision::float32, Precision::mixed, Precision::bfloat16}) {
    if (cpu_has(precision)) all.push_back(precision);
  }
  return all;
}

}  // namespace

// Arrays of the host and of a backend cannot be taken for each other.
static_assert(!std::is_convertible_v<float*, HostPointer<float>>);
static_assert(!std::is_convertible_v<HostPointer<float>, float*>);
static_assert(!std::is_convertible_v<HostPointer<const float>, HostPointer<float>>);
static_assert(std::is_convertible_v<HostPointer<float>, HostPointer<const float>>);
static_assert(!std::is_convertible_v<MomentsView, HostMoments>);
static_assert(!std::is_convertible_v<HostMoments, ConstMomentsView>);
static_assert(!std::is_convertible_v<NoiseView, HostNoise>);
static_assert(!std::is_convertible_v<HostNoise, NoiseView>);

TEST_CASE("a training step allocates nothing after the first") {
  const ThreadCount restored;
  const Data data(300);
  // A worker takes its own memory at its first chunk, which the other threads may keep from it for
  // many steps: that many allocations, in all of them together.
  constexpr std::size_t of_one_worker = 8;
  for (int n_threads : {1, 2}) {
    cpu::set_thread_count(n_threads);
    for (Precision precision : precisions()) {
      for (Index width : {64, 400}) {
        INFO(n_threads, " threads, ", precision_name(precision), ", width ", width);
        const auto model = make_model(width, precision);
        TrainingSteps steps(*model);
        steps.step(data.batch(300));
        steps.step(data.batch(300));
        steps.step(data.batch(8));
        const std::size_t before = n_allocations;
        for (int i = 0; i < 5; ++i) {
          for (Index rows : {300, 1, 8, 9, 100, 64, 200}) steps.step(data.batch(rows));
        }
        CHECK(n_allocations - before <= (n_threads == 1 ? 0 : of_one_worker));
      }
    }
  }
}

TEST_CASE("a step of a graph that is not a chain allocates nothing after the first") {
  const ThreadCount restored;
  cpu::set_thread_count(1);
  const Data data(300);
  const auto layer = [](Index in, Index out) {
    return std::make_shared<Linear>(in, out, true, Linear::Init::he, 1.0f, 1.0f);
  };
  const Sequential network({layer(3, 16), std::make_shared<Residual>(layer(16, 16)),
                            std::make_shared<Concat>(std::vector<std::shared_ptr<const Layer>>{
                                layer(16, 4), layer(16, 5)}),
                            layer(9, 2)});
  const std::vector<Shape> inputs{3};
  const auto graph = std::make_shared<const Graph>(graph_of(network, inputs));
  const std::shared_ptr<Backend> backend = cpu_backend();
  const auto executor = make_graph_executor(*backend, graph);
  const auto count = static_cast<std::size_t>(graph->parameter_count());
  Buffer<float> parameters(*backend);
  parameters.assign(std::vector<float>(2 * count, 0.1f));
  const MomentsView view{parameters.data(), parameters.data() + count, 1, graph->parameter_count()};
  const TrainingState start;
  Buffer<TrainingState> state(*backend);
  state.assign(start);
  const auto step = [&](Index rows) {
    const BatchSource::Batch batch = data.batch(rows);
    executor->train({}, batch, rows, view, state.data());
    executor->learn(view, batch.input, {batch.target, batch.noise, 1}, true);
    executor->predict(view, batch.input);
  };
  step(300);
  const std::size_t before = n_allocations;
  for (Index rows : {300, 1, 100, 200}) step(rows);
  CHECK(n_allocations == before);
}

TEST_CASE("the memory of a step does not grow with the batch, but for predictions") {
  const ThreadCount restored;
  cpu::set_thread_count(1);
  struct Case {
    Index width;
    Precision precision;
    Index few_rows;
    Index many_rows;
  };
  // A wide network goes through its layers in pieces of 2048 rows.
  std::vector<Case> cases{{400, Precision::float32, 2100, 4200}};
  for (Precision precision : precisions()) cases.push_back({64, precision, 2000, 20'000});
  const Data data(20'000);
  for (const auto& [width, precision, few_rows, many_rows] : cases) {
    INFO(precision_name(precision), ", width ", width);
    const auto bytes_of_step = [&, width = width, precision = precision](Index rows) {
      const auto model = make_model(width, precision);
      const std::size_t before = n_bytes;
      TrainingSteps(*model).step(data.batch(rows));
      return static_cast<double>(n_bytes - before);
    };
    bytes_of_step(few_rows);  // the thread's own memory, which stays
    const double few = bytes_of_step(few_rows), many = bytes_of_step(many_rows);
    const double predictions = 2.0 * 2 * sizeof(float) * static_cast<double>(many_rows - few_rows);
    CHECK(many - few <= 1.01 * predictions);
  }
}

TEST_CASE("what tiles keep for a function of the user's own does not grow with the batch") {
  struct Identity final : ScalarFunction {
    void evaluate(const float* points, Index count, float* values,
                  float* derivatives) const override {
      std::copy_n(points, count, values);
      std::fill_n(derivatives, count, 1.0f);
    }
  };
  const ThreadCount restored;
  cpu::set_thread_count(1);
  const auto layer = [](Index in, Index out) {
    return std::make_shared<Linear>(in, out, true, Linear::Init::he, 1.0f, 1.0f);
  };
  const Sequential network({layer(3, 64), layer(64, 64),
                            std::make_shared<FunctionActivation>(std::make_shared<Identity>(),
                                                                 math::MomentsForm::first_order),
                            layer(64, 2)});
  const std::vector<Shape> inputs{3};
  const auto graph = std::make_shared<const Graph>(graph_of(network, inputs));
  const std::shared_ptr<Backend> backend = cpu_backend();
  const auto count = static_cast<std::size_t>(graph->parameter_count());
  Buffer<float> parameters(*backend);
  parameters.assign(std::vector<float>(2 * count, 0.1f));
  const MomentsView view{parameters.data(), parameters.data() + count, 1, graph->parameter_count()};
  const Data data(8192);
  const auto bytes_of_step = [&](Index rows) {
    const auto executor = make_executor(*backend, graph);
    const BatchSource::Batch batch = data.batch(rows);
    const std::size_t before = n_bytes;
    executor->learn(view, batch.input, {batch.target, batch.noise, 1}, false);
    return static_cast<double>(n_bytes - before);
  };
  bytes_of_step(64);  // the thread's own memory, which stays
  const double few = bytes_of_step(2048), many = bytes_of_step(8192);
  CHECK(few > 2 * bytes_of_step(512));  // it is the batch that takes memory
  CHECK(many < 1.3 * few);
}
