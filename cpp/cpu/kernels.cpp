// Compiled once for each instruction set, with TAGIX_LANES floats a vector, TAGIX_TILE_ROWS rows a
// register tile, and TAGIX_KERNELS as the name of the function that returns the table.

#include "cpu/kernels.h"

#include "cpu/adjoint_kernels.h"
#include "cpu/factors.h"
#include "cpu/formats.h"
#include "cpu/products.h"
#include "cpu/simd.h"
#include "math/affine.h"
#include "math/classes.h"
#include "math/drift.h"
#include "math/inference.h"
#include "math/quadrature.h"

namespace tagix::cpu {
namespace {

// Rows that add_column_sums adds up before they join the total.
constexpr Index column_sum_block = 128;

float multiply_adds(Format format, Index iterations) {
  Vector sums[multiply_adds_in_flight]{};
  // Hidden from the optimiser, and such that the sums converge.
  float factor = 0.999f, term = 0.001f;
  asm volatile("" : "+m"(factor), "+m"(term));
  const Vector factors = broadcast<Vector>(factor), terms = broadcast<Vector>(term);
  with_format(format, [&](auto cells) TAGIX_LAMBDA_INLINE {
    using F = decltype(cells);
    for (Index i = 0; i < iterations; ++i) {
      unroll<multiply_adds_in_flight>([&](auto k) TAGIX_LAMBDA_INLINE {
        Vector& sum = sums[k.value];
        // A sum of products adds to its first operand, which float32 can take for any of the three.
        sum = F::factors_per_cell == 1 ? F::multiply_add(terms, sum, factors)
                                       : F::multiply_add(sum, terms, factors);
      });
    }
  });
  Vector total{};
  for (const Vector& sum : sums) total += sum;
  return element_sum(total);
}

void pack_weight(WeightTerms terms, Format format, const WeightView& weight, Index depth,
                 Index columns, const float* bias, float* packed) {
  with_format(format, [&](auto cells) TAGIX_LAMBDA_INLINE {
    pack_panels<decltype(cells)>(terms, weight, depth, columns, bias, packed);
  });
}

void product_rows(WeightTerms terms, Format format, const float* first, const float* second,
                  Index stride, Index rows, Index depth, Index columns, const float* packed,
                  bool with_bias, bool padded, float* output, Index output_stride) {
  with_format(format, [&](auto cells) TAGIX_LAMBDA_INLINE {
    using F = decltype(cells);
    if (term_count(terms) == 2) {
      product_panels<F, 2>(first, second, stride, rows, F::cells(depth), columns, packed, with_bias,
                           padded, output, output_stride);
    } else {
      product_panels<F, 1>(first, first, stride, rows, F::cells(depth), columns, packed, with_bias,
                           padded, output, output_stride);
    }
  });
}

void outer_product(Format format, const SampleFactor& left, const SampleFactor& right,
                   Index samples, bool add, float* sum, Index sum_stride) {
  with_format(format, [&](auto cells) TAGIX_LAMBDA_INLINE {
    using F = decltype(cells);
    outer_panels<F>(left, right, F::cells(samples), add, sum, sum_stride);
  });
}

void pack_factors(Format format, bool squared, const float* values, Index stride, Index rows,
                  Index cols, const FactorCells& by_row, const FactorCells& by_sample) {
  with_format(format, [&](auto cells) TAGIX_LAMBDA_INLINE {
    pack_cells<decltype(cells)>(squared, values, stride, rows, cols, by_row, by_sample);
  });
}

void pack_inputs([[maybe_unused]] Format mean_format, [[maybe_unused]] const float* mean,
                 [[maybe_unused]] const float* var, [[maybe_unused]] Index stride,
                 [[maybe_unused]] Index rows, [[maybe_unused]] Index cols,
                 [[maybe_unused]] const InputFactors& factors) {
#if defined(__AVX512BF16__)
  with_format(mean_format, [&](auto means) TAGIX_LAMBDA_INLINE {
    pack_input_planes<decltype(means), BFloat16Format>(mean, var, stride, rows, cols, factors);
  });
#endif
}

void pack_deltas(Format mean_format, Format var_format, const float* jacobian, Index rows,
                 Index cols, float* mean, float* var, Index stride, const DeltaFactors& factors) {
  with_format(mean_format, [&](auto means) TAGIX_LAMBDA_INLINE {
    with_format(var_format, [&](auto vars) TAGIX_LAMBDA_INLINE {
      pack_delta_planes<decltype(means), decltype(vars)>(jacobian, rows, cols, mean, var, stride,
                                                         factors);
    });
  });
}

/// One output of affine_row: what the columns from `first` on add up to. The variance is sorted by
/// the moments of the weight, W_mean^2 a_var + W_var (a_var + a_mean^2), so that each is read once.
template <class V, bool known>
TAGIX_INLINE void add_affine_terms(const AffineInput& input, const float* weight_mean,
                                   const float* weight_var, Index first, V& mean, V& var) {
  const V w_mean = load<V>(weight_mean + first), w_var = load<V>(weight_var + first);
  mean += w_mean * load<V>(input.mean + first);
  if constexpr (known) {
    var += w_var * load<V>(input.square + first);
  } else {
    const V input_var = load<V>(input.var + first);
    var += w_mean * w_mean * input_var;
    var += w_var * (input_var + load<V>(input.square + first));
  }
}

/// n_outputs outputs of affine_row, at most half a vector: their sums are added up together.
template <bool known, int n_outputs>
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
      add_affine_terms<Vector, known>(input, weight_mean + o.value * in, weight_var + o.value * in,
                                      i, sums[o.value], sums[n / 2 + o.value]);
    });
  }
  const Vector totals = element_sums(sums);
  for (Index o = 0; o < n_outputs; ++o) {
    float mean_sum = totals[o], var_sum = totals[n / 2 + o];
    for (Index i = whole; i < in; ++i) {
      add_affine_terms<float, known>(input, weight_mean + o * in, weight_var + o * in, i, mean_sum,
                                     var_sum);
    }
    const Index output = first + o;
    mean[output] =
        mean_sum + (parameters.bias_mean == nullptr ? 0.0f : parameters.bias_mean[output]);
    var[output] = var_sum + (parameters.bias_var == nullptr ? 0.0f : parameters.bias_var[output]);
  }
}

