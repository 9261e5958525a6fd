#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// What the parameters of an affine map add to the variance of its output:
/// spread = sum_i W_var (a_mean^2 + a_var) + b_var, or without a_mean.
struct AffineSpread final : Operation {
  AffineShape shape;
  bool has_mean;
  HostGaussians input, weight, bias;

  AffineSpread(AffineShape shape, bool known_input, bool has_mean, bool has_bias)
      : shape(shape), has_mean(has_mean) {
    RandomInputs random(shape.rows + 31 * shape.in + 907 * shape.out);
    input = random.gaussians(shape.rows, shape.in);
    if (known_input) input.var.clear();
    weight = random.gaussians(shape.out, shape.in, 0.1);
    if (has_bias) bias = random.gaussians(1, shape.out);
  }

  std::string name() const override {
    return text("affine_spread ", shape.rows, " x ", shape.in, " -> ", shape.out,
                input.var.empty() ? ", known input" : "", has_mean ? "" : ", no means",
                bias.mean.empty() ? "" : ", bias");
  }

  Cost cost() const override {
    const double rows = static_cast<double>(shape.rows), in = static_cast<double>(shape.in),
                 out = static_cast<double>(shape.out);
    return {2 * rows * in * out, 4 * (2 * rows * in + in * out + rows * out)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    ConstMomentsView a = arrays.input(input);
    if (!has_mean) a.mean = nullptr;
    const ConstMomentsView w = arrays.input(weight);
    const ConstMomentsView b = bias.mean.empty() ? ConstMomentsView{} : arrays.input(bias);
    float* const spread = arrays.output(shape.rows * shape.out);
    return [=, &backend = arrays.backend()] { backend.affine_spread(a, w, b, spread); };
  }

  std::vector<Expected> expected() const override {
    Expected spread{"spread", 64, {}, Expected::Terms::var_products};
    for (Index row = 0; row < shape.rows; ++row) {
      for (Index o = 0; o < shape.out; ++o) {
        Sum sum;
        for (Index i = 0; i < shape.in; ++i) {
          const auto a = static_cast<std::size_t>(row * shape.in + i);
          const double w_var = weight.var[static_cast<std::size_t>(o * shape.in + i)];
          const double mean = has_mean ? input.mean[a] : 0,
                       var = input.var.empty() ? 0 : input.var[a];
          sum.add(w_var * (mean * mean + var));
        }
        if (!bias.var.empty()) sum.add(bias.var[static_cast<std::size_t>(o)]);
        spread.values.push_back(sum);
      }
    }
    return {spread};
  }

  static Operations cases() {
    Operations cases;
    Index variant = 0;
    for (const AffineShape& shape : affine_shapes()) {
      if (shape.rows > 300) continue;
      ++variant;
      cases.push_back(
          std::make_unique<AffineSpread>(shape, variant % 2 == 0, true, variant % 3 == 0));
      if (variant % 4 == 1)
        cases.push_back(std::make_unique<AffineSpread>(shape, false, false, false));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<AffineSpread>(AffineShape{2048, 64, 64}, false, true, true));
    return cases;
  }
};

}  // namespace tagix::conformance
