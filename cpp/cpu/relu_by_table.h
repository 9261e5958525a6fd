#pragma once

// Moments of the ReLU and the leaky ReLU by tables in registers, where vectors have 512 bits.

#include "cpu/relu_tables.h"
#include "cpu/simd.h"
#include "math/activations.h"

#if TAGIX_LANES == 16 && defined(__AVX512F__)
#define TAGIX_HAS_RELU_TABLES

namespace tagix::cpu {
namespace {

/// table[index modulo 32], element by element.
TAGIX_INLINE Vector look_up(const float (&table)[32], IndexVector index) {
  const Vector low = load<Vector>(table), high = load<Vector>(table + lanes<Vector>);
#if defined(__clang__)
  return __builtin_ia32_vpermi2varps512(low, index, high);
#else
  return __builtin_shuffle(low, high, index);
#endif
}

/// 1 / sqrt(x) to 14 bits.
TAGIX_INLINE Vector rough_inverse_sqrt(Vector x) {
  return __builtin_ia32_rsqrt14ps512_mask(x, Vector{}, static_cast<unsigned short>(-1));
}

/// a b - c with one rounding.
TAGIX_INLINE Vector multiply_subtract(Vector a, Vector b, Vector c) {
  constexpr int rounding_as_set = 4;
  return __builtin_ia32_vfmaddps512_mask(a, b, -c, static_cast<unsigned short>(-1),
                                         rounding_as_set);
}

/// Moments of max(z, 0) under z ~ N(mean, var). With t = |mean| / sd and X standard normal, one
/// polynomial S(t) = E (X - t)+^2 of the interval that t lies in, and its derivative by Horner's
/// rule, give the tail of z beyond 0 as math::ReLU::exact takes it:
///
///   E (X - t)+ = -S'(t) / 2,   P(X > t) = S(t) + t E (X - t)+
///
/// With ReLUTable the relative error is that of math::ReLU::exact to |mean| = 8 sd. Below -8 sd the
/// result is 0 (the Jacobian is 6e-16 there), and above 8 sd the moments are those of z.
/// RoughReLUTable: 1.1e-3 to 5.5 sd.
template <class Table>
struct ReLUByTable {
  TAGIX_INLINE math::ActivationMoments<Vector> operator()(Vector mean, Vector var) const {
    constexpr bool refine = Table::degree > 4;  // its inverse root is good to 14 bits
    // Keeps 0 * infinity out.
    const Vector per_sd = rough_inverse_sqrt(var + 1.2e-38f);
    // The term beside |mean| puts t beyond the table where both moments are 0, so that E f' is 1.
    const Vector distance = math::abs(mean) + 1e-18f;
    Vector sd = var * per_sd, ratio = distance * per_sd;
    if constexpr (refine) {
      // A step of Newton's for both. The moments of the far tail change by t^2 times what the ratio
      // does, so its product is rounded once, with the step. NaN, of infinities, is beyond the end.
      const Vector error = 0.5f - (0.5f * sd) * per_sd;
      const Vector residue = multiply_subtract(distance, per_sd, ratio);
      sd += sd * error;
      ratio += ratio * error + residue;
    }
    const Vector t = math::min(ratio, broadcast<Vector>(Table::end));
    // Adding 1.5 2^23 rounds to an integer and leaves it in the low bits.
    const Vector shifted = t * (Table::a + Table::b * t) + 12582912.0f;
    const auto index = reinterpret_cast<IndexVector>(shifted);
    const Vector x = t - look_up(Table::centre, index);
    Vector value = look_up(Table::coefficients[Table::degree], index);
    Vector slope = value;  // S' once it has begun
    unroll<Table::degree>([&](auto step) TAGIX_LAMBDA_INLINE {
      constexpr int power = Table::degree - 1 - step.value;
      if constexpr (step.value >= 1) slope = slope * x + value;
      value = value * x + look_up(Table::coefficients[power], index);
    });
    const Vector first = -0.5f * slope, probability = value + t * first;
    const Vector jacobian = math::select(mean < 0, probability, 1 - probability);
    const Vector tail_var = value - first * first;
    return {sd * first + math::max(mean, Vector{}), var * (tail_var + (jacobian - probability)),
            jacobian};
  }
};

/// The same for f(z) = z for z > 0, negative_slope z else.
template <class Table>
struct LeakyReLUByTable {
  math::LeakyReLU activation;

  TAGIX_INLINE math::ActivationMoments<Vector> operator()(Vector mean, Vector var) const {
    return activation.from_relu(mean, var, ReLUByTable<Table>{}(mean, var));
  }
};

}  // namespace
}  // namespace tagix::cpu

#endif