template <bool known>
void affine_row_of(const AffineInput& input, Index in, const AffineParameters& parameters,
                   Index out, float* mean, float* var) {
  constexpr int together = lanes<Vector> / 2;
  Index output = 0;
  for (; output + together <= out; output += together) {
    affine_outputs<known, together>(input, in, parameters, output, mean, var);
  }
  for (; output < out; ++output) {
    affine_outputs<known, 1>(input, in, parameters, output, mean, var);
  }
}

void affine_row(const AffineInput& input, Index in, const AffineParameters& parameters, Index out,
                float* mean, float* var) {
  if (input.var == nullptr) {
    affine_row_of<true>(input, in, parameters, out, mean, var);
  } else {
    affine_row_of<false>(input, in, parameters, out, mean, var);
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

void square(const float* values, Index size, float* squares) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const Vector value = load_part(values + i);
    store_part(value * value, squares + i);
  });
}

void add(const float* values, Index size, float* sum) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    store_part(load_part(sum + i) + load_part(values + i), sum + i);
  });
}

void add_column_sums(const float* plane, Index stride, Index rows, Index columns, float* sum) {
  // Several sums side by side: each addition waits for the one before it.
  constexpr int n_sums = 4;
  for_each_vector(columns, [&](Index column, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const float* source = plane + column;
    Vector total = load_part(sum + column);
    for (Index row = 0; row < rows;) {
      const Index end = rows - row < column_sum_block ? rows : row + column_sum_block;
      Vector sums[n_sums]{};
      for (; row + n_sums <= end; row += n_sums) {
        unroll<n_sums>([&](auto i) TAGIX_LAMBDA_INLINE {
          sums[i.value] += load_part(source + (row + i.value) * stride);
        });
      }
      for (; row < end; ++row) sums[0] += load_part(source + row * stride);
      total += (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
    store_part(total, sum + column);
  });
}

void activation(const math::ActivationSpec& spec, const float* input_mean, const float* input_var,
                Index size, float* output_mean, float* output_var, float* jacobian) {
  math::visit_activation(spec, [&](auto function) TAGIX_LAMBDA_INLINE {
    for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
      const Vector var = input_var == nullptr ? Vector{} : load_part(input_var + i);
      const math::ActivationMoments<Vector> moments = function(load_part(input_mean + i), var);
      store_part(moments.mean, output_mean + i);
      store_part(moments.var, output_var + i);
      if (jacobian != nullptr) store_part(moments.jacobian, jacobian + i);
    });
  });
}

