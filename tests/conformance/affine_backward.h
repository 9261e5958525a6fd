#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Innovations of the input of z = a W^T + b, from those of z:
///
///   delta_mean(a) = sum delta_mean(z) W_mean,   delta_var(a) = sum delta_var(z) W_mean^2
struct AffineBackward final : Operation {
  AffineShape shape;
  HostGaussians delta, weight;

  explicit AffineBackward(AffineShape shape) : shape(shape) {
    RandomInputs random(shape.rows + 37 * shape.in + 991 * shape.out);
    delta = random.innovations(shape.rows, shape.out);
    weight = random.gaussians(shape.out, shape.in);
  }

  std::string name() const override {
    return text("affine_backward ", shape.rows, " x ", shape.in, " <- ", shape.out);
  }

  Cost cost() const override {
    const double rows = static_cast<double>(shape.rows), in = static_cast<double>(shape.in),
                 out = static_cast<double>(shape.out);
    return {4 * rows * in * out, 4 * (2 * rows * out + in * out + 2 * rows * in)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView d = arrays.input(delta), w = arrays.input(weight);
    const MomentsView below = arrays.output(shape.rows, shape.in);
    return [=, &backend = arrays.backend()] { backend.affine_backward(d, w, below); };
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
        mean.values.push_back(mean_sum);
        var.values.push_back(var_sum);
      }
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (const AffineShape& shape : affine_shapes()) {
      cases.push_back(std::make_unique<AffineBackward>(shape));
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
