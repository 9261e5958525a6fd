#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// The derivative of AffineForward along tangents of its input:
///
///   d mean = sum W_mean da_mean
///   d var = sum (W_mean^2 + W_var) da_var + 2 W_var a_mean da_mean
struct AffineTangents final : Operation {
  AffineShape shape;
  Index n_directions;
  HostGaussians input, weight, tangents;

  AffineTangents(AffineShape shape, Index n_directions, bool known_input)
      : shape(shape), n_directions(n_directions) {
    RandomInputs random(shape.rows + 37 * shape.in + 983 * shape.out);
    input = random.gaussians(shape.rows, shape.in);
    if (known_input) input.var.clear();
    weight = random.gaussians(shape.out, shape.in, 0.1);
    const Index rows = n_directions * shape.rows;
    tangents = {rows, shape.in, random.uniforms(rows * shape.in, -1, 1),
                random.uniforms(rows * shape.in, -1, 1)};
  }

  std::string name() const override {
    return text("affine_tangents ", n_directions, " x ", shape.rows, " x ", shape.in, " -> ",
                shape.out);
  }

  Cost cost() const override {
    const double rows = static_cast<double>(tangents.rows), in = static_cast<double>(shape.in),
                 out = static_cast<double>(shape.out);
    return {2 * 3 * rows * in * out, 4 * (3 * rows * in + 2 * in * out + 2 * rows * out)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView a = arrays.input(input), w = arrays.input(weight);
    const ConstMomentsView d = arrays.input(tangents);
    const MomentsView z = arrays.output(tangents.rows, shape.out);
    return [=, &backend = arrays.backend()] { backend.affine_tangents(a, w, d, z); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 16, {}, Expected::Terms::mean_products},
        var{"var", 64, {}, Expected::Terms::var_products};
    for (Index row = 0; row < tangents.rows; ++row) {
      for (Index o = 0; o < shape.out; ++o) {
        Sum mean_sum, var_sum;
        for (Index i = 0; i < shape.in; ++i) {
          const auto d = static_cast<std::size_t>(row * shape.in + i);
          const auto a = static_cast<std::size_t>(row % shape.rows * shape.in + i);
          const auto w = static_cast<std::size_t>(o * shape.in + i);
          const double w_mean = weight.mean[w], w_var = weight.var[w], d_mean = tangents.mean[d];
          mean_sum.add(w_mean * d_mean);
          var_sum.add((w_mean * w_mean + w_var) * tangents.var[d]);
          var_sum.add(2 * w_var * input.mean[a] * d_mean);
        }
        mean.values.push_back(mean_sum);
        var.values.push_back(var_sum);
      }
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    Index variant = 0;
    for (const AffineShape& shape : affine_shapes()) {
      if (shape.rows > 300) continue;
      ++variant;
      cases.push_back(std::make_unique<AffineTangents>(shape, 1 + variant % 3, variant % 2 == 0));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    for (const AffineShape& shape : {AffineShape{2048, 64, 64}, {2048, 64, 2}}) {
      cases.push_back(std::make_unique<AffineTangents>(shape, 2, false));
    }
    return cases;
  }
};

}  // namespace tagix::conformance
