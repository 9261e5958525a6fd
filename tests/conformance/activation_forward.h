#pragma once

#include <algorithm>

#include "conformance/activation_specs.h"
#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"
#include "math/activations.h"

namespace tagix::conformance {

/// E f(z), Var f(z) and E f'(z), or their first-order forms.
///
/// The truth is the double instantiation of the formulas in math/activations.h, whose own tests
/// hold them to independent truths (tests/cpp/test_activations.cpp): what is checked here is that
/// a backend computes these formulas, for every element, to float32.
///
/// The magnitude of a moment y is |y| + |dy/dmean mean| + |dy/dvar var|, what inputs known to one
/// part in 2^24 say about y. Moments that are sums over values f known to epsilon |f| have errors
/// of epsilon E|f| (mean) and of 2 epsilon |f| sqrt(Var f) + (epsilon f)^2 (variance) as well;
/// those of functions of the sigmoid and of GELU are sums of terms of the size of 1, or of z.
struct ActivationForward final : Operation {
  math::ActivationSpec spec;
  HostGaussians input;

  ActivationForward(math::ActivationSpec spec, Index rows, Index cols, bool known_input)
      : spec(spec) {
    RandomInputs random(rows + 43 * cols + 1013 * static_cast<Index>(spec.kind));
    input = {rows, cols, {}, {}};
    for (Index i = 0; i < rows * cols; ++i) {
      // Up to 11 standard deviations on either side of 0: beyond, float32 underflows.
      const float sd = random.log_uniform(1e-3, 4);
      const double bound = random.chance(0.5) ? 11.0 * sd : 6.0;
      float mean = std::max(random.uniform(-bound, bound), -11 * sd);
      if (spec.kind == math::ActivationKind::exp) mean = std::min(mean, 6.0f);
      input.mean.push_back(mean);
      if (!known_input) input.var.push_back(sd * sd);
    }
  }

  std::string name() const override {
    return text("activation_forward ", math::activation_name(spec.kind),
                spec.form == math::MomentsForm::exact ? " exact " : " first_order ", input.rows,
                " x ", input.cols, input.var.empty() ? ", known input" : "");
  }

  Cost cost() const override {
    return {0, 4.0 * (input.var.empty() ? 4 : 5) * static_cast<double>(input.mean.size())};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView z = arrays.input(input);
    const MomentsView a = arrays.output(input.rows, input.cols);
    float* jacobian = arrays.output(input.rows * input.cols);
    return [=, this, &backend = arrays.backend()] {
      backend.activation_forward(spec, z, a, jacobian);
    };
  }

  std::vector<Expected> expected() const override {
    using Moments = math::ActivationMoments<double>;
    const double c = largest_error();
    Expected mean{"mean", c, {}}, var{"var", c, {}}, jacobian{"jacobian", c, {}};
    math::visit_activation(spec, [&](const auto& function) {
      constexpr double step = 1e-4;  // relative
      for (std::size_t i = 0; i < input.mean.size(); ++i) {
        const double m = input.mean[i], v = input.var.empty() ? 0.0 : input.var[i];
        const Moments truth = function(m, v), by_mean = function(m * (1 + step), v),
                      by_var = function(m, v * (1 + step));
        const auto moment = [&](double Moments::* y) {
          return sum_of({truth.*y}).magnitude + std::fabs(by_mean.*y - truth.*y) / step +
                 std::fabs(by_var.*y - truth.*y) / step;
        };
        const double value = from_values() ? std::fabs(truth.mean) + std::sqrt(truth.var) : 0;
        const double tail = ignored_tail(spec, c);
        const Terms terms = terms_at(m, v, truth.jacobian);
        mean.values.push_back(
            {truth.mean, moment(&Moments::mean) + value + tail * std::sqrt(v) + terms.mean});
        var.values.push_back({truth.var, moment(&Moments::var) + tail * v + terms.var +
                                             value * (2 * std::sqrt(truth.var) + 0x1p-24 * value)});
        jacobian.values.push_back({truth.jacobian, moment(&Moments::jacobian) + tail + terms.mean});
      }
    });
    return {mean, var, jacobian};
  }

  static Operations cases() {
    Operations cases;
    for (const math::ActivationSpec& spec : activation_specs()) {
      for (const auto& [rows, cols] : few_elementwise_shapes()) {
        cases.push_back(std::make_unique<ActivationForward>(spec, rows, cols, false));
      }
      cases.push_back(std::make_unique<ActivationForward>(spec, 17, 7, true));
    }
    const math::ActivationSpec relu{math::ActivationKind::relu, math::MomentsForm::exact};
    for (const auto& [rows, cols] : elementwise_shapes()) {
      cases.push_back(std::make_unique<ActivationForward>(relu, rows, cols, false));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    for (int kind = 0; kind < math::n_activation_kinds; ++kind) {
      const math::ActivationSpec spec{static_cast<math::ActivationKind>(kind),
                                      math::MomentsForm::exact};
      cases.push_back(std::make_unique<ActivationForward>(spec, 2048, 64, false));
    }
    const math::ActivationSpec relu{math::ActivationKind::relu, math::MomentsForm::first_order};
    cases.push_back(std::make_unique<ActivationForward>(relu, 2048, 64, false));
    return cases;
  }

 private:
  /// Whether the moments are those of a mixture of normals, or of GELU.
  bool has_terms() const {
    using enum math::ActivationKind;
    return spec.form == math::MomentsForm::exact &&
           (spec.kind == sigmoid || spec.kind == tanh || spec.kind == silu || spec.kind == gelu);
  }

  /// Whether the variance comes from values of f, and not from a closed form.
  bool from_values() const {
    using enum math::ActivationKind;
    return spec.form == math::MomentsForm::exact &&
           (spec.kind == softplus || spec.kind == hardtanh);
  }

  /// What the terms of the mean, or the Jacobian J, and of the variance come to. A small variance
  /// is about J^2 var, with J known to its own terms; a large one is a sum of terms of size^2.
  struct Terms {
    double mean = 0, var = 0;
  };
  Terms terms_at(double mean, double var, double jacobian) const {
    using enum math::ActivationKind;
    if (!has_terms()) return {};
    const bool of_z = spec.kind == silu || spec.kind == gelu;
    const double size = of_z ? 1 + std::fabs(mean) + std::sqrt(var) : 1;
    const double slope = std::fabs(jacobian) + std::sqrt(var) + 0x1p-20 * size;
    return {size, 2 * std::min(var, 1.0) * size * std::min(slope, size)};
  }

  double largest_error() const {
    using enum math::ActivationKind;
    if (spec.form == math::MomentsForm::first_order) return 16;
    switch (spec.kind) {
      case identity:
        return 1;
      case hardtanh:
        return 128;
      default:
        return 16;
    }
  }
};

}  // namespace tagix::conformance