void activation_points(math::MomentsForm form, const float* input_mean, const float* input_var,
                       Index size, float* points) {
  if (form == math::MomentsForm::first_order) {
    for (Index i = 0; i < size; ++i) points[i] = input_mean[i];
    return;
  }
  for (int node = 0; node < math::n_quadrature_nodes; ++node, points += size) {
    const float position = math::quadrature_nodes[node];
    for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
      const Vector var = input_var == nullptr ? Vector{} : load_part(input_var + i);
      store_part(math::quadrature_point(load_part(input_mean + i), math::sqrt(var), position),
                 points + i);
    });
  }
}

void activation_from_points(math::MomentsForm form, const float* input_var, Index size,
                            const float* values, const float* derivatives, float* output_mean,
                            float* output_var, float* jacobian) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    math::ActivationMoments<Vector> moments;
    if (form == math::MomentsForm::first_order) {
      const Vector var = input_var == nullptr ? Vector{} : load_part(input_var + i);
      moments = math::first_order_moments(load_part(values + i), load_part(derivatives + i), var);
    } else {
      math::QuadratureSums<Vector> sums(
          load_part(values + math::n_quadrature_nodes / 2 * size + i));
      for (int node = 0; node < math::n_quadrature_nodes; ++node) {
        sums.add(math::quadrature_weights[node], load_part(values + node * size + i),
                 load_part(derivatives + node * size + i));
      }
      moments = sums.moments();
    }
    store_part(moments.mean, output_mean + i);
    store_part(moments.var, output_var + i);
    store_part(moments.jacobian, jacobian + i);
  });
}

template <class Store>
TAGIX_INLINE void store_slopes(const math::ActivationSlopes<Vector>& slopes, SlopesView target,
                               Index i, const Store& store_part) {
  store_part(slopes.mean_by_mean, target.mean_by_mean + i);
  store_part(slopes.mean_by_var, target.mean_by_var + i);
  store_part(slopes.var_by_mean, target.var_by_mean + i);
  store_part(slopes.var_by_var, target.var_by_var + i);
}

void activation_slopes(const math::ActivationSpec& spec, const float* input_mean,
                       const float* input_var, Index size, SlopesView slopes) {
  math::visit_activation(spec, [&](auto function) TAGIX_LAMBDA_INLINE {
    for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
      const Vector var = input_var == nullptr ? Vector{} : load_part(input_var + i);
      store_slopes(function.slopes(load_part(input_mean + i), var), slopes, i, store_part);
    });
  });
}

void activation_slopes_from_points(math::MomentsForm form, const float* input_var, Index size,
                                   const float* values, const float* derivatives,
                                   SlopesView slopes) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const Vector var = input_var == nullptr ? Vector{} : load_part(input_var + i);
    if (form == math::MomentsForm::first_order) {
      store_slopes(math::first_order_slopes(load_part(derivatives + i), Vector{}, var), slopes, i,
                   store_part);
      return;
    }
    math::QuadratureSlopes<Vector> sums(load_part(values + math::n_quadrature_nodes / 2 * size + i),
                                        math::sqrt(var));
    for (int node = 0; node < math::n_quadrature_nodes; ++node) {
      sums.add(math::quadrature_weights[node], math::quadrature_nodes[node],
               load_part(values + node * size + i), load_part(derivatives + node * size + i));
    }
    store_slopes(sums.slopes(), slopes, i, store_part);
  });
}

void scale_deltas(const float* jacobian, Index size, float* delta_mean, float* delta_var) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const math::Innovation<Vector> below = math::through_jacobian(
        math::Innovation<Vector>{load_part(delta_mean + i), load_part(delta_var + i)},
        load_part(jacobian + i));
    store_part(below.delta_mean, delta_mean + i);
    store_part(below.delta_var, delta_var + i);
  });
}

