#pragma once

#include <algorithm>
#include <cmath>

#include "conformance/activation_specs.h"
#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"
#include "math/activations.h"

namespace tagix::conformance {

/// The derivatives of an activation's moments by the mean and the variance of its input.
///
/// The truth is the double instantiation of the formulas in math/activations.h, whose own tests
/// hold them to independent truths (tests/cpp/test_activation_slopes.cpp).
///
/// The magnitude of a slope y is |y| + |dy/dmean mean| + |dy/dvar var|, what inputs known to one
/// part in 2^24 say about y, and what its terms come to: sums over values f and slopes f' of an
/// activation that are known to a part in 2^24 themselves.
struct ActivationSlopes final : Operation {
  math::ActivationSpec spec;
  bool residual;  ///< of z + f(z)
  HostGaussians input;

  ActivationSlopes(math::ActivationSpec spec, Index rows, Index cols, bool known_input,
                   bool residual = false)
      : spec(spec), residual(residual) {
    RandomInputs random(rows + 47 * cols + 1019 * static_cast<Index>(spec.kind));
    input = {rows, cols, {}, {}};
    for (Index i = 0; i < rows * cols; ++i) {
      // Up to 6 standard deviations on either side of 0, but not where float32 underflows.
      const float sd = random.log_uniform(1e-2, 4);
      float mean = std::clamp(random.uniform(-6 * sd, 6 * sd), -12.0f, 12.0f);
      if (spec.kind == math::ActivationKind::exp) mean = std::min(mean, 6.0f);
      input.mean.push_back(mean);
      if (!known_input) input.var.push_back(sd * sd);
    }
  }

  std::string name() const override {
    return text("activation_slopes ", math::activation_name(spec.kind),
                spec.form == math::MomentsForm::exact ? " exact " : " first_order ", input.rows,
                " x ", input.cols, input.var.empty() ? ", known input" : "",
                residual ? ", residual" : "");
  }

  Cost cost() const override {
    return {0, 4.0 * (input.var.empty() ? 5 : 6) * static_cast<double>(input.mean.size())};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView z = arrays.input(input);
    const Index size = input.rows * input.cols;
    SlopesView slopes;
    slopes.mean_by_mean = arrays.output(size);
    slopes.mean_by_var = arrays.output(size);
    slopes.var_by_mean = arrays.output(size);
    slopes.var_by_var = arrays.output(size);
    return [=, this, &backend = arrays.backend()] {
      backend.activation_slopes(spec, z, residual, slopes);
    };
  }

  std::vector<Expected> expected() const override {
    using Slopes = math::ActivationSlopes<double>;
    constexpr double c = 64;
    std::vector<Expected> expected{{"mean_by_mean", c, {}},
                                   {"mean_by_var", c, {}},
                                   {"var_by_mean", c, {}},
                                   {"var_by_var", c, {}}};
    constexpr double Slopes::* members[] = {&Slopes::mean_by_mean, &Slopes::mean_by_var,
                                            &Slopes::var_by_mean, &Slopes::var_by_var};
    math::visit_activation(spec, [&](const auto& function) {
      constexpr double step = 1e-4;  // relative
      for (std::size_t i = 0; i < input.mean.size(); ++i) {
        const double m = input.mean[i], v = input.var.empty() ? 0.0 : input.var[i];
        const auto slopes_at = [&](double mean, double var) {
          return residual ? function.slopes_of_residual(mean, var) : function.slopes(mean, var);
        };
        const Slopes truth = slopes_at(m, v), by_mean = slopes_at(m * (1 + step), v),
                     by_var = slopes_at(m, v * (1 + step));
        const double terms[] = {0, mean_by_var_terms(truth, v), var_by_mean_terms(function, m, v),
                                var_by_var_terms(function, m, v)};
        for (std::size_t k = 0; k < 4; ++k) {
          const auto y = members[k];
          expected[k].values.push_back(
              {truth.*y, std::fabs(truth.*y) + std::fabs(by_mean.*y - truth.*y) / step +
                             std::fabs(by_var.*y - truth.*y) / step + terms[k]});
        }
      }
    });
    return expected;
  }

  static Operations cases() {
    Operations cases;
    for (const math::ActivationSpec& spec : activation_specs()) {
      for (const auto& [rows, cols] : few_elementwise_shapes()) {
        cases.push_back(std::make_unique<ActivationSlopes>(spec, rows, cols, false));
      }
      cases.push_back(std::make_unique<ActivationSlopes>(spec, 17, 7, true));
      cases.push_back(std::make_unique<ActivationSlopes>(spec, 17, 7, true, true));
      cases.push_back(std::make_unique<ActivationSlopes>(spec, 19, 33, false, true));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    for (const auto kind : {math::ActivationKind::relu, math::ActivationKind::tanh}) {
      const math::ActivationSpec spec{kind, math::MomentsForm::exact};
      cases.push_back(std::make_unique<ActivationSlopes>(spec, 2048, 64, false));
    }
    return cases;
  }

 private:
  /// Whether a slope is a sum over terms that cancel.
  bool has_terms() const {
    return spec.form == math::MomentsForm::exact && spec.kind != math::ActivationKind::identity &&
           spec.kind != math::ActivationKind::exp;
  }
  /// E |f' u| / (2 sd), for slopes f' of up to about 1.
  double mean_by_var_terms(const math::ActivationSlopes<double>& slopes, double var) const {
    if (!has_terms() || var == 0) return 0;
    return std::fabs(slopes.mean_by_mean) / std::sqrt(var);
  }
  /// 2 E |(f - E f) f'|, and the rounding of f itself.
  template <class Function>
  double var_by_mean_terms(const Function& function, double mean, double var) const {
    if (!has_terms()) return 0;
    const math::ActivationMoments<double> f = function(mean, var);
    return 2 * (std::sqrt(f.var) + std::fabs(f.mean) + std::fabs(mean)) * std::fabs(f.jacobian);
  }
  /// E |(f - E f) f' u| / sd, and the rounding of f itself.
  template <class Function>
  double var_by_var_terms(const Function& function, double mean, double var) const {
    if (!has_terms() || var == 0) return 0;
    const math::ActivationMoments<double> f = function(mean, var);
    return (std::sqrt(f.var) + std::fabs(f.mean)) * std::fabs(f.jacobian) / std::sqrt(var);
  }
};

}  // namespace tagix::conformance
