#pragma once

// Kernels that take a few rows through an affine map, straight from the parameters, for kernels.cpp
// (cpu/kernels.h says what each does). Every weight is loaded once for as many rows as registers
// have room for; what a row gives does not depend on the others.

#include "cpu/kernels.h"
#include "cpu/simd.h"

namespace tagix::cpu {
namespace {

/// What affine_rows works out: the means alone, or both moments for inputs that are known exactly,
/// or that are not.
enum class RowTerms { means, known, both };

/// What the columns from `first` on of one output of affine_rows add up to, for `rows` rows. The
/// variance is sorted by the moments of the weight, W_mean^2 a_var + W_var (a_var + a_mean^2), so
/// that each is read once.
template <class V, RowTerms terms, int rows>
TAGIX_INLINE void add_affine_terms(const AffineInput& input, Index in, const float* weight_mean,
                                   const float* weight_var, Index first, V* mean, V* var) {
  const V w_mean = load<V>(weight_mean + first);
  const V w_square = w_mean * w_mean;
  const V w_var = terms == RowTerms::means ? V{} : load<V>(weight_var + first);
  unroll<rows>([&](auto r) TAGIX_LAMBDA_INLINE {
    const Index at = r.value * in + first;
    mean[r.value] += w_mean * load<V>(input.mean + at);
    if constexpr (terms == RowTerms::known) {
      var[r.value] += w_var * load<V>(input.square + at);
    } else if constexpr (terms == RowTerms::both) {
      const V input_var = load<V>(input.var + at);
      var[r.value] += w_square * input_var;
      var[r.value] += w_var * (input_var + load<V>(input.square + at));
    }
  });
}

/// n_outputs outputs of affine_rows for `rows` rows, at most half a vector together: their sums are
/// added up at once.
template <RowTerms terms, int rows, int n_outputs>
TAGIX_INLINE void affine_outputs(const AffineInput& input, Index in,
                                 const AffineParameters& parameters, Index first, Index out,
                                 float* mean, float* var) {
  constexpr int n = lanes<Vector>;
  const Index whole = in / n * n;
  const float* weight_mean = parameters.weight_mean + first * in;
  const float* weight_var = parameters.weight_var + first * in;
  Vector sums[n]{};
  for (Index i = 0; i < whole; i += n) {
    unroll<n_outputs>([&](auto o) TAGIX_LAMBDA_INLINE {
      add_affine_terms<Vector, terms, rows>(input, in, weight_mean + o.value * in,
                                            weight_var + o.value * in, i, sums + o.value * rows,
                                            sums + n / 2 + o.value * rows);
    });
  }
  float totals[n];
  store(element_sums(sums), totals);
  for (Index o = 0; o < n_outputs; ++o) {
    float *const mean_sums = totals + o * rows, *const var_sums = mean_sums + n / 2;
    for (Index i = whole; i < in; ++i) {
      add_affine_terms<float, terms, rows>(input, in, weight_mean + o * in, weight_var + o * in, i,
                                           mean_sums, var_sums);
    }
    const Index output = first + o;
    for (Index r = 0; r < rows; ++r) {
      const Index at = r * out + output;
      mean[at] =
          mean_sums[r] + (parameters.bias_mean == nullptr ? 0.0f : parameters.bias_mean[output]);
      if constexpr (terms == RowTerms::means) continue;
      var[at] = var_sums[r] + (parameters.bias_var == nullptr ? 0.0f : parameters.bias_var[output]);
    }
  }
}

/// Calls body(Constant<n>, first) for parts of `rows` rows, n rows from `first` on: `most`
/// together, then half as many, and so on.
template <int most, class Body>
TAGIX_INLINE void for_row_parts(Index rows, const Body& body) {
  Index first = 0;
  for (; first + most <= rows; first += most) body(Constant<most>{}, first);
  if constexpr (most > 1) {
    if (first < rows) {
      for_row_parts<most / 2>(rows - first,
                              [&](auto n, Index row) TAGIX_LAMBDA_INLINE { body(n, first + row); });
    }
  }
}

/// affine_rows by tiles of `most` rows. All rows go through some outputs before the next ones,
/// whose weights stay in the first-level cache meanwhile.
template <RowTerms terms, int most>
void affine_row_tiles(const AffineInput& input, Index rows, Index in,
                      const AffineParameters& parameters, Index out, float* mean, float* var) {
  const auto add_outputs = [&](auto n_outputs, Index output) TAGIX_LAMBDA_INLINE {
    for_row_parts<most>(rows, [&](auto n_rows, Index row) TAGIX_LAMBDA_INLINE {
      const AffineInput own{input.mean + row * in,
                            input.var == nullptr ? nullptr : input.var + row * in,
                            input.square + row * in};
      affine_outputs<terms, n_rows.value, n_outputs.value>(
          own, in, parameters, output, out, mean + row * out,
          var == nullptr ? nullptr : var + row * out);
    });
  };
  constexpr int together = lanes<Vector> / (2 * most);
  Index output = 0;
  for (; output + together <= out; output += together) add_outputs(Constant<together>{}, output);
  for (; together > 1 && output < out; ++output) add_outputs(Constant<1>{}, output);
}

/// Calls body(Constant<n>), where n is the number of rows of a tile for a batch of `rows` rows.
template <class Body>
TAGIX_INLINE void with_tile_rows(Index rows, const Body& body) {
  if (lanes<Vector> >= 16 && rows >= 4) {
    body(Constant<lanes<Vector> >= 16 ? 4 : 1>{});
  } else if (lanes<Vector> >= 8 && rows >= 2) {
    body(Constant<lanes<Vector> >= 8 ? 2 : 1>{});
  } else {
    body(Constant<1>{});
  }
}

template <RowTerms terms>
TAGIX_INLINE void affine_rows_of(const AffineInput& input, Index rows, Index in,
                                 const AffineParameters& parameters, Index out, float* mean,
                                 float* var) {
  with_tile_rows(rows, [&](auto most) TAGIX_LAMBDA_INLINE {
    affine_row_tiles<terms, most.value>(input, rows, in, parameters, out, mean, var);
  });
}

void affine_rows(const AffineInput& input, Index rows, Index in, const AffineParameters& parameters,
                 Index out, float* mean, float* var) {
  if (parameters.weight_var == nullptr) {
    affine_rows_of<RowTerms::means>(input, rows, in, parameters, out, mean, var);
  } else if (input.var == nullptr) {
    affine_rows_of<RowTerms::known>(input, rows, in, parameters, out, mean, var);
  } else {
    affine_rows_of<RowTerms::both>(input, rows, in, parameters, out, mean, var);
  }
}

/// n_vectors vectors of columns of affine_rows_backward for `rows` rows.
template <int rows, int n_vectors>
TAGIX_INLINE void backward_columns(const float* delta_mean, const float* delta_var, Index out,
                                   const float* weight_mean, Index in, float* mean, float* var) {
  Vector means[rows * n_vectors]{}, vars[rows * n_vectors]{};
  for (Index o = 0; o < out; ++o, weight_mean += in) {
    bool is_zero = true;
    for (Index r = 0; r < rows; ++r) {
      is_zero = is_zero && delta_mean[r * out + o] == 0 && delta_var[r * out + o] == 0;
    }
    if (is_zero) continue;
    unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
      const Vector weight = load<Vector>(weight_mean + c.value * lanes<Vector>);
      const Vector square = weight * weight;
      unroll<rows>([&](auto r) TAGIX_LAMBDA_INLINE {
        constexpr int k = r.value * n_vectors + c.value;
        means[k] += broadcast<Vector>(delta_mean[r.value * out + o]) * weight;
        vars[k] += broadcast<Vector>(delta_var[r.value * out + o]) * square;
      });
    });
  }
  unroll<rows * n_vectors>([&](auto k) TAGIX_LAMBDA_INLINE {
    const Index at = k.value / n_vectors * in + k.value % n_vectors * lanes<Vector>;
    store(means[k.value], mean + at);
    store(vars[k.value], var + at);
  });
}

