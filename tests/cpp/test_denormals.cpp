#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <memory>

#include "cpu/cpu_backend.h"
#include "cpu/denormals.h"
#include "cpu/instruction_set.h"
#include "cpu/threads.h"
#include "executor_problem.h"
#include "thread_count.h"

using namespace tagix;
using namespace tagix::test;
using cpu::DenormalsAsZero;

#if defined(__x86_64__) || defined(__aarch64__)
namespace {

constexpr float smallest_normal = 0x1p-126f;

float product(float a, float b) {
  volatile float left = a, right = b;  // worked out where the program is, not by the compiler
  return left * right;
}

/// What a product that is denormal, and one with a denormal, come to: 2^-127 and 2^-126.
bool has_denormals() {
  return product(smallest_normal, 0.5f) != 0 && product(smallest_normal / 2, 2.0f) != 0;
}
bool has_no_denormals() {
  return product(smallest_normal, 0.5f) == 0 && product(smallest_normal / 2, 2.0f) == 0;
}

}  // namespace

TEST_CASE("denormal numbers are 0 in a scope, and in it alone") {
  CHECK(has_denormals());
  {
    const DenormalsAsZero outer;
    CHECK(has_no_denormals());
    CHECK(product(smallest_normal, 2.0f) == 0x1p-125f);
    {
      const DenormalsAsZero inner;
      CHECK(has_no_denormals());
    }
    CHECK(has_no_denormals());
  }
  CHECK(has_denormals());
}

TEST_CASE("denormal numbers are 0 in a parallel loop, on every thread, and not after it") {
  for (int n_threads : {1, 3}) {
    const ThreadCount restored(n_threads);
    for (double nanoseconds : {0.0, 1e9}) {
      CAPTURE(n_threads);
      CAPTURE(nanoseconds);
      std::atomic<int> without{0};
      cpu::parallel_for(100, nanoseconds, [&](Index) { without += has_no_denormals(); });
      CHECK(without.load() == 100);
      CHECK(has_denormals());
    }
  }
}

TEST_CASE("what a network would hold as denormal numbers is 0, on every path") {
  const LayerPointer network = sequential({linear(40, 20, false)});
  for (const std::string& instruction_set : cpu::supported_instruction_sets()) {
    const std::shared_ptr<Backend> backend = cpu::make_backend(instruction_set);
    const auto fused = fuse(*backend, network);
    const auto by_graph = graph_executor(*backend, network);
    for (Index rows : {1, 3, 30, 300}) {
      // Means of 40 products of 1e-40, variances of 40 with a square of 1e-40.
      Problem problem(*network, rows, 40, false, 3);
      std::fill(problem.parameters.mean.begin(), problem.parameters.mean.end(), 1e-20f);
      std::fill(problem.input.mean.begin(), problem.input.mean.end(), 1e-20f);
      for (Executor* executor : {fused.get(), by_graph.get()}) {
        INFO(instruction_set, ", ", rows, " rows, ",
             executor == fused.get() ? "fused" : "by graph");
        const Result result = learn(*backend, *executor, problem, 1);
        CHECK(has_denormals());
        const std::vector<float> zeros(result.prediction.mean.size(), 0.0f);
        CHECK(result.prediction.mean == zeros);
        CHECK(result.prediction.var == zeros);
      }
    }
  }
}

TEST_CASE("a caller's function has the floating-point environment of the caller") {
  struct Recorder final : ScalarFunction {
    mutable bool saw_denormals = false;
    void evaluate(const float* points, Index count, float* values,
                  float* derivatives) const override {
      saw_denormals = has_denormals();
      std::copy_n(points, count, values);
      std::fill_n(derivatives, count, 1.0f);
    }
  };
  const auto recorder = std::make_shared<Recorder>();
  const LayerPointer network = sequential(
      {linear(3, 4), std::make_shared<FunctionActivation>(recorder, MomentsForm::first_order)});
  const std::shared_ptr<Backend> backend = cpu_backend();
  learn(*backend, *make_executor(*backend, row_graph(network)), Problem(*network, 30, 3, true, 5),
        1);
  CHECK(recorder->saw_denormals);
}
#endif
