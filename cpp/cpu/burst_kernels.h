#pragma once

// Kernels of a network that learns a few rows after the other, many times: weights are kept by
// their inputs, with means and variances side by side, so that a pass through an affine map needs
// no sums across a vector, and a weight is read once to pass an innovation on and to learn from it.
// For kernels.cpp (cpu/kernels.h says what each does).

#include "cpu/kernels.h"
#include "cpu/simd.h"
#include "math/inference.h"

namespace tagix::cpu {
namespace {

/// Vectors of columns that affine_burst sums side by side. Each takes three sums for every row;
/// more would not fit the registers beside the weights.
template <int rows>
constexpr int burst_vectors =
    rows == 1 ? (lanes<Vector> == 16 ? 4 : 2) : (rows == 2 && lanes<Vector> == 16 ? 2 : 1);

/// n vectors of columns of affine_burst, from `column` on, for `rows` rows.
template <int rows, int n, bool known>
TAGIX_INLINE void burst_columns(const BurstInput& input, Index first_row, const BurstWeight& weight,
                                Index column, const BurstOutput& output) {
  Vector mean[rows * n], by_mean[rows * n]{}, by_var[rows * n];
  const float* const bias = weight.row(weight.in) + column;
  unroll<rows * n>([&](auto k) TAGIX_LAMBDA_INLINE {
    const float* const own = bias + k.value % n * lanes<Vector>;
    mean[k.value] = load<Vector>(own);
    by_var[k.value] = load<Vector>(own + weight.padded_out);
  });
  for (Index k = 0; k < input.n_live; ++k) {
    const Index i = input.live == nullptr ? k : input.live[k];
    const float* const row = weight.row(i) + column;
    Vector w_mean[n], w_square[n], w_var[n];
    unroll<n>([&](auto v) TAGIX_LAMBDA_INLINE {
      w_mean[v.value] = load<Vector>(row + v.value * lanes<Vector>);
      w_var[v.value] = load<Vector>(row + weight.padded_out + v.value * lanes<Vector>);
      w_square[v.value] = w_mean[v.value] * w_mean[v.value];
    });
    unroll<rows>([&](auto r) TAGIX_LAMBDA_INLINE {
      const Index at = (first_row + r.value) * weight.in + i;
      const Vector a = broadcast<Vector>(input.mean[at]);
      const Vector moment = broadcast<Vector>(input.second_moment[at]);
      unroll<n>([&](auto v) TAGIX_LAMBDA_INLINE {
        constexpr int s = r.value * n + v.value;
        mean[s] += a * w_mean[v.value];
        by_var[s] += moment * w_var[v.value];
        if constexpr (!known) {
          by_mean[s] += broadcast<Vector>(input.var[at]) * w_square[v.value];
        }
      });
    });
  }
  unroll<rows * n>([&](auto k) TAGIX_LAMBDA_INLINE {
    const Index at =
        (first_row + k.value / n) * weight.padded_out + column + k.value % n * lanes<Vector>;
    store(mean[k.value], output.mean + at);
    store(by_var[k.value] + by_mean[k.value], output.var + at);
  });
}

template <int rows, bool known>
void burst_rows(const BurstInput& input, Index first_row, const BurstWeight& weight,
                const BurstOutput& output) {
  constexpr int n = burst_vectors<rows>;
  Index column = 0;
  for (; column + n * lanes<Vector> <= weight.padded_out; column += n * lanes<Vector>) {
    burst_columns<rows, n, known>(input, first_row, weight, column, output);
  }
  for (; column < weight.padded_out; column += lanes<Vector>) {
    burst_columns<rows, 1, known>(input, first_row, weight, column, output);
  }
}

template <bool known>
TAGIX_INLINE void affine_burst_of(const BurstInput& input, Index rows, const BurstWeight& weight,
                                  const BurstOutput& output) {
  Index row = 0;
  if constexpr (lanes<Vector> == 16) {  // which have registers enough for the sums of four rows
    for (; row + 4 <= rows; row += 4) burst_rows<4, known>(input, row, weight, output);
  }
  for (; row + 2 <= rows; row += 2) burst_rows<2, known>(input, row, weight, output);
  for (; row < rows; ++row) burst_rows<1, known>(input, row, weight, output);
}

void affine_burst(const BurstInput& input, Index rows, const BurstWeight& weight,
                  const BurstOutput& output) {
  if (input.var == nullptr) {
    affine_burst_of<true>(input, rows, weight, output);
  } else {
    affine_burst_of<false>(input, rows, weight, output);
  }
}

/// The update of math::information_update for a vector of weights, whose change is bounded with
/// `clips` alone.
template <bool clips>
TAGIX_INLINE void update_vector(Vector w_mean, Vector w_var, Vector delta_mean, Vector delta_var,
                                Vector clip, float* mean, float* var) {
  if constexpr (clips) {
    const math::Posterior<Vector> posterior =
        math::information_update(w_mean, w_var, delta_mean, delta_var, clip);
    store(posterior.mean, mean);
    store(posterior.var, var);
  } else {
    const Vector posterior_var = w_var / (1.0f - w_var * delta_var);
    store(w_mean + posterior_var * delta_mean, mean);
    store(posterior_var, var);
  }
}

/// The inputs that a pass over the columns takes at once: two sums and two factors of each input
/// and row are to stay in registers.
template <int rows>
constexpr int inputs_at_once = lanes<Vector> == 16 && rows < 4 ? 4 / rows : 1;

/// Takes innovations through the weights of n inputs and changes these: sums[2 (c rows + r)] and
/// the one after it are those of input c in row r, yet to be added up across the vector.
template <int rows, int n, bool clips>
TAGIX_INLINE void update_columns(const float* const (&mean)[n], float* const (&weight)[n], Index in,
                                 const float* delta_mean, const float* delta_var, Index padded_out,
                                 Vector clip, Vector* sums) {
  Vector own_sums[2 * rows * n]{}, a[rows * n], square[rows * n];
  unroll<rows * n>([&](auto s) TAGIX_LAMBDA_INLINE {
    a[s.value] = broadcast<Vector>(mean[s.value / rows][s.value % rows * in]);
    square[s.value] = a[s.value] * a[s.value];
  });
  for (Index column = 0; column < padded_out; column += lanes<Vector>) {
    Vector d_mean[rows], d_var[rows];
    unroll<rows>([&](auto r) TAGIX_LAMBDA_INLINE {
      d_mean[r.value] = load<Vector>(delta_mean + r.value * padded_out + column);
      d_var[r.value] = load<Vector>(delta_var + r.value * padded_out + column);
    });
    unroll<n>([&](auto c) TAGIX_LAMBDA_INLINE {
      float* const own = weight[c.value] + column;
      const Vector w_mean = load<Vector>(own), w_var = load<Vector>(own + padded_out);
      const Vector w_square = w_mean * w_mean;
      Vector own_mean{}, own_var{};
      unroll<rows>([&](auto r) TAGIX_LAMBDA_INLINE {
        constexpr int k = c.value * rows + r.value;
        own_sums[2 * k] += w_mean * d_mean[r.value];
        own_sums[2 * k + 1] += w_square * d_var[r.value];
        own_mean += a[k] * d_mean[r.value];
        own_var += square[k] * d_var[r.value];
      });
      update_vector<clips>(w_mean, w_var, own_mean, own_var, clip, own, own + padded_out);
    });
  }
  unroll<2 * rows * n>([&](auto s) TAGIX_LAMBDA_INLINE { sums[s.value] = own_sums[s.value]; });
}

/// update_burst for n inputs, the first of them live input k.
template <int rows, int n, bool clips>
TAGIX_INLINE void update_inputs(const BurstInput& input, const BurstDelta& delta, Index k,
                                float clip, const BurstWeight& weight, const BurstOutput& below) {
  constexpr int n_sums = 2 * rows * n;
  constexpr int n_vectors = (n_sums + lanes<Vector> - 1) / lanes<Vector>;
  constexpr int together = inputs_at_once<rows> < n ? inputs_at_once<rows> : n;
  Vector sums[n_vectors * lanes<Vector>]{};  // of each input and row, of mean and of variance
  Index at[n];
  for (int c = 0; c < n; ++c) at[c] = input.live == nullptr ? k + c : input.live[k + c];
  unroll<n / together>([&](auto part) TAGIX_LAMBDA_INLINE {
    constexpr int first = part.value * together;
    const float* mean[together];
    float* own[together];
    unroll<together>([&](auto c) TAGIX_LAMBDA_INLINE {
      mean[c.value] = input.mean + at[first + c.value];
      own[c.value] = weight.row(at[first + c.value]);
    });
    update_columns<rows, together, clips>(mean, own, weight.in, delta.mean, delta.var,
                                          weight.padded_out, broadcast<Vector>(clip),
                                          sums + 2 * rows * first);
  });
  if (below.mean == nullptr) return;
  float totals[n_vectors * lanes<Vector>];
  unroll<n_vectors>([&](auto part) TAGIX_LAMBDA_INLINE {
    Vector own[lanes<Vector>];
    unroll<lanes<Vector>>([&](auto s) TAGIX_LAMBDA_INLINE {
      own[s.value] = sums[part.value * lanes<Vector> + s.value];
    });
    store(element_sums(own), totals + part.value * lanes<Vector>);
  });
  for (int c = 0; c < n; ++c) {
    for (int r = 0; r < rows; ++r) {
      below.mean[r * weight.in + at[c]] = totals[2 * (c * rows + r)];
      below.var[r * weight.in + at[c]] = totals[2 * (c * rows + r) + 1];
    }
  }
}

/// update_burst for n inputs from live input k on, of which some change may be out of bounds or
/// none: |var' G| <= sqrt(var) sqrt(var) |G|.
template <int rows, int n>
TAGIX_INLINE void update_some(const BurstInput& input, const BurstDelta& delta, Index k, float clip,
                              const BurstWeight& weight, const BurstOutput& below) {
  bool clips = false;
  for (Index c = k; c < k + n; ++c) {
    const Index i = input.live == nullptr ? c : input.live[c];
    float largest = 0;
    for (Index r = 0; r < rows; ++r) {
      largest += math::abs(input.mean[r * weight.in + i]) * delta.largest_mean[r];
    }
    clips = clips || !(largest * weight.largest_sd <= clip);
  }
  if (clips) {
    update_inputs<rows, n, true>(input, delta, k, clip, weight, below);
  } else {
    update_inputs<rows, n, false>(input, delta, k, clip, weight, below);
  }
}

/// Not inlined, so that tools/check_hot_loops.py knows its loops.
template <int rows>
__attribute__((noinline)) void update_burst_of(BurstInput input, BurstDelta delta, float clip,
                                               BurstWeight weight, BurstOutput below) {
  constexpr int n = 2 * rows < lanes<Vector> ? lanes<Vector> / (2 * rows) : 1;
  Index k = 0;
  for (; k + n <= input.n_live; k += n) {
    update_some<rows, n>(input, delta, k, clip, weight, below);
  }
  for (; k < input.n_live; ++k) update_some<rows, 1>(input, delta, k, clip, weight, below);
}

void update_burst(const BurstInput& input, const BurstDelta& delta, Index rows, float clip,
                  const BurstWeight& weight, const BurstOutput& below) {
  switch (rows) {
    case 1:
      return update_burst_of<1>(input, delta, clip, weight, below);
    case 2:
      return update_burst_of<2>(input, delta, clip, weight, below);
    case 4:
      return update_burst_of<4>(input, delta, clip, weight, below);
    default:
      return update_burst_of<8>(input, delta, clip, weight, below);
  }
}

void transpose_plane(const float* source, Index rows, Index cols, Index stride, float* target,
                     Index target_stride) {
  constexpr Index n = lanes<Vector>;
  const Index whole_rows = rows / n * n, whole_cols = cols / n * n;
  for (Index row = 0; row < whole_rows; row += n) {
    for (Index col = 0; col < whole_cols; col += n) {
      Vector square[n];
      unroll<n>([&](auto i) TAGIX_LAMBDA_INLINE {
        square[i.value] = load<Vector>(source + (row + i.value) * stride + col);
      });
      transpose(square);
      unroll<n>([&](auto i) TAGIX_LAMBDA_INLINE {
        store(square[i.value], target + (col + i.value) * target_stride + row);
      });
    }
  }
  for (Index row = 0; row < rows; ++row) {
    for (Index col = row < whole_rows ? whole_cols : 0; col < cols; ++col) {
      target[col * target_stride + row] = source[row * stride + col];
    }
  }
}

#if TAGIX_LANES == 16 && defined(__AVX512DQ__)
/// Writes the numbers of the elements of a mask that are set, counted from `first`, and returns
/// how many they are. Writes up to 16.
TAGIX_INLINE Index list_elements(IndexVector mask, Index first, Index* numbers) {
  typedef long long Numbers __attribute__((vector_size(64)));
  const Numbers low = Numbers{0, 1, 2, 3, 4, 5, 6, 7} + first, high = low + 8;
  const unsigned bits = __builtin_ia32_cvtd2mask512(mask), low_bits = bits & 255;
  const Numbers chosen[] = {
      __builtin_ia32_compressdi512_mask(low, low, static_cast<unsigned char>(low_bits)),
      __builtin_ia32_compressdi512_mask(high, high, static_cast<unsigned char>(bits >> 8))};
  const Index n_low = __builtin_popcount(low_bits);
  __builtin_memcpy(numbers, &chosen[0], sizeof(Numbers));
  __builtin_memcpy(numbers + n_low, &chosen[1], sizeof(Numbers));
  return __builtin_popcount(bits);
}
#endif

Index find_live(const float* second_moment, const float* jacobian, Index size, Index* live) {
  const float* const slope = jacobian == nullptr ? second_moment : jacobian;
  Index n_live = 0, i = 0;
#if TAGIX_LANES == 16 && defined(__AVX512DQ__)
  for (; i + lanes<Vector> <= size; i += lanes<Vector>) {
    const auto is_live = (load<Vector>(second_moment + i) != 0) | (load<Vector>(slope + i) != 0);
    n_live += list_elements(is_live, i, live + n_live);
  }
#endif
  // No branch depends on an input: a processor could not predict which ones are dead.
  for (; i < size; ++i) {
    live[n_live] = i;
    n_live += static_cast<Index>(second_moment[i] != 0) | static_cast<Index>(slope[i] != 0);
  }
  return n_live;
}

float largest_magnitude(const float* values, Index size) {
  Vector largest{};
  for_each_vector(size, [&](Index i, auto load_part, auto) TAGIX_LAMBDA_INLINE {
    largest = math::max(largest, math::abs(load_part(values + i)));
  });
  return largest_element(largest);
}

}  // namespace
}  // namespace tagix::cpu