void observe(const float* mean, const float* var, const float* target, const float* noise_var,
             Index noise_stride, float spread, Index size, float* delta_mean, float* delta_var) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const Vector noise =
        noise_stride == 0 ? broadcast<Vector>(*noise_var) : load_part(noise_var + i);
    const math::Innovation<Vector> result =
        math::innovation(load_part(mean + i), load_part(var + i), load_part(target + i), noise,
                         broadcast<Vector>(spread));
    store_part(result.delta_mean, delta_mean + i);
    store_part(result.delta_var, delta_var + i);
  });
}

/// Calls body(Constant<link>), with the link as an integer.
template <class Body>
TAGIX_INLINE void with_link(math::NoiseLink link, Body&& body) {
  if (link == math::NoiseLink::softplus) {
    body(Constant<static_cast<int>(math::NoiseLink::softplus)>{});
  } else {
    body(Constant<static_cast<int>(math::NoiseLink::exp)>{});
  }
}

void observe_noisy(const math::NoiseHead& head, const NoisyTargets& targets, float spread,
                   Index size) {
  with_link(head.link, [&](auto constant) TAGIX_LAMBDA_INLINE {
    constexpr auto link = static_cast<math::NoiseLink>(constant.value);
    for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
      const math::InferredNoise<Vector> noise = math::inferred_noise(
          link, load_part(targets.noise_mean + i), load_part(targets.noise_var + i),
          broadcast<Vector>(head.belief_precision));
      const math::NoisyInnovation<Vector> result = math::noisy_innovation(
          load_part(targets.mean + i), load_part(targets.var + i), noise, head.expects_information,
          load_part(targets.target + i), broadcast<Vector>(spread));
      store_part(result.value.delta_mean, targets.delta_mean + i);
      store_part(result.value.delta_var, targets.delta_var + i);
      store_part(result.noise.delta_mean, targets.noise_delta_mean + i);
      store_part(result.noise.delta_var, targets.noise_delta_var + i);
    });
  });
}

/// Calls body(offset, zero) for all elements from `first` to `last`, where a zero of type Vector or
/// float says how many of them from the offset on.
template <class Body>
TAGIX_INLINE void for_whole_vectors(Index first, Index last, Body&& body) {
  for (; first + lanes<Vector> <= last; first += lanes<Vector>) body(first, Vector{});
  for (; first < last; ++first) body(first, 0.0f);
}

/// The same for all of n elements but one.
template <class Body>
TAGIX_INLINE void for_all_but(Index one, Index n, Body&& body) {
  for_whole_vectors(0, one, body);
  for_whole_vectors(one + 1, n, body);
}

/// A sum of vectors and of floats.
struct MixedSum {
  Vector vectors{};
  float rest = 0;

  TAGIX_INLINE void operator+=(Vector value) { vectors += value; }
  TAGIX_INLINE void operator+=(float value) { rest += value; }
  TAGIX_INLINE float total() const { return element_sum(vectors) + rest; }
};

/// The greatest of n >= 1 values.
TAGIX_INLINE float greatest(const float* values, Index first, Index last, float least) {
  Vector vectors = broadcast<Vector>(least);
  float found = least;
  for_whole_vectors(first, last, [&](Index i, auto zero) TAGIX_LAMBDA_INLINE {
    using T = decltype(zero);
    if constexpr (sizeof(T) == sizeof(float)) {
      found = math::max(found, values[i]);
    } else {
      vectors = math::max(vectors, load<T>(values + i));
    }
  });
  for (int i = 0; i < lanes<Vector>; ++i) found = math::max(found, vectors[i]);
  return found;
}

math::SoftmaxTotals softmax_totals(const float* mean, const float* var, Index n) {
  const float top_mean = greatest(mean, 1, n, mean[0]);
  Index top = 0;
  while (top + 1 < n && mean[top] != top_mean) ++top;
  float next = mean[top == 0 ? 1 : 0];
  next = greatest(mean, top + 1, n, greatest(mean, 0, top, next));
  MixedSum weight, weighted_var;
  for_all_but(top, n, [&](Index i, auto zero) TAGIX_LAMBDA_INLINE {
    using T = decltype(zero);
    const T e = math::exp(load<T>(mean + i) - next);
    weight += e;
    weighted_var += e * e * load<T>(var + i);
  });
  return math::softmax_totals(top, top_mean, var[top], next,
                              {weight.total(), weighted_var.total()});
}