/// affine_rows_backward for whole vectors of columns, by tiles of `most` rows.
template <int most>
void backward_row_tiles(const float* delta_mean, const float* delta_var, Index rows, Index out,
                        const float* weight_mean, Index in, float* mean, float* var) {
  const auto add_columns = [&](auto n_vectors, Index i) TAGIX_LAMBDA_INLINE {
    for_row_parts<most>(rows, [&](auto n_rows, Index row) TAGIX_LAMBDA_INLINE {
      backward_columns<n_rows.value, n_vectors.value>(delta_mean + row * out, delta_var + row * out,
                                                      out, weight_mean + i, in, mean + row * in + i,
                                                      var + row * in + i);
    });
  };
  constexpr Index n = lanes<Vector>;
  constexpr int together = most == 4 ? 2 : 4 / most;  // two sums for each stay in registers
  Index i = 0;
  for (; i + together * n <= in; i += together * n) add_columns(Constant<together>{}, i);
  for (; i + n <= in; i += n) add_columns(Constant<1>{}, i);
}

void affine_rows_backward(const float* delta_mean, const float* delta_var, Index rows, Index out,
                          const float* weight_mean, Index in, float* mean, float* var) {
  const Index whole = in / lanes<Vector> * lanes<Vector>;
  with_tile_rows(rows, [&](auto most) TAGIX_LAMBDA_INLINE {
    backward_row_tiles<most.value>(delta_mean, delta_var, rows, out, weight_mean, in, mean, var);
  });
  for (Index row = 0; row < rows; ++row) {
    for (Index i = whole; i < in; ++i) {
      float mean_sum = 0, var_sum = 0;
      for (Index o = 0; o < out; ++o) {
        const float weight = weight_mean[o * in + i];
        mean_sum += delta_mean[row * out + o] * weight;
        var_sum += delta_var[row * out + o] * (weight * weight);
      }
      mean[row * in + i] = mean_sum;
      var[row * in + i] = var_sum;
    }
  }
}

}  // namespace
}  // namespace tagix::cpu
