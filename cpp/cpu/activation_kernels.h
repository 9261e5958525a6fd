#pragma once

// Kernels that take moments through activations, and innovations through the slopes of
// activations, for kernels.cpp (cpu/kernels.h says what each does).

#include "core/slopes.h"
#include "cpu/kernels.h"
#include "cpu/relu_by_table.h"
#include "cpu/simd.h"
#include "math/activations.h"
#include "math/inference.h"
#include "math/quadrature.h"

namespace tagix::cpu {
namespace {

/// A vector of Gaussians.
struct VectorMoments {
  Vector mean;
  Vector var;
};

/// A function that loads vectors of an input from its planes. A null `var` counts as 0.
TAGIX_INLINE auto moments_of(const float* mean, const float* var) {
  return [=](Index i, auto load_part) TAGIX_LAMBDA_INLINE {
    return VectorMoments{load_part(mean + i), var == nullptr ? Vector{} : load_part(var + i)};
  };
}

/// How many vectors a function of them takes side by side.
template <class Function>
constexpr int side_by_side = 2;
#if defined(TAGIX_HAS_RELU_TABLES)
template <class Table>
constexpr int side_by_side<ReLUByTable<Table>> = 4;
template <class Table>
constexpr int side_by_side<LeakyReLUByTable<Table>> = 4;
#endif

/// visit_activation with functions of vectors: by tables where this instruction set has them, the
/// rough ones for moments that are to be rounded to `format`.
template <class Visitor>
TAGIX_INLINE void visit_vector_activation(const math::ActivationSpec& spec,
                                          [[maybe_unused]] Format format, Visitor&& visitor) {
#if defined(TAGIX_HAS_RELU_TABLES)
  if (spec.form == math::MomentsForm::exact && spec.kind == math::ActivationKind::relu) {
    if (format == Format::bfloat16) return visitor(ReLUByTable<RoughReLUTable>{});
    return visitor(ReLUByTable<ReLUTable>{});
  }
  if (spec.form == math::MomentsForm::exact && spec.kind == math::ActivationKind::leaky_relu) {
    const math::LeakyReLU activation{spec.negative_slope};
    if (format == Format::bfloat16) return visitor(LeakyReLUByTable<RoughReLUTable>{activation});
    return visitor(LeakyReLUByTable<ReLUTable>{activation});
  }
#endif
  math::visit_activation(spec, visitor);
}

TAGIX_SCHEDULED void activation(const math::ActivationSpec& spec, Format format,
                                const float* input_mean, const float* input_var, Index size,
                                const ActivationOutput& output) {
  const ActivationOutput to = output;
  visit_vector_activation(spec, format, [&](auto function) TAGIX_LAMBDA_INLINE {
    map_vectors<side_by_side<decltype(function)>>(
        size, moments_of(input_mean, input_var),
        [&](const VectorMoments& z) TAGIX_LAMBDA_INLINE { return function(z.mean, z.var); },
        [&](Index i, const math::ActivationMoments<Vector>& moments, auto store_part)
            TAGIX_LAMBDA_INLINE {
              store_part(moments.mean, to.mean + i);
              store_part(moments.var, to.var + i);
              if (to.jacobian != nullptr) store_part(moments.jacobian, to.jacobian + i);
              // Apart, so that the second moment is one operation with one rounding.
              if (to.second_moment != nullptr) {
                store_part(moments.mean * moments.mean + moments.var, to.second_moment + i);
              }
              if (to.square != nullptr) store_part(moments.mean * moments.mean, to.square + i);
            });
  });
}

void activation_values(const math::ActivationSpec& spec, const float* input, Index size,
                       float* output) {
  math::visit_activation(spec, [&](auto function) TAGIX_LAMBDA_INLINE {
    for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
      store_part(function.value(load_part(input + i)), output + i);
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

TAGIX_SCHEDULED void activation_slopes(const math::ActivationSpec& spec, const float* input_mean,
                                       const float* input_var, Index size, bool residual,
                                       SlopesView slopes) {
  math::visit_activation(spec, [&](auto function) TAGIX_LAMBDA_INLINE {
    const auto store_all = [&](auto slopes_at) TAGIX_LAMBDA_INLINE {
      map_vectors<2>(size, moments_of(input_mean, input_var), slopes_at,
                     [&](Index i, const math::ActivationSlopes<Vector>& each, auto store_part)
                         TAGIX_LAMBDA_INLINE { store_slopes(each, slopes, i, store_part); });
    };
    if (residual) {
      store_all([&](const VectorMoments& z)
                    TAGIX_LAMBDA_INLINE { return function.slopes_of_residual(z.mean, z.var); });
    } else {
      store_all([&](const VectorMoments& z)
                    TAGIX_LAMBDA_INLINE { return function.slopes(z.mean, z.var); });
    }
  });
}

/// An input, and the moments that an activation has given of it.
struct VectorActivation {
  VectorMoments input;
  math::ActivationMoments<Vector> output;
};

TAGIX_SCHEDULED void activation_slopes_by_moments(const math::ActivationSpec& spec,
                                                  const float* input_mean, const float* input_var,
                                                  const float* output_mean, const float* output_var,
                                                  Index size, SlopesView slopes) {
  const auto input = moments_of(input_mean, input_var);
  const auto take = [&](Index i, auto load_part) TAGIX_LAMBDA_INLINE {
    return VectorActivation{input(i, load_part),
                            {load_part(output_mean + i), load_part(output_var + i),
                             load_part(slopes.mean_by_mean + i)}};
  };
  math::visit_activation(spec, [&](auto function) TAGIX_LAMBDA_INLINE {
    map_vectors<2>(
        size, take,
        [&](const VectorActivation& at)
            TAGIX_LAMBDA_INLINE { return function.slopes(at.input.mean, at.input.var, at.output); },
        [&](Index i, const math::ActivationSlopes<Vector>& each, auto store_part)
            TAGIX_LAMBDA_INLINE { store_slopes(each, slopes, i, store_part); });
  });
}

void activation_slopes_from_points(math::MomentsForm form, const float* input_var, Index size,
                                   const float* values, const float* derivatives, bool residual,
                                   SlopesView slopes) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const Vector var = input_var == nullptr ? Vector{} : load_part(input_var + i);
    if (form == math::MomentsForm::first_order) {
      Vector slope = load_part(derivatives + i);
      if (residual) slope += 1;
      store_slopes(math::first_order_slopes(slope, Vector{}, var), slopes, i, store_part);
      return;
    }
    math::QuadratureSlopes<Vector> sums(load_part(values + math::n_quadrature_nodes / 2 * size + i),
                                        math::sqrt(var));
    math::QuadratureJacobianSlope<Vector> jacobian_slope;
    for (int node = 0; node < math::n_quadrature_nodes; ++node) {
      const float weight = math::quadrature_weights[node], place = math::quadrature_nodes[node];
      const Vector derivative = load_part(derivatives + node * size + i);
      sums.add(weight, place, load_part(values + node * size + i), derivative);
      if (residual) jacobian_slope.add(weight, place, derivative);
    }
    math::ActivationSlopes<Vector> each = sums.slopes();
    if (residual) each = math::residual_slopes(each, jacobian_slope.by_log_sd(), var);
    store_slopes(each, slopes, i, store_part);
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

}  // namespace
}  // namespace tagix::cpu
