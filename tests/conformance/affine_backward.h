#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Innovations of the input of z = a W^T + b, from those of z:
///
///   delta_mean(a) = sum delta_mean(z) W_mean,   delta_var(a) = sum delta_var(z) W_mean^2
///
/// and below an activation with the Jacobian J that gave a, those times J and J^2.
struct AffineBackward final : Operation {
  AffineShape shape;
  HostGaussians delta, weight;
  std::vector<float> jacobian;  // none: 1

  explicit AffineBackward(AffineShape shape, bool below_activation = false) : shape(shape) {
    RandomInputs random(shape.rows + 37 * shape.in + 991 * shape.out);
    delta = random.innovations(shape.rows, shape.out);
    weight = random.gaussians(shape.out, shape.in);
    if (below_activation) jacobian = random.uniforms(shape.rows * shape.in, -0.5, 1.5);
  }

  std::string name() const override {
    return text("affine_backward ", shape.rows, " x ", shape.in, " <- ", shape.out,
                jacobian.empty() ? "" : ", below an activation");
  }

  Cost cost() const override {
    const double rows = static_cast<double>(shape.rows), in = static_cast<double>(shape.in),
                 out = static_cast<double>(shape.out);
    return {4 * rows * in * out, 4 * (2 * rows * out + in * out + 2 * rows * in)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView d = arrays.input(delta), w = arrays.input(weight);
    const MomentsView below = arrays.output(shape.rows, shape.in);
    const float* const j = jacobian.empty() ? nullptr : arrays.input(jacobian);
    return [=, &backend = arrays.backend()] { backend.affine_backward(d, w, j, below); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"delta_mean", 16, {}, Expected::Terms::mean_products},
        var{"delta_var", 64, {}, Expected::Terms::var_products};
    for (Index row = 0; row < shape.rows; ++row) {
      for (Index i = 0; i < shape.in; ++i) {
        Sum mean_sum, var_sum;
        for (Index o = 0; o < shape.out; ++o) {
          const auto d = static_cast<std::size_t>(row * shape.out + o);
          const double w_mean = weight.mean[static_cast<std::size_t>(o * shape.in + i)];
          mean_sum.add(delta.mean[d] * w_mean);
          var_sum.add(delta.var[d] * w_mean * w_mean);
        }
        const auto at = static_cast<std::size_t>(row * shape.in + i);
        const double j = jacobian.empty() ? 1.0 : double{jacobian[at]};
        mean.values.push_back({j * mean_sum.value, std::fabs(j) * mean_sum.magnitude});
        var.values.push_back({j * j * var_sum.value, j * j * var_sum.magnitude});
      }
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (const AffineShape& shape : affine_shapes()) {
      cases.push_back(std::make_unique<AffineBackward>(shape));
      cases.push_back(std::make_unique<AffineBackward>(shape, /*below_activation=*/true));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    for (const AffineShape& shape :
         {AffineShape{2048, 64, 2}, {2048, 64, 64}, {1024, 512, 512}, {1, 64, 64}}) {
      cases.push_back(std::make_unique<AffineBackward>(shape));
    }
    return cases;
  }
};

}  // namespace tagix::conformance
