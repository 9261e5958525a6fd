#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// z = a W^T + b for independent a, W and b:
///
///   E z = sum a_mean W_mean + b_mean
///   Var z = sum (W_mean^2 + W_var) a_var + W_var a_mean^2 + b_var
struct AffineForward final : Operation {
  AffineShape shape;
  HostGaussians input, weight, bias;

  AffineForward(AffineShape shape, bool known_input, bool has_bias) : shape(shape) {
    RandomInputs random(shape.rows + 31 * shape.in + 977 * shape.out);
    input = random.gaussians(shape.rows, shape.in);
    if (known_input) input.var.clear();
    weight = random.gaussians(shape.out, shape.in, 0.1);
    if (has_bias) bias = random.gaussians(1, shape.out, 0.1);
  }

  std::string name() const override {
    return text("affine_forward ", shape.rows, " x ", shape.in, " -> ", shape.out,
                input.var.empty() ? ", known input" : ", uncertain input",
                bias.mean.empty() ? "" : ", bias");
  }

  Cost cost() const override {
    const double products = input.var.empty() ? 2 : 3;
    const double planes = input.var.empty() ? 1 : 2;
    const double rows = static_cast<double>(shape.rows), in = static_cast<double>(shape.in),
                 out = static_cast<double>(shape.out);
    return {2 * products * rows * in * out,
            4 * (planes * rows * in + 2 * in * out + 2 * rows * out)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView a = arrays.input(input), w = arrays.input(weight);
    const ConstMomentsView b = bias.mean.empty() ? ConstMomentsView{} : arrays.input(bias);
    const MomentsView z = arrays.output(shape.rows, shape.out);
    return [=, &backend = arrays.backend()] { backend.affine_forward(a, w, b, std::nullopt, z); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 16, {}, Expected::Terms::mean_products},
        var{"var", 64, {}, Expected::Terms::var_products};
    for (Index row = 0; row < shape.rows; ++row) {
      for (Index o = 0; o < shape.out; ++o) {
        const auto bias_at = static_cast<std::size_t>(o);
        Sum mean_sum, var_sum;
        if (!bias.mean.empty()) {
          mean_sum.add(bias.mean[bias_at]);
          var_sum.add(bias.var[bias_at]);
        }
        for (Index i = 0; i < shape.in; ++i) {
          const auto a = static_cast<std::size_t>(row * shape.in + i);
          const auto w = static_cast<std::size_t>(o * shape.in + i);
          const double a_mean = input.mean[a], w_mean = weight.mean[w], w_var = weight.var[w];
          mean_sum.add(a_mean * w_mean);
          var_sum.add(w_var * a_mean * a_mean);
          if (!input.var.empty()) var_sum.add((w_mean * w_mean + w_var) * input.var[a]);
        }
        mean.values.push_back(mean_sum);
        var.values.push_back(var_sum);
      }
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    int variant = 0;
    for (const AffineShape& shape : affine_shapes()) {
      // Bias and no bias in turn, so that each meets both kinds of input.
      const bool has_bias = (variant++ / 2) % 2 == 0;
      cases.push_back(std::make_unique<AffineForward>(shape, true, has_bias));
      cases.push_back(std::make_unique<AffineForward>(shape, false, !has_bias));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<AffineForward>(AffineShape{2048, 3, 64}, true, true));
    for (const AffineShape& shape :
         {AffineShape{2048, 64, 64}, {2048, 64, 2}, {1024, 512, 512}, {1, 64, 64}}) {
      cases.push_back(std::make_unique<AffineForward>(shape, false, true));
    }
    return cases;
  }
};

}  // namespace tagix::conformance
