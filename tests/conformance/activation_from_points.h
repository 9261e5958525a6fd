#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"
#include "math/quadrature.h"

namespace tagix::conformance {

/// Moments of a user's activation from its values and derivatives at the points of
/// ActivationPoints. The activations here have known moments under z ~ N(m, v):
///
///   square  E z^2 = m^2 + v,  Var z^2 = 4 m^2 v + 2 v^2,  E 2z = 2 m
///   sine    E sin z = sin(m) exp(-v/2),  E sin^2 z = (1 - cos(2m) exp(-2v)) / 2,
///           E cos z = cos(m) exp(-v/2)
struct ActivationFromPoints final : Operation {
  enum class Function { square, sine };

  Function function;
  math::MomentsForm form;
  HostGaussians input;

  ActivationFromPoints(Function function, math::MomentsForm form, Index rows, Index cols,
                       bool known_input)
      : function(function), form(form) {
    input = RandomInputs(rows + 53 * cols).gaussians(rows, cols);
    if (known_input) input.var.clear();
  }

  std::string name() const override {
    return text("activation_from_points ", function == Function::square ? "square" : "sine",
                form == math::MomentsForm::exact ? " exact " : " first_order ", input.rows, " x ",
                input.cols, input.var.empty() ? ", known input" : "");
  }

  Cost cost() const override {
    const double size = static_cast<double>(input.mean.size());
    const double points = static_cast<double>(activation_point_count(form));
    return {7 * size * points, 4 * size * (2 * points + 4)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    constexpr auto rule = math::quadrature_rule<double>();
    const bool exact = form == math::MomentsForm::exact;
    std::vector<float> values, derivatives;
    for (int k = 0; k < (exact ? math::n_quadrature_nodes : 1); ++k) {
      for (std::size_t i = 0; i < input.mean.size(); ++i) {
        const double node = exact ? rule.node[k] : 0.0;
        const double z = input.mean[i] + node * std::sqrt(var_at(i));
        const bool square = function == Function::square;
        values.push_back(static_cast<float>(square ? z * z : std::sin(z)));
        derivatives.push_back(static_cast<float>(square ? 2 * z : std::cos(z)));
      }
    }
    const ConstMomentsView z = arrays.input(input);
    const float* f = arrays.input(values);
    const float* slope = arrays.input(derivatives);
    const MomentsView a = arrays.output(input.rows, input.cols);
    float* jacobian = arrays.output(input.rows * input.cols);
    return [=, this, &backend = arrays.backend()] {
      backend.activation_from_points(form, z, f, slope, a, jacobian);
    };
  }

  std::vector<Expected> expected() const override {
    // The rule itself is exact for the square, and up to 1e-5 off for the sine of sd <= 1.
    const double c = function == Function::square ? 8 : 256;
    Expected mean{"mean", c, {}}, var{"var", c, {}}, jacobian{"jacobian", c, {}};
    for (std::size_t i = 0; i < input.mean.size(); ++i) {
      const double m = input.mean[i], v = var_at(i);
      if (form == math::MomentsForm::first_order) {
        const bool square = function == Function::square;
        const double slope = square ? 2 * m : std::cos(m);
        mean.values.push_back(sum_of({square ? m * m : std::sin(m)}));
        var.values.push_back(sum_of({slope * slope * v}));
        jacobian.values.push_back(sum_of({slope}));
      } else if (function == Function::square) {
        // Values are about m^2 + v, and known to their rounding.
        const double truth = 4 * m * m * v + 2 * v * v, value = m * m + v;
        mean.values.push_back(sum_of({m * m, v}));
        var.values.push_back(
            {truth, truth + 2 * value * std::sqrt(truth) + 0x1p-24 * value * value});
        jacobian.values.push_back({2 * m, 2 * (std::fabs(m) + std::sqrt(v))});
      } else {
        const double decay = std::exp(-v / 2), e_sin = std::sin(m) * decay;
        const double truth = (1 - std::cos(2 * m) * std::exp(-2 * v)) / 2 - e_sin * e_sin;
        mean.values.push_back({e_sin, 1});
        var.values.push_back({truth, truth + std::sqrt(std::fabs(truth)) + 0x1p-24});
        jacobian.values.push_back({std::cos(m) * decay, 1});
      }
    }
    return {mean, var, jacobian};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : few_elementwise_shapes()) {
      for (Function function : {Function::square, Function::sine}) {
        for (math::MomentsForm form : {math::MomentsForm::exact, math::MomentsForm::first_order}) {
          for (bool known : {false, true}) {
            cases.push_back(
                std::make_unique<ActivationFromPoints>(function, form, rows, cols, known));
          }
        }
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<ActivationFromPoints>(Function::sine, math::MomentsForm::exact,
                                                           256, 64, false));
    return cases;
  }

 private:
  double var_at(std::size_t i) const { return input.var.empty() ? 0.0 : input.var[i]; }
};

}  // namespace tagix::conformance
