// Compiled once for each instruction set, with TAGIX_LANES floats a vector and MULTIPLY_ADDS as the
// name of the function.

#include "multiply_adds.h"

#include "core/index.h"
#include "cpu/simd.h"

namespace tagix::benchmark {

float MULTIPLY_ADDS(long iterations) {
  using cpu::Vector;
  Vector sums[multiply_adds_in_flight] = {};
  // Hidden from the optimiser, and such that the sums converge.
  float factor = 0.999f, term = 0.001f;
  asm volatile("" : "+m"(factor), "+m"(term));
  const Vector factors = math::broadcast<Vector>(factor), terms = math::broadcast<Vector>(term);
  for (long i = 0; i < iterations; ++i) {
    cpu::unroll<multiply_adds_in_flight>(
        [&](auto k) TAGIX_LAMBDA_INLINE { sums[k.value] = sums[k.value] * factors + terms; });
  }
  float total = 0;
  for (const Vector& sum : sums) {
    for (int lane = 0; lane < TAGIX_LANES; ++lane) total += sum[lane];
  }
  return total;
}

}  // namespace tagix::benchmark
