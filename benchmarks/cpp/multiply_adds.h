#pragma once

namespace tagix::benchmark {

/// Multiply-adds on vectors that stay in registers, as many in flight as hide their latency: what
/// no kernel can beat. Does multiply_adds_flops(iterations, lanes) floating-point operations and
/// returns a number that depends on all of them. Defined once for each instruction set.
float multiply_adds_baseline(long iterations);
float multiply_adds_x86_64_v3(long iterations);
float multiply_adds_x86_64_v4(long iterations);
float multiply_adds_x86_64_v4_bf16(long iterations);

constexpr int multiply_adds_in_flight = 12;

constexpr double multiply_adds_flops(long iterations, int lanes) {
  return 2.0 * multiply_adds_in_flight * lanes * static_cast<double>(iterations);
}

}  // namespace tagix::benchmark
