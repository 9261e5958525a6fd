#pragma once

// How the factors of a product are kept, for kernels.cpp. A cell is 4 bytes, a float or a pair of
// bfloat16; loads and broadcasts move cells and need not know which.

#include "cpu/kernels.h"
#include "cpu/simd.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace tagix::cpu {
namespace {

/// One float a cell.
struct Float32Format {
  static constexpr Index factors_per_cell = 1;
  static TAGIX_INLINE Index cells(Index factors) { return factors; }

  /// sum + a * b, by cells.
  template <class V>
  static TAGIX_INLINE V multiply_add(V sum, V a, V b) {
    return sum + a * b;
  }

  /// Factors in order, a vector of cells.
  static TAGIX_INLINE Vector cells_of(const Vector (&factors)[factors_per_cell]) {
    return factors[0];
  }

  /// Writes the factors of the depths k and k + 1 (the first alone if count is 1) to their cells,
  /// which are `step` floats apart.
  template <int count, class V>
  static TAGIX_INLINE void write_pair(V at_k, V after, Index k, Index step, float* target) {
    store(at_k, target + k * step);
    if constexpr (count == 2) store(after, target + (k + 1) * step);
  }
};

#if defined(__AVX512BF16__)

/// Two factors a cell, neighbours in what is summed over, each rounded to bfloat16 (to nearest,
/// ties to even; denormals count as 0). Their products and the sums are float32.
struct BFloat16Format {
  static constexpr Index factors_per_cell = 2;
  static TAGIX_INLINE Index cells(Index factors) { return (factors + 1) / 2; }

  /// sum + a.low * b.low + a.high * b.high.
  static TAGIX_INLINE Vector multiply_add(Vector sum, Vector a, Vector b) {
    return reinterpret_cast<Vector>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum),
                                                     reinterpret_cast<__m512bh>(a),
                                                     reinterpret_cast<__m512bh>(b)));
  }
  static TAGIX_INLINE ThinVector multiply_add(ThinVector sum, ThinVector a, ThinVector b) {
    return reinterpret_cast<ThinVector>(_mm_dpbf16_ps(reinterpret_cast<__m128>(sum),
                                                      reinterpret_cast<__m128bh>(a),
                                                      reinterpret_cast<__m128bh>(b)));
  }

  /// Both vectors rounded: those of `low`, then those of `high`.
  static TAGIX_INLINE Vector round(Vector low, Vector high) {
    return reinterpret_cast<Vector>(
        _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(high), reinterpret_cast<__m512>(low)));
  }
  static TAGIX_INLINE ThinVector round(ThinVector low, ThinVector high) {
    return reinterpret_cast<ThinVector>(
        _mm_cvtne2ps_pbh(reinterpret_cast<__m128>(high), reinterpret_cast<__m128>(low)));
  }

  /// Factors in order, a vector of cells of neighbours.
  static TAGIX_INLINE Vector cells_of(const Vector (&factors)[factors_per_cell]) {
    return round(factors[0], factors[1]);
  }

  template <class V, int... indices>
  static TAGIX_INLINE V interleave_over(V rounded, IndexList<indices...>) {
    typedef short Halves __attribute__((vector_size(sizeof(V))));
    constexpr int n = lanes<V>;
    const Halves halves = reinterpret_cast<Halves>(rounded);
    return reinterpret_cast<V>(
        __builtin_shufflevector(halves, halves, (indices / 2 + indices % 2 * n)...));
  }
  /// What `round` gives as cells with an element of `low` and the one of `high` at its place.
  template <class V>
  static TAGIX_INLINE V interleave(V rounded) {
    return interleave_over(rounded, typename MakeIndexList<2 * lanes<V>>::type{});
  }

  template <class V, int... indices>
  static TAGIX_INLINE V upper_half_over(V rounded, IndexList<indices...>) {
    return __builtin_shufflevector(rounded, rounded, (lanes<V> / 2 + indices % (lanes<V> / 2))...);
  }
  /// The upper half of a vector, in the lower half.
  template <class V>
  static TAGIX_INLINE V upper_half(V rounded) {
    return upper_half_over(rounded, typename MakeIndexList<lanes<V>>::type{});
  }
  template <class V>
  static TAGIX_INLINE void store_lower_half(V rounded, float* target) {
    __builtin_memcpy(target, &rounded, sizeof(V) / 2);
  }

  /// The cells that `round` gives, with neighbours of `low` to one row and those of `high` to
  /// another: half a vector to each.
  template <class V>
  static TAGIX_INLINE void store_low(V rounded, float* target) {
    store_lower_half(rounded, target);
  }
  template <class V>
  static TAGIX_INLINE void store_high(V rounded, float* target) {
    store_lower_half(upper_half(rounded), target);
  }
  /// The same for the first `cells` cells alone.
  static TAGIX_INLINE void store_low(Vector rounded, Index cells, float* target) {
    _mm512_mask_storeu_ps(target, first_cells(cells), reinterpret_cast<__m512>(rounded));
  }
  static TAGIX_INLINE void store_high(Vector rounded, Index cells, float* target) {
    store_low(upper_half(rounded), cells, target);
  }

  template <int count, class V>
  static TAGIX_INLINE void write_pair(V at_k, V after, Index k, Index step, float* target) {
    store(interleave(round(at_k, after)), target + k / 2 * step);
  }

 private:
  static TAGIX_INLINE __mmask16 first_cells(Index cells) {
    return static_cast<__mmask16>((1u << cells) - 1);
  }
};

constexpr bool has_bfloat16 = true;
#else
constexpr bool has_bfloat16 = false;
#endif

/// Calls body(Float32Format{}) or body(BFloat16Format{}). A format that this instruction set does
/// not have is never asked for.
template <class Body>
TAGIX_INLINE void with_format([[maybe_unused]] Format format, Body&& body) {
#if defined(__AVX512BF16__)
  if (format == Format::bfloat16) {
    body(BFloat16Format{});
    return;
  }
#endif
  body(Float32Format{});
}

}  // namespace
}  // namespace tagix::cpu
