// bench_backend [--quick] [--threads N] [--method NAME]
//
// Times every method of every backend at the shapes of the conformance suite's benchmarks, after
// checking it against float64 there. Times are medians over rounds in which the backends take
// turns, so that what else the machine does falls on all of them. With --threads 1 (the default)
// "of peak" is the share of the float32 multiply-adds that one core does in registers with the same
// instruction set; products of bfloat16 may exceed it.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "conformance/suite.h"
#include "cpu/instruction_set.h"
#include "cpu/threads.h"

using namespace tagix;
using namespace tagix::conformance;

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  int rounds = 15;
  double round_seconds = 5e-3;
  int threads = 1;
  std::string method;
};

double seconds(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// A backend with the peak of its instruction set.
struct Contender {
  std::shared_ptr<Backend> backend;
  double peak;
};

/// One operation on one backend, ready to be called.
struct Entry {
  Arrays arrays;
  std::function<void()> call;
  std::vector<double> times;

  Entry(const Operation& operation, Backend& backend)
      : arrays(backend), call(operation.prepare(arrays)) {}

  /// The mean time of a call in one round. Each starts from the same contents of the outputs.
  void time_round(double round_seconds) {
    double total = 0;
    int calls = 0;
    while (calls == 0 || total < round_seconds) {
      arrays.reset();
      const Clock::time_point start = Clock::now();
      call();
      arrays.backend().synchronise();
      total += seconds(start, Clock::now());
      ++calls;
    }
    times.push_back(total / calls);
  }
};

/// Checks and times one operation on all backends. Returns whether all were right.
bool run(const Operation& operation, const std::vector<Contender>& contenders,
         const Options& options) {
  const std::vector<Expected> expected = operation.expected();
  std::vector<std::unique_ptr<Entry>> entries;
  std::vector<Verdict> verdicts;
  bool passed = true;
  for (const Contender& contender : contenders) {
    entries.push_back(std::make_unique<Entry>(operation, *contender.backend));
    entries.back()->call();
    verdicts.push_back(
        compare(entries.back()->arrays.results(), expected, contender.backend->precision()));
    passed = passed && verdicts.back().passed;
  }
  for (int round = 0; round < options.rounds; ++round) {
    for (const auto& entry : entries) entry->time_round(options.round_seconds);
  }
  const Cost cost = operation.cost();
  std::printf("%s\n", operation.name().c_str());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const double time = median(entries[i]->times);
    std::printf("  %-32s %s error %5.2f of tolerance %11.2f us %8.2f GB/s",
                contenders[i].backend->name().c_str(), verdicts[i].passed ? "ok   " : "WRONG",
                verdicts[i].worst, time * 1e6, cost.bytes / time * 1e-9);
    if (cost.flops > 0) {
      std::printf(" %8.2f GFLOP/s %5.1f %% of peak", cost.flops / time * 1e-9,
                  100 * cost.flops / time / (contenders[i].peak * options.threads));
    }
    std::printf("\n");
    if (!verdicts[i].passed) std::printf("    %s\n", verdicts[i].message.c_str());
  }
  return passed;
}

int usage(const char* argument) {
  std::fprintf(stderr, "bench_backend: got '%s', needed [--quick] [--threads N] [--method NAME]\n",
               argument);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const bool has_value = i + 1 < argc;
    if (std::strcmp(argv[i], "--quick") == 0) {
      options.rounds = 3;
      options.round_seconds = 2e-4;
    } else if (std::strcmp(argv[i], "--threads") == 0 && has_value) {
      options.threads = std::atoi(argv[++i]);
      if (options.threads < 1) return usage(argv[i]);
    } else if (std::strcmp(argv[i], "--method") == 0 && has_value) {
      options.method = argv[++i];
    } else {
      return usage(argv[i]);
    }
  }
  cpu::set_thread_count(options.threads);

  std::vector<Contender> contenders;
  for (const CpuVariant& variant : cpu_variants()) {
    contenders.push_back({variant.make(), cpu::peak_flops(cpu::kernels_for(variant.instruction_set),
                                                          cpu::Format::float32)});
    std::printf("%-32s peak of one core %8.2f GFLOP/s\n", contenders.back().backend->name().c_str(),
                contenders.back().peak * 1e-9);
  }
  std::printf("%d threads, medians of %d rounds\n", options.threads, options.rounds);

  bool passed = true, found = false;
  for (const Method& method : methods()) {
    if (!options.method.empty() && method.name != options.method) continue;
    found = true;
    for (const auto& operation : method.benchmarks()) {
      passed = run(*operation, contenders, options) && passed;
    }
  }
  if (!found) return usage(options.method.c_str());
  return passed ? 0 : 1;
}
