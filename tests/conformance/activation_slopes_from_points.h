#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"
#include "math/quadrature.h"

namespace tagix::conformance {

/// The slopes of a user's activation, here f(z) = z^2, from its values and derivatives at the
/// points of ActivationPoints. Of its exact moments E f = m^2 + v and Var f = 4 m^2 v + 2 v^2:
///
///   mean_by_mean 2 m,   mean_by_var 1,   var_by_mean 8 m v,   var_by_var 4 m^2 + 4 v
///
/// and of the first-order ones 2 m, 0, 0 (f'' is not known) and 4 m^2. Of z + f(z), with moments
/// m + m^2 + v and v + 4 m^2 v + 2 v^2 + 4 m v: 1 more, the same, 4 v more and 1 + 4 m more.
struct ActivationSlopesFromPoints final : Operation {
  math::MomentsForm form;
  bool residual;
  HostGaussians input;

  ActivationSlopesFromPoints(math::MomentsForm form, Index rows, Index cols, bool known_input,
                             bool residual)
      : form(form), residual(residual) {
    RandomInputs random(rows + 61 * cols);
    input = {rows, cols, random.uniforms(rows * cols, -1, 1),
             random.log_uniforms(rows * cols, 0.05, 1)};
    if (known_input) input.var.clear();
  }

  std::string name() const override {
    return text("activation_slopes_from_points ",
                form == math::MomentsForm::exact ? "exact " : "first_order ", input.rows, " x ",
                input.cols, input.var.empty() ? ", known input" : "", residual ? ", residual" : "");
  }

  Cost cost() const override {
    const double size = static_cast<double>(input.mean.size());
    const double points = static_cast<double>(activation_point_count(form));
    return {10 * size * points, 4 * size * (2 * points + 5)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    constexpr auto rule = math::quadrature_rule<double>();
    const bool exact = form == math::MomentsForm::exact;
    std::vector<float> values, derivatives;
    for (int k = 0; k < (exact ? math::n_quadrature_nodes : 1); ++k) {
      for (std::size_t i = 0; i < input.mean.size(); ++i) {
        const double node = exact ? rule.node[k] : 0.0;
        const double z = input.mean[i] + node * std::sqrt(var_at(i));
        values.push_back(static_cast<float>(z * z));
        derivatives.push_back(static_cast<float>(2 * z));
      }
    }
    const ConstMomentsView z = arrays.input(input);
    const float* f = arrays.input(values);
    const float* derivative = arrays.input(derivatives);
    const Index size = input.rows * input.cols;
    SlopesView slopes;
    slopes.mean_by_mean = arrays.output(size);
    slopes.mean_by_var = arrays.output(size);
    slopes.var_by_mean = arrays.output(size);
    slopes.var_by_var = arrays.output(size);
    return [=, this, &backend = arrays.backend()] {
      backend.activation_slopes_from_points(form, z, f, derivative, residual, slopes);
    };
  }

  std::vector<Expected> expected() const override {
    constexpr double c = 16;
    Expected mean_by_mean{"mean_by_mean", c, {}}, mean_by_var{"mean_by_var", c, {}},
        var_by_mean{"var_by_mean", c, {}}, var_by_var{"var_by_var", c, {}};
    for (std::size_t i = 0; i < input.mean.size(); ++i) {
      const double m = input.mean[i], v = var_at(i), sd = std::sqrt(v), slope = 2 * m;
      const double widest = std::fabs(m) + 2 * sd;  // of the points that count
      const double by_residual = residual ? 1 : 0;
      mean_by_mean.values.push_back({slope + by_residual, 2 * widest + by_residual});
      if (form == math::MomentsForm::first_order || v == 0) {
        mean_by_var.values.push_back(exactly(0));
        // At an exactly known input the quadrature adds up 30 equal terms.
        const bool exact = form == math::MomentsForm::exact;
        var_by_mean.values.push_back({0, exact ? widest * widest * widest : 0});
        const double total = slope + by_residual;
        var_by_var.values.push_back({total * total, 4 * widest * widest + by_residual});
      } else {
        mean_by_var.values.push_back({1, widest / sd});
        var_by_mean.values.push_back(
            {8 * m * v + by_residual * 4 * v, 8 * widest * widest * (widest + by_residual)});
        var_by_var.values.push_back(
            {4 * m * m + 4 * v + by_residual * (1 + 4 * m),
             4 * widest * widest * widest / sd + by_residual * (1 + 8 * widest)});
      }
    }
    return {mean_by_mean, mean_by_var, var_by_mean, var_by_var};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : few_elementwise_shapes()) {
      for (math::MomentsForm form : {math::MomentsForm::exact, math::MomentsForm::first_order}) {
        for (bool known : {false, true}) {
          for (bool residual : {false, true}) {
            cases.push_back(
                std::make_unique<ActivationSlopesFromPoints>(form, rows, cols, known, residual));
          }
        }
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<ActivationSlopesFromPoints>(math::MomentsForm::exact, 256, 64,
                                                                 false, false));
    return cases;
  }

 private:
  double var_at(std::size_t i) const { return input.var.empty() ? 0.0 : input.var[i]; }
};

}  // namespace tagix::conformance
