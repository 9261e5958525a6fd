#pragma once

#include <algorithm>
#include <cmath>

#include "conformance/activation_specs.h"
#include "conformance/affine_forward.h"

namespace tagix::conformance {

/// affine_forward with an epilogue: the moments and the Jacobian of f(a W^T + b). Where the backend
/// has no such epilogue, the same by two operations.
///
/// The magnitude of a moment y of f is |y| and what errors of z say about it: the change of y where
/// a moment of z differs by 2^-7 of its own magnitude, in units of 2^-7. So a jump of y counts that
/// lies so near.
struct AffineEpilogue final : Operation {
  AffineForward map;
  math::ActivationSpec activation;

  AffineEpilogue(AffineShape shape, bool known_input, bool has_bias,
                 math::ActivationSpec activation)
      : map(shape, known_input, has_bias), activation(activation) {}

  std::string name() const override {
    return text(map.name(), ", then ", math::activation_name(activation.kind),
                activation.form == math::MomentsForm::exact ? " exact" : " first_order");
  }

  Cost cost() const override {
    Cost cost = map.cost();
    cost.bytes += 4 * static_cast<double>(map.shape.rows * map.shape.out);
    return cost;
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView a = arrays.input(map.input), w = arrays.input(map.weight);
    const ConstMomentsView b = map.bias.mean.empty() ? ConstMomentsView{} : arrays.input(map.bias);
    const Index rows = map.shape.rows, out = map.shape.out;
    const MomentsView y = arrays.output(rows, out);
    float* const jacobian = arrays.output(rows * out);
    Backend& backend = arrays.backend();
    if (backend.has_epilogue(activation)) {
      const Epilogue epilogue{activation, jacobian};
      return [=, &backend] { backend.affine_forward(a, w, b, epilogue, y); };
    }
    float* const memory =
        arrays.values(std::vector<float>(static_cast<std::size_t>(2 * rows * out))).data();
    const MomentsView z{memory, memory + rows * out, rows, out};
    return [=, this, &backend] {
      backend.affine_forward(a, w, b, std::nullopt, z);
      backend.activation_forward(activation, z, y, jacobian);
    };
  }

  std::vector<Expected> expected() const override {
    using Moments = math::ActivationMoments<double>;
    const std::vector<Expected> z = map.expected();
    constexpr double c = 64;
    Expected mean{"mean", c, {}, Expected::Terms::var_products}, var = mean, jacobian = mean;
    var.name = "var";
    jacobian.name = "jacobian";
    math::visit_activation(activation, [&](const auto& function) {
      constexpr double step = 0x1p-7;
      for (std::size_t i = 0; i < z[0].values.size(); ++i) {
        const Sum &m = z[0].values[i], &v = z[1].values[i];
        const Moments truth = function(m.value, v.value);
        const double tail = ignored_tail(activation, c);
        const auto add = [&](double Moments::* y, double unit, Expected& output) {
          const auto change = [&](double by_mean, double by_var) {
            const double other_var = std::max(0.0, v.value + by_var * step * v.magnitude);
            const Moments other = function(m.value + by_mean * step * m.magnitude, other_var);
            return std::fabs(other.*y - truth.*y) / step;
          };
          output.values.push_back({truth.*y, std::fabs(truth.*y) + tail * unit +
                                                 std::max(change(-1, 0), change(1, 0)) +
                                                 std::max(change(0, -1), change(0, 1))});
        };
        add(&Moments::mean, std::sqrt(v.value), mean);
        add(&Moments::var, v.value, var);
        add(&Moments::jacobian, 1, jacobian);
      }
    });
    return {mean, var, jacobian};
  }

  static Operations cases() {
    using enum math::ActivationKind;
    using enum math::MomentsForm;
    Operations cases;
    int variant = 0;
    for (const math::ActivationSpec& activation : {math::ActivationSpec{relu, exact},
                                                   {relu, first_order},
                                                   {leaky_relu, exact, 0.2f},
                                                   {leaky_relu, first_order, 0.2f},
                                                   {identity, exact}}) {
      for (const AffineShape& shape :
           {AffineShape{1, 1, 1}, {3, 5, 7}, {17, 33, 2}, {65, 64, 100}, {130, 70, 65}}) {
        const bool has_bias = variant++ % 2 == 0;
        cases.push_back(std::make_unique<AffineEpilogue>(shape, true, has_bias, activation));
        cases.push_back(std::make_unique<AffineEpilogue>(shape, false, !has_bias, activation));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    const math::ActivationSpec relu{math::ActivationKind::relu, math::MomentsForm::exact};
    for (const AffineShape& shape : {AffineShape{2048, 64, 64}, {1024, 512, 512}}) {
      cases.push_back(std::make_unique<AffineEpilogue>(shape, false, true, relu));
    }
    return cases;
  }
};

}  // namespace tagix::conformance
