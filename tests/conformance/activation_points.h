#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"
#include "math/quadrature.h"

namespace tagix::conformance {

/// Where a user's activation is evaluated: mean + sd node[k], or the mean for the first-order form.
/// That the nodes are right is a matter of ActivationFromPoints.
struct ActivationPoints final : Operation {
  math::MomentsForm form;
  HostGaussians input;

  ActivationPoints(math::MomentsForm form, Index rows, Index cols, bool known_input) : form(form) {
    input = RandomInputs(rows + 47 * cols).gaussians(rows, cols);
    if (known_input) input.var.clear();
  }

  std::string name() const override {
    return text("activation_points ", form == math::MomentsForm::exact ? "exact " : "first_order ",
                input.rows, " x ", input.cols, input.var.empty() ? ", known input" : "");
  }

  Cost cost() const override {
    const double size = static_cast<double>(input.mean.size());
    const double points = static_cast<double>(activation_point_count(form));
    return {2 * size * points, 4 * size * (2 + points)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView z = arrays.input(input);
    float* points = arrays.output(activation_point_count(form) * z.size());
    return [=, this, &backend = arrays.backend()] { backend.activation_points(form, z, points); };
  }

  std::vector<Expected> expected() const override {
    constexpr auto rule = math::quadrature_rule<double>();
    const bool exact = form == math::MomentsForm::exact;
    Expected points{"points", 6, {}};
    for (int k = 0; k < (exact ? math::n_quadrature_nodes : 1); ++k) {
      for (std::size_t i = 0; i < input.mean.size(); ++i) {
        const double var = input.var.empty() ? 0.0 : input.var[i];
        points.values.push_back(exact ? sum_of({input.mean[i], std::sqrt(var) * rule.node[k]})
                                      : exactly(input.mean[i]));
      }
    }
    return {points};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : few_elementwise_shapes()) {
      for (math::MomentsForm form : {math::MomentsForm::exact, math::MomentsForm::first_order}) {
        cases.push_back(std::make_unique<ActivationPoints>(form, rows, cols, false));
        cases.push_back(std::make_unique<ActivationPoints>(form, rows, cols, true));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<ActivationPoints>(math::MomentsForm::exact, 256, 64, false));
    return cases;
  }
};

}  // namespace tagix::conformance
