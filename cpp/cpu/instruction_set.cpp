#include "cpu/instruction_set.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "core/require.h"

namespace tagix::cpu {

// Each is defined by one compilation of kernels.cpp; which there are, CMake says.
const Kernels* kernels_baseline();
const Kernels* kernels_x86_64_v3();
const Kernels* kernels_x86_64_v4();
const Kernels* kernels_x86_64_v4_bf16();

namespace {

std::vector<const Kernels*> supported_kernels() {
  std::vector<const Kernels*> supported;
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
#if defined(TAGIX_HAS_KERNELS_X86_64_V4_BF16)
  if (__builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512bf16")) {
    supported.push_back(kernels_x86_64_v4_bf16());
  }
#endif
#if defined(TAGIX_HAS_KERNELS_X86_64_V4)
  if (__builtin_cpu_supports("x86-64-v4")) supported.push_back(kernels_x86_64_v4());
#endif
#if defined(TAGIX_HAS_KERNELS_X86_64_V3)
  if (__builtin_cpu_supports("x86-64-v3")) supported.push_back(kernels_x86_64_v3());
#endif
  supported.push_back(kernels_baseline());
  return supported;
}

}  // namespace

std::vector<std::string> supported_instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* kernels : supported_kernels()) names.emplace_back(kernels->instruction_set);
  return names;
}

const Kernels& kernels_for(const std::string& instruction_set, const std::string& argument) {
  std::string names;
  for (const Kernels* kernels : supported_kernels()) {
    if (instruction_set == kernels->instruction_set) return *kernels;
    names += (names.empty() ? "'" : ", '") + std::string(kernels->instruction_set) + "'";
  }
  throw std::invalid_argument(
      text(argument, ": got '", instruction_set, "', needed one of ", names));
}

const Kernels& default_kernels() {
  const std::string variable = "TAGIX_INSTRUCTION_SET";
  const char* forced = std::getenv(variable.c_str());
  return forced == nullptr ? *supported_kernels().front() : kernels_for(forced, variable);
}

double peak_flops(const Kernels& kernels, Format format) {
  using Clock = std::chrono::steady_clock;
  constexpr Index iterations = 100'000;
  const double factors_per_cell = format == Format::bfloat16 ? 2 : 1;
  const double flops = 2.0 * factors_per_cell * multiply_adds_in_flight *
                       static_cast<double>(kernels.layout.lanes * iterations);
  double best = 0;
  volatile float sink = 0;
  for (int run = 0; run < 20; ++run) {
    const Clock::time_point start = Clock::now();
    sink = kernels.multiply_adds(format, iterations);
    best = std::max(best, flops / std::chrono::duration<double>(Clock::now() - start).count());
  }
  static_cast<void>(sink);
  return best;
}

}  // namespace tagix::cpu
