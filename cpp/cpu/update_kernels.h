#pragma once

// Kernels that change parameters: updates by their innovations, and forgetting, for kernels.cpp
// (cpu/kernels.h says what each does).

#include "cpu/kernels.h"
#include "cpu/simd.h"
#include "math/drift.h"
#include "math/inference.h"

namespace tagix::cpu {
namespace {

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

}  // namespace
}  // namespace tagix::cpu