void observe_softmax(const float* mean, const float* var, Index n, Index label, float spread,
                     float* delta_mean, float* delta_var) {
  const math::SoftmaxTotals totals = softmax_totals(mean, var, n);
  // The weights and slopes of all but the top lie in the result until their sum is known.
  MixedSum weights;
  for_all_but(totals.top, n, [&](Index i, auto zero) TAGIX_LAMBDA_INLINE {
    using T = decltype(zero);
    const math::SoftmaxTerm<T> term =
        math::softmax_term(totals, load<T>(mean + i), load<T>(var + i));
    weights += term.weight;
    store(term.weight, delta_mean + i);
    store(term.slope, delta_var + i);
  });
  const math::SoftmaxTerm<float> top = math::softmax_top_term(totals);
  const float rest = weights.total(), inverse = 1 / (rest + top.weight);
  const float own = delta_mean[label], own_slope = delta_var[label];
  for_all_but(totals.top, n, [&](Index i, auto zero) TAGIX_LAMBDA_INLINE {
    using T = decltype(zero);
    const T probability = load<T>(delta_mean + i) * inverse;
    const math::Innovation<T> result =
        math::softmax_innovation(load<T>(delta_var + i), probability, 1 - probability, -probability,
                                 load<T>(var + i), broadcast<T>(spread));
    store(result.delta_mean, delta_mean + i);
    store(result.delta_var, delta_var + i);
  });
  const float probability = top.weight * inverse, other = rest * inverse;
  const math::Innovation<float> of_top =
      math::softmax_innovation(top.slope, probability, other,
                               label == totals.top ? other : -probability, totals.top_var, spread);
  delta_mean[totals.top] = of_top.delta_mean;
  delta_var[totals.top] = of_top.delta_var;
  if (label == totals.top) return;
  const float p = own * inverse;
  delta_mean[label] =
      math::softmax_innovation(own_slope, p, 1 - p, 1 - p, var[label], spread).delta_mean;
}

void softmax_probabilities(const float* mean, const float* var, Index n, float* probabilities) {
  const math::SoftmaxTotals totals = softmax_totals(mean, var, n);
  MixedSum weights;
  for_all_but(totals.top, n, [&](Index i, auto zero) TAGIX_LAMBDA_INLINE {
    using T = decltype(zero);
    const T weight = math::softmax_term(totals, load<T>(mean + i), load<T>(var + i)).weight;
    weights += weight;
    store(weight, probabilities + i);
  });
  probabilities[totals.top] = math::softmax_top_term(totals).weight;
  const float inverse = 1 / (weights.total() + probabilities[totals.top]);
  for_whole_vectors(0, n, [&](Index i, auto zero) TAGIX_LAMBDA_INLINE {
    using T = decltype(zero);
    store(load<T>(probabilities + i) * inverse, probabilities + i);
  });
}

void infer_noise(const math::NoiseHead& head, const float* mean, const float* var, Index size,
                 float* noise_var) {
  with_link(head.link, [&](auto constant) TAGIX_LAMBDA_INLINE {
    constexpr auto known_link = static_cast<math::NoiseLink>(constant.value);
    for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
      store_part(math::inferred_noise(known_link, load_part(mean + i), load_part(var + i),
                                      broadcast<Vector>(head.belief_precision))
                     .mean,
                 noise_var + i);
    });
  });
}

bool all_finite(const float* values, Index size) {
  // x - x is 0 for finite x, and NaN otherwise; NaN stays in a sum. Several sums side by side: each
  // addition waits for the one before it.
  constexpr int n_sums = 4;
  constexpr Index n = lanes<Vector>;
  Vector sums[n_sums]{};
  Index whole = 0;
  for (; whole + n_sums * n <= size; whole += n_sums * n) {
    unroll<n_sums>([&](auto i) TAGIX_LAMBDA_INLINE {
      const Vector value = load<Vector>(values + whole + i.value * n);
      sums[i.value] += value - value;
    });
  }
  for_each_vector(size - whole, [&](Index i, auto load_part, auto) TAGIX_LAMBDA_INLINE {
    const Vector value = load_part(values + whole + i);
    sums[0] += value - value;
  });
  return element_sum((sums[0] + sums[1]) + (sums[2] + sums[3])) == 0;
}

