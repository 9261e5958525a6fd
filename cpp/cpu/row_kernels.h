#pragma once

// Kernels that take one row through an affine map, straight from the parameters, for kernels.cpp
// (cpu/kernels.h says what each does).

#include "cpu/kernels.h"
#include "cpu/simd.h"

namespace tagix::cpu {
namespace {

/// What affine_row works out: the means alone, or both moments for an input that is known exactly,
/// or that is not.
enum class RowTerms { means, known, both };

/// One output of affine_row: what the columns from `first` on add up to. The variance is sorted by
/// the moments of the weight, W_mean^2 a_var + W_var (a_var + a_mean^2), so that each is read once.
template <class V, RowTerms terms>
TAGIX_INLINE void add_affine_terms(const AffineInput& input, const float* weight_mean,
                                   const float* weight_var, Index first, V& mean, V& var) {
  const V w_mean = load<V>(weight_mean + first);
  mean += w_mean * load<V>(input.mean + first);
  if constexpr (terms == RowTerms::means) return;
  const V w_var = load<V>(weight_var + first);
  if constexpr (terms == RowTerms::known) {
    var += w_var * load<V>(input.square + first);
  } else {
    const V input_var = load<V>(input.var + first);
    var += w_mean * w_mean * input_var;
    var += w_var * (input_var + load<V>(input.square + first));
  }
}

/// n_outputs outputs of affine_row, at most half a vector: their sums are added up together.
template <RowTerms terms, int n_outputs>
TAGIX_INLINE void affine_outputs(const AffineInput& input, Index in,
                                 const AffineParameters& parameters, Index first, float* mean,
                                 float* var) {
  constexpr int n = lanes<Vector>;
  const Index whole = in / n * n;
  const float* weight_mean = parameters.weight_mean + first * in;
  const float* weight_var = parameters.weight_var + first * in;
  Vector sums[n]{};
  for (Index i = 0; i < whole; i += n) {
    unroll<n_outputs>([&](auto o) TAGIX_LAMBDA_INLINE {
      add_affine_terms<Vector, terms>(input, weight_mean + o.value * in, weight_var + o.value * in,
                                      i, sums[o.value], sums[n / 2 + o.value]);
    });
  }
  const Vector totals = element_sums(sums);
  for (Index o = 0; o < n_outputs; ++o) {
    float mean_sum = totals[o], var_sum = totals[n / 2 + o];
    for (Index i = whole; i < in; ++i) {
      add_affine_terms<float, terms>(input, weight_mean + o * in, weight_var + o * in, i, mean_sum,
                                     var_sum);
    }
    const Index output = first + o;
    mean[output] =
        mean_sum + (parameters.bias_mean == nullptr ? 0.0f : parameters.bias_mean[output]);
    if constexpr (terms == RowTerms::means) continue;
    var[output] = var_sum + (parameters.bias_var == nullptr ? 0.0f : parameters.bias_var[output]);
  }
}

template <RowTerms terms>
void affine_row_of(const AffineInput& input, Index in, const AffineParameters& parameters,
                   Index out, float* mean, float* var) {
  constexpr int together = lanes<Vector> / 2;
  Index output = 0;
  for (; output + together <= out; output += together) {
    affine_outputs<terms, together>(input, in, parameters, output, mean, var);
  }
  for (; output < out; ++output) {
    affine_outputs<terms, 1>(input, in, parameters, output, mean, var);
  }
}

void affine_row(const AffineInput& input, Index in, const AffineParameters& parameters, Index out,
                float* mean, float* var) {
  if (parameters.weight_var == nullptr) {
    affine_row_of<RowTerms::means>(input, in, parameters, out, mean, var);
  } else if (input.var == nullptr) {
    affine_row_of<RowTerms::known>(input, in, parameters, out, mean, var);
  } else {
    affine_row_of<RowTerms::both>(input, in, parameters, out, mean, var);
  }
}

/// n_vectors vectors of columns of affine_row_backward.
template <class V, int n_vectors>
TAGIX_INLINE void backward_columns(const float* delta_mean, const float* delta_var, Index out,
                                   const float* weight_mean, Index in, float* mean, float* var) {
  V means[n_vectors]{}, vars[n_vectors]{};
  for (Index o = 0; o < out; ++o, weight_mean += in) {
    if (delta_mean[o] == 0 && delta_var[o] == 0) continue;
    const V d_mean = broadcast<V>(delta_mean[o]), d_var = broadcast<V>(delta_var[o]);
    unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
      const V weight = load<V>(weight_mean + c.value * lanes<V>);
      means[c.value] += d_mean * weight;
      vars[c.value] += d_var * (weight * weight);
    });
  }
  unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
    store(means[c.value], mean + c.value * lanes<V>);
    store(vars[c.value], var + c.value * lanes<V>);
  });
}

void affine_row_backward(const float* delta_mean, const float* delta_var, Index out,
                         const float* weight_mean, Index in, float* mean, float* var) {
  constexpr Index n = lanes<Vector>;
  Index i = 0;
  for (; i + 4 * n <= in; i += 4 * n) {
    backward_columns<Vector, 4>(delta_mean, delta_var, out, weight_mean + i, in, mean + i, var + i);
  }
  for (; i + n <= in; i += n) {
    backward_columns<Vector, 1>(delta_mean, delta_var, out, weight_mean + i, in, mean + i, var + i);
  }
  for (; i < in; ++i) {
    float mean_sum = 0, var_sum = 0;
    for (Index o = 0; o < out; ++o) {
      const float weight = weight_mean[o * in + i];
      mean_sum += delta_mean[o] * weight;
      var_sum += delta_var[o] * (weight * weight);
    }
    mean[i] = mean_sum;
    var[i] = var_sum;
  }
}

}  // namespace
}  // namespace tagix::cpu
