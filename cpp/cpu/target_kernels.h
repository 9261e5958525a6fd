#pragma once

// Kernels in which predictions meet their targets, or give the noise and the probabilities of
// classes that they imply, for kernels.cpp (cpu/kernels.h says what each does).

#include "cpu/kernels.h"
#include "cpu/simd.h"
#include "math/classes.h"
#include "math/inference.h"
#include "math/inferred_noise.h"

namespace tagix::cpu {
namespace {

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

}  // namespace
}  // namespace tagix::cpu
