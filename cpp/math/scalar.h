#pragma once

#include <cstdint>
#include <type_traits>

#include "math/target.h"

namespace tagix::math {

// Elementary functions over T: double, float, or a GCC vector of floats. float, vectors and CUDA
// run one source, without branches; double calls the compiler's own functions. Relative errors
// given below are for float. NaN arguments give NaN. tools/fit_normal_tails.py makes the
// polynomials.

namespace detail {

template <class T, class = void>
struct Element {
  using scalar = T;
  using bits = std::uint32_t;
};

template <class T>
struct Element<T, std::void_t<decltype(std::declval<T&>()[0])>> {
  using scalar = std::decay_t<decltype(std::declval<T&>()[0])>;
  typedef std::uint32_t bits __attribute__((vector_size(sizeof(T))));
};

}  // namespace detail

/// The element type of T: float for vectors of floats, T itself for scalars.
template <class T>
using scalar_of_t = typename detail::Element<T>::scalar;

/// T with every element equal to `value`.
template <class T>
TAGIX_HD TAGIX_INLINE T broadcast(scalar_of_t<T> value) {
  return value - T{};
}

/// Elementwise mask ? a : b, where `mask` is a comparison of Ts.
template <class Mask, class T>
TAGIX_HD TAGIX_INLINE T select(Mask mask, T a, T b) {
  return mask ? a : b;
}

/// Whether a comparison of Ts holds for any element.
template <class Mask>
TAGIX_HD TAGIX_INLINE bool any(Mask mask) {
  if constexpr (std::is_same_v<Mask, bool>) {
    return mask;
#if defined(__AVX512DQ__) && !defined(__CUDACC__)
  } else if constexpr (sizeof(Mask) == 64) {
    typedef int Ints __attribute__((vector_size(64)));
    return __builtin_ia32_cvtd2mask512(reinterpret_cast<Ints>(mask)) != 0;
#endif
#if defined(__AVX__) && !defined(__CUDACC__)
  } else if constexpr (sizeof(Mask) == 32) {
    typedef float Floats __attribute__((vector_size(32)));
    return __builtin_ia32_movmskps256(reinterpret_cast<Floats>(mask)) != 0;
#endif
  } else {
    bool found = false;
    for (unsigned i = 0; i < sizeof(Mask) / sizeof(mask[0]); ++i) found = found || mask[i] != 0;
    return found;
  }
}

// Of min, max and clamp a NaN comes back where it is the first argument.

template <class T>
TAGIX_HD TAGIX_INLINE T min(T a, T b) {
  return select(b < a, b, a);
}

template <class T>
TAGIX_HD TAGIX_INLINE T max(T a, T b) {
  return select(a < b, b, a);
}

template <class T>
TAGIX_HD TAGIX_INLINE T clamp(T x, T low, T high) {
  return min(max(x, low), high);
}

namespace detail {

/// The bits of the floats in x, and back.
template <class T>
TAGIX_HD TAGIX_INLINE typename Element<T>::bits to_bits(T x) {
  return __builtin_bit_cast(typename Element<T>::bits, x);
}

template <class T>
TAGIX_HD TAGIX_INLINE T from_bits(typename Element<T>::bits bits) {
  return __builtin_bit_cast(T, bits);
}

template <class T>
inline constexpr bool is_double = std::is_same_v<T, double>;

}  // namespace detail

template <class T>
TAGIX_HD TAGIX_INLINE T abs(T x) {
  if constexpr (detail::is_double<T>) {
    return __builtin_fabs(x);
  } else {
    return detail::from_bits<T>(detail::to_bits(x) & 0x7fffffffu);
  }
}

/// Whether x is neither infinite nor NaN.
TAGIX_HD TAGIX_INLINE bool is_finite(float x) { return abs(x) < __builtin_inff(); }

/// |magnitude| with the sign of `sign`.
template <class T>
TAGIX_HD TAGIX_INLINE T copysign(T magnitude, T sign) {
  if constexpr (detail::is_double<T>) {
    return __builtin_copysign(magnitude, sign);
  } else {
    return detail::from_bits<T>((detail::to_bits(magnitude) & 0x7fffffffu) |
                                (detail::to_bits(sign) & 0x80000000u));
  }
}

/// Correctly rounded. Needs -fno-math-errno to become one instruction.
template <class T>
TAGIX_HD TAGIX_INLINE T sqrt(T x) {
  if constexpr (detail::is_double<T>) {
    return __builtin_sqrt(x);
  } else if constexpr (std::is_same_v<T, float>) {
    return __builtin_sqrtf(x);
  } else {
    T root;
    for (unsigned i = 0; i < sizeof(T) / sizeof(float); ++i) root[i] = __builtin_sqrtf(x[i]);
    return root;
  }
}

/// 1 / x where that neither overflows nor underflows. With vectors of 512 bits, whose division
/// takes longer than all around it, by an estimate of 14 bits and a step of Newton's: two units in
/// the last place.
template <class T>
TAGIX_HD TAGIX_INLINE T reciprocal(T x) {
#if defined(__AVX512F__) && !defined(__CUDACC__)
  if constexpr (sizeof(T) == 64) {
    const T rough = __builtin_ia32_rcp14ps512_mask(x, T{}, static_cast<unsigned short>(-1));
    return rough + rough * (1.0f - x * rough);
  }
#endif
  return scalar_of_t<T>(1) / x;
}

/// 1 / sqrt(x) for numbers x > 0, in the same way.
template <class T>
TAGIX_HD TAGIX_INLINE T inverse_sqrt(T x) {
#if defined(__AVX512F__) && !defined(__CUDACC__)
  if constexpr (sizeof(T) == 64) {
    const T rough = __builtin_ia32_rsqrt14ps512_mask(x, T{}, static_cast<unsigned short>(-1));
    return rough + rough * (0.5f - (0.5f * x * rough) * rough);
  }
#endif
  return scalar_of_t<T>(1) / sqrt(x);
}

/// c0 + c1 x + c2 x^2 + ..., by Horner's rule.
template <class T>
TAGIX_HD TAGIX_INLINE T polynomial(T, scalar_of_t<T> c0) {
  return broadcast<T>(c0);
}

template <class T, class... Rest>
TAGIX_HD TAGIX_INLINE T polynomial(T x, scalar_of_t<T> c0, Rest... rest) {
  return c0 + x * polynomial(x, rest...);
}

namespace detail {

/// x = n log(2) + r, |r| <= log(2) / 2.
template <class T>
struct ReducedExp {
  typename Element<T>::bits exponent;  ///< n in the field of a float's exponent, modulo 2^32
  T expm1;                             ///< exp(r) - 1
};

template <class T>
TAGIX_HD TAGIX_INLINE ReducedExp<T> reduced_exp(T x) {
  // Adding 1.5 2^23 rounds to an integer and leaves it in the low bits.
  constexpr float to_integer = 12582912.0f;
  const T shifted = x * 1.44269504f + to_integer;
  const T n = shifted - to_integer;
  // log(2) in two parts, the first short enough for n times it to be exact.
  const T r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  const T p = polynomial(r, 5.0e-1f, 1.6666578e-1f, 4.166685e-2f, 8.363148e-3f, 1.3901406e-3f);
  return {to_bits(shifted) << 23, r + r * r * p};
}

template <class T>
TAGIX_HD TAGIX_INLINE T scaled_exp(const ReducedExp<T>& reduced) {
  return from_bits<T>(to_bits<T>(1.0f + reduced.expm1) + reduced.exponent);
}

}  // namespace detail

/// exp(x) for -87.3 <= x <= 88.7 and NaN; finite or not, but meaningless, elsewhere. Relative
/// error 1.2e-7.
template <class T>
TAGIX_HD TAGIX_INLINE T exp_in_range(T x) {
  if constexpr (detail::is_double<T>) {
    return __builtin_exp(x);
  } else {
    return detail::scaled_exp(detail::reduced_exp(x));
  }
}

/// exp(x): 0 below -87.3, where the result would be denormal, and infinity above 88.72. Relative
/// error 1.2e-7.
template <class T>
TAGIX_HD TAGIX_INLINE T exp(T x) {
  if constexpr (detail::is_double<T>) {
    return __builtin_exp(x);
  } else {
    const T normal = select(x < -87.3f, broadcast<T>(0.0f), exp_in_range(x));
    return select(x > 88.72283f, broadcast<T>(__builtin_inff()), normal);
  }
}

/// exp(x) - 1, accurate near 0 too. Relative error 1.2e-7.
template <class T>
TAGIX_HD TAGIX_INLINE T expm1(T x) {
  if constexpr (detail::is_double<T>) {
    return __builtin_expm1(x);
  } else {
    // exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1) while 2^n matters and does not overflow.
    const auto reduced = detail::reduced_exp(x);
    const T scale = detail::from_bits<T>(reduced.exponent + 0x3f800000u);
    const T middle = scale * reduced.expm1 + (scale - 1.0f);
    const T lower = select(x < -20.0f, broadcast<T>(-1.0f), middle);
    return select(x > 20.0f, exp(x), lower);
  }
}

namespace detail {

/// x = 2^k (1 + m) with sqrt(1/2) <= 1 + m < sqrt(2), m left out.
template <class T>
struct BinaryExponent {
  T k;
  T scale;  ///< 2^-k
};

template <class T>
TAGIX_HD TAGIX_INLINE BinaryExponent<T> binary_exponent(T x) {
  const auto biased = (to_bits<T>(x) + (0x3f800000u - 0x3f3504f3u)) >> 23;  // k + 127
  return {from_bits<T>(biased | 0x4b000000u) - (8388608.0f + 127.0f),
          from_bits<T>((254u - biased) << 23)};
}

/// k log(2) + log(1 + m).
template <class T>
TAGIX_HD TAGIX_INLINE T log_of_parts(T k, T m) {
  const T p = polynomial(m, -4.9999997e-1f, 3.3333665e-1f, -2.5001395e-1f, 1.9972529e-1f,
                         -1.6581275e-1f, 1.4820607e-1f, -1.4212653e-1f, 8.900988e-2f);
  return k * 0.693359375f + (m + (k * -2.12194440e-4f + m * m * p));
}

}  // namespace detail

/// log(x) for normal numbers x > 0. Relative error 2e-7.
template <class T>
TAGIX_HD TAGIX_INLINE T log(T x) {
  if constexpr (detail::is_double<T>) {
    return __builtin_log(x);
  } else {
    const auto exponent = detail::binary_exponent(x);
    return detail::log_of_parts(exponent.k, x * exponent.scale - 1.0f);
  }
}

/// log(1 + x) for -1 < x < 1e38, accurate near 0 too. Relative error 2e-7.
template <class T>
TAGIX_HD TAGIX_INLINE T log1p(T x) {
  if constexpr (detail::is_double<T>) {
    return __builtin_log1p(x);
  } else {
    // The power comes from the rounded 1 + x, m from x itself, so that no digits are lost.
    const auto exponent = detail::binary_exponent<T>(1.0f + x);
    return detail::log_of_parts(exponent.k, x * exponent.scale + (exponent.scale - 1.0f));
  }
}

template <class T>
struct SineCosine {
  T sine;
  T cosine;
};

/// sin(2 pi x) and cos(2 pi x) for 0 <= x <= 1. Absolute error 1.5e-7.
template <class T>
TAGIX_HD TAGIX_INLINE SineCosine<T> sincos_of_turns(T x) {
  using S = scalar_of_t<T>;
  // x = (q + r) / 4 with a whole number of quarters q and |r| <= 1/2; the angle of r is exact but
  // for its rounding.
  const T quarters = x * S(4);
  const T whole =
      select(quarters < S(0.5), broadcast<T>(0),
             select(quarters < S(1.5), broadcast<T>(1),
                    select(quarters < S(2.5), broadcast<T>(2),
                           select(quarters < S(3.5), broadcast<T>(3), broadcast<T>(4)))));
  const T angle = (quarters - whole) * S(1.5707963267948966);
  T sine, cosine;
  if constexpr (detail::is_double<T>) {
    sine = __builtin_sin(angle);
    cosine = __builtin_cos(angle);
  } else {
    const T square = angle * angle;
    sine = angle + angle * square *
                       polynomial(square, -1.6666654611e-1f, 8.3321608736e-3f, -1.9515295891e-4f);
    cosine = 1.0f +
             square * polynomial(square, -0.5f, 4.166664568e-2f, -1.388731625e-3f, 2.443315712e-5f);
  }
  const auto odd = (whole == S(1)) | (whole == S(3));
  const auto sine_below = (whole == S(2)) | (whole == S(3));
  const auto cosine_below = (whole == S(1)) | (whole == S(2));
  const T upper_sine = select(odd, cosine, sine), upper_cosine = select(odd, sine, cosine);
  return {select(sine_below, -upper_sine, upper_sine),
          select(cosine_below, -upper_cosine, upper_cosine)};
}

/// 1 / (1 + exp(-x)), with small relative error at both ends.
template <class T>
TAGIX_HD TAGIX_INLINE T sigmoid(T x) {
  const T tail = exp(-abs(x));
  const T upper = scalar_of_t<T>(1) / (1 + tail);
  return select(x < 0, tail * upper, upper);
}

/// The derivative of the sigmoid, sigmoid(x) sigmoid(-x).
template <class T>
TAGIX_HD TAGIX_INLINE T sigmoid_derivative(T x) {
  const T tail = exp(-abs(x));
  const T upper = scalar_of_t<T>(1) / (1 + tail);
  return tail * upper * upper;
}

/// tanh(x) = -expm1(-2 |x|) / (2 + expm1(-2 |x|)) with the sign of x. Relative error 2.5e-7.
template <class T>
TAGIX_HD TAGIX_INLINE T tanh(T x) {
  const T decay = expm1(-2 * abs(x));
  return copysign(decay * (scalar_of_t<T>(1) / (2 + decay)), x);
}

/// The derivative of tanh, 1 - tanh(x)^2 = 4 exp(-2 |x|) / (1 + exp(-2 |x|))^2, which does not
/// cancel.
template <class T>
TAGIX_HD TAGIX_INLINE T tanh_derivative(T x) {
  const T inverse = scalar_of_t<T>(1) / (2 + expm1(-2 * abs(x)));
  return 4 * exp(-2 * abs(x)) * inverse * inverse;
}

/// log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)).
template <class T>
TAGIX_HD TAGIX_INLINE T softplus(T x) {
  return max(x, broadcast<T>(0)) + log1p(exp(-abs(x)));
}

/// 1 / sd, and 0 where sd is 0.
template <class T>
TAGIX_HD TAGIX_INLINE T inverse_or_zero(T sd) {
  using S = scalar_of_t<T>;
  const T inverse = 1 / max(sd, broadcast<T>(S(1e-30)));
  return select(sd > 0, inverse, broadcast<T>(0));
}

}  // namespace tagix::math
