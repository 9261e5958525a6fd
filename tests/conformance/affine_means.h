#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// z = sum a W + b, of means alone.
struct AffineMeans final : Operation {
  AffineShape shape;
  std::vector<float> input, weight, bias;

  AffineMeans(AffineShape shape, bool has_bias) : shape(shape) {
    RandomInputs random(shape.rows + 37 * shape.in + 983 * shape.out);
    input = random.gaussians(shape.rows, shape.in).mean;
    weight = random.gaussians(shape.out, shape.in, 0.1).mean;
    if (has_bias) bias = random.gaussians(1, shape.out, 0.1).mean;
  }

  std::string name() const override {
    return text("affine_means ", shape.rows, " x ", shape.in, " -> ", shape.out,
                bias.empty() ? "" : ", bias");
  }

  Cost cost() const override {
    const double rows = static_cast<double>(shape.rows), in = static_cast<double>(shape.in),
                 out = static_cast<double>(shape.out);
    return {2 * rows * in * out, 4 * (rows * in + in * out + rows * out)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView a{arrays.input(input), nullptr, shape.rows, shape.in};
    const ConstMomentsView w{arrays.input(weight), nullptr, shape.out, shape.in};
    ConstMomentsView b;
    if (!bias.empty()) b = {arrays.input(bias), nullptr, 1, shape.out};
    float* const z = arrays.output(shape.rows * shape.out);
    return [=, &backend = arrays.backend()] { backend.affine_means(a, w, b, z); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 16, {}, Expected::Terms::mean_products};
    for (Index row = 0; row < shape.rows; ++row) {
      for (Index o = 0; o < shape.out; ++o) {
        Sum sum;
        if (!bias.empty()) sum.add(bias[static_cast<std::size_t>(o)]);
        for (Index i = 0; i < shape.in; ++i) {
          sum.add(double{input[static_cast<std::size_t>(row * shape.in + i)]} *
                  weight[static_cast<std::size_t>(o * shape.in + i)]);
        }
        mean.values.push_back(sum);
      }
    }
    return {mean};
  }

  static Operations cases() {
    Operations cases;
    for (const AffineShape& shape : affine_shapes()) {
      cases.push_back(std::make_unique<AffineMeans>(shape, cases.size() % 2 == 0));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    for (const AffineShape& shape : {AffineShape{2048, 64, 64}, {1024, 512, 512}}) {
      cases.push_back(std::make_unique<AffineMeans>(shape, true));
    }
    return cases;
  }
};

}  // namespace tagix::conformance
