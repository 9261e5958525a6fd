#include "cpu/elementwise.h"

#include <algorithm>
#include <atomic>

#include "cpu/pieces.h"

namespace tagix::cpu {

void activation_forward(const Kernels& kernels, const math::ActivationSpec& spec,
                        ConstMomentsView input, MomentsView output, float* jacobian) {
  for_element_pieces(input.size(), [&](Index first, Index count) {
    kernels.activation(spec, Format::float32, input.mean + first, plane_from(input.var, first),
                       count, {output.mean + first, output.var + first, jacobian + first});
  });
}

void activation_values(const Kernels& kernels, const math::ActivationSpec& spec, const float* input,
                       Index size, float* output) {
  for_element_pieces(size, [&](Index first, Index count) {
    kernels.activation_values(spec, input + first, count, output + first);
  });
}

void scale_deltas(const Kernels& kernels, const float* jacobian, MomentsView delta) {
  for_element_pieces(delta.size(), [&](Index first, Index count) {
    kernels.scale_deltas(jacobian + first, count, delta.mean + first, delta.var + first);
  });
}

void update(const Kernels& kernels, const UpdateRule& rule, Index batch_size,
            ConstMomentsView innovation, MomentsView parameters, const TrainingState* state) {
  if (state->failure != Failure::none) return;
  for_element_pieces(parameters.size(), [&](Index first, Index count) {
    kernels.update(rule.kind, rule.bound_for(batch_size), innovation.mean + first,
                   innovation.var + first, count, parameters.mean + first, parameters.var + first);
  });
}

void forget(const Kernels& kernels, const ParameterWalk& step, const math::DriftState* drift,
            const TrainingState* state, Index size, float* var) {
  if (state->failure != Failure::none) return;
  const float least_var = step.least(drift);
  for_element_pieces(size, [&](Index first, Index count) {
    kernels.forget(step.process_var, step.prior_var, least_var, count, var + first);
  });
}

void copy(ConstMomentsView values, MomentsView target) {
  for_element_pieces(values.size(), [&](Index first, Index count) {
    std::copy_n(values.mean + first, count, target.mean + first);
    std::copy_n(values.var + first, count, target.var + first);
  });
}

void add(const Kernels& kernels, ConstMomentsView values, MomentsView sum) {
  for_element_pieces(values.size(), [&](Index first, Index count) {
    kernels.add(values.mean + first, count, sum.mean + first);
    kernels.add(values.var + first, count, sum.var + first);
  });
}

void check_finite(const Kernels& kernels, ConstMomentsView innovation, TrainingState* state) {
  if (state->failure != Failure::none) return;
  std::atomic<bool> is_finite{true};
  for_element_pieces(innovation.size(), [&](Index first, Index count) {
    if (!kernels.all_finite(innovation.mean + first, count) ||
        !kernels.all_finite(innovation.var + first, count)) {
      is_finite = false;
    }
  });
  if (!is_finite) state->failure = Failure::innovation;
}

}  // namespace tagix::cpu