float absolute_sum(const float* values, Index size) {
  Vector sum{};
  for_each_vector(size, [&](Index i, auto load_part, auto)
                            TAGIX_LAMBDA_INLINE { sum += math::abs(load_part(values + i)); });
  return element_sum(sum);
}

void forget(float process_var, float prior_var, float least_var, Index size, float* var) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    store_part(math::forgotten_var(load_part(var + i), broadcast<Vector>(process_var),
                                   broadcast<Vector>(prior_var), broadcast<Vector>(least_var)),
               var + i);
  });
}

/// Calls body(Constant<kind>), with the kind as an integer.
template <class Body>
TAGIX_INLINE void with_kind(math::UpdateKind kind, Body&& body) {
  if (kind == math::UpdateKind::information) {
    body(Constant<static_cast<int>(math::UpdateKind::information)>{});
  } else {
    body(Constant<static_cast<int>(math::UpdateKind::capped)>{});
  }
}

void update(math::UpdateKind kind, float bound, const float* delta_mean, const float* delta_var,
            Index size, float* mean, float* var) {
  with_kind(kind, [&](auto constant) TAGIX_LAMBDA_INLINE {
    constexpr auto rule = static_cast<math::UpdateKind>(constant.value);
    for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
      const math::Posterior<Vector> posterior =
          math::updated<rule>(load_part(mean + i), load_part(var + i), load_part(delta_mean + i),
                              load_part(delta_var + i), broadcast<Vector>(bound));
      store_part(posterior.mean, mean + i);
      store_part(posterior.var, var + i);
    });
  });
}

/// update_weight for the weights of one output.
template <math::UpdateKind rule>
TAGIX_INLINE void update_output(const OuterFactors& factors, Index samples, Index out, Index output,
                                Index in, Vector bound, float* mean, float* var) {
  for (Index i = 0; i < in; i += lanes<Vector>) {
    Vector delta_mean{}, delta_var{};
    for (Index b = 0; b < samples; ++b) {
      const Index delta = b * out + output, input = b * in + i;
      delta_mean += factors.delta_mean[delta] * load<Vector>(factors.input_mean + input);
      delta_var += factors.delta_var[delta] * load<Vector>(factors.input_square + input);
    }
    const math::Posterior<Vector> posterior = math::updated<rule>(
        load<Vector>(mean + i), load<Vector>(var + i), delta_mean, delta_var, bound);
    store(posterior.mean, mean + i);
    store(posterior.var, var + i);
  }
}

void update_weight(math::UpdateKind kind, float bound, const OuterFactors& factors, Index samples,
                   Index out, Index in, float* mean, float* var) {
  with_kind(kind, [&](auto constant) TAGIX_LAMBDA_INLINE {
    constexpr auto rule = static_cast<math::UpdateKind>(constant.value);
    const Vector bounds = broadcast<Vector>(bound);
    for (Index o = 0; o < out; ++o, mean += in, var += in) {
      if (samples > 1) {
        update_output<rule>(factors, samples, out, o, in, bounds, mean, var);
      } else if (factors.delta_mean[o] != 0 || factors.delta_var[o] != 0 ||
                 rule == math::UpdateKind::capped) {
        // The information rule leaves a weight alone that nothing was learned about.
        update_output<rule>(factors, 1, out, o, in, bounds, mean, var);
      }
    }
  });
}

constexpr Kernels kernels{TAGIX_INSTRUCTION_SET,
                          panel_layout,
                          has_bfloat16,
                          multiply_adds,
                          pack_weight,
                          pack_factors,
                          pack_inputs,
                          pack_deltas,
                          product_rows,
                          outer_product,
                          affine_row,
                          affine_row_backward,
                          square,
                          add,
                          add_column_sums,
                          activation,
                          activation_points,
                          activation_from_points,
                          activation_slopes,
                          activation_slopes_from_points,
                          scale_adjoint,
                          join_adjoint,
                          second_moment,
                          activation_excess,
                          add_spread,
                          scale_deltas,
                          observe,
                          observe_noisy,
                          observe_softmax,
                          softmax_probabilities,
                          infer_noise,
                          all_finite,
                          absolute_sum,
                          forget,
                          update,
                          update_weight};

}  // namespace

const Kernels* TAGIX_KERNELS() { return &kernels; }

}  // namespace tagix::cpu
