#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// The adjoint of AffineForward, the derivatives of a number that follows its output at the rates G
/// by means and G_v by variances:
///
///   by a_mean  sum_o G W_mean + 2 a_mean G_v W_var
///   by a_var   sum_o G_v (W_mean^2 + W_var)
///
/// The sums of products of variances are part of both.
struct AffineAdjoint final : Operation {
  AffineShape shape;
  Index n_outputs;
  HostGaussians input, weight, adjoint;

  AffineAdjoint(AffineShape shape, Index n_outputs, bool known_input, bool follows_var)
      : shape(shape), n_outputs(n_outputs) {
    RandomInputs random(shape.rows + 37 * shape.in + 983 * shape.out);
    input = random.gaussians(shape.rows, shape.in);
    if (known_input) input.var.clear();
    weight = random.gaussians(shape.out, shape.in, 0.1);
    const Index rows = n_outputs * shape.rows;
    adjoint = {rows, shape.out, random.uniforms(rows * shape.out, -1, 1),
               random.uniforms(rows * shape.out, -1, 1)};
    if (!follows_var) adjoint.var.clear();
  }

  std::string name() const override {
    return text("affine_adjoint ", n_outputs, " x ", shape.rows, " x ", shape.in, " -> ", shape.out,
                adjoint.var.empty() ? ", of means" : "");
  }

  Cost cost() const override {
    const double rows = static_cast<double>(adjoint.rows), in = static_cast<double>(shape.in),
                 out = static_cast<double>(shape.out);
    return {2 * 3 * rows * in * out, 4 * (3 * rows * in + 2 * in * out + 2 * rows * out)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView a = arrays.input(input), w = arrays.input(weight);
    const ConstMomentsView of_z = arrays.input(adjoint);
    const MomentsView of_a = arrays.output(adjoint.rows, shape.in);
    return [=, &backend = arrays.backend()] { backend.affine_adjoint(a, w, of_z, of_a); };
  }

  std::vector<Expected> expected() const override {
    // Products of both kinds meet in the mean: each precision that rounds one counts.
    Expected mean{"mean", 64, {}, Expected::Terms::var_products},
        var{"var", 64, {}, Expected::Terms::var_products};
    for (Index row = 0; row < adjoint.rows; ++row) {
      for (Index i = 0; i < shape.in; ++i) {
        const auto a = static_cast<std::size_t>(row % shape.rows * shape.in + i);
        Sum mean_sum, var_sum;
        for (Index o = 0; o < shape.out; ++o) {
          const auto z = static_cast<std::size_t>(row * shape.out + o);
          const auto w = static_cast<std::size_t>(o * shape.in + i);
          const double w_mean = weight.mean[w], w_var = weight.var[w];
          const double by_var = adjoint.var.empty() ? 0 : adjoint.var[z];
          mean_sum.add(w_mean * adjoint.mean[z]);
          mean_sum.add(2 * input.mean[a] * w_var * by_var);
          var_sum.add(w_mean * w_mean * by_var);
          var_sum.add(w_var * by_var);
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
      cases.push_back(std::make_unique<AffineAdjoint>(shape, 1 + variant % 3, variant % 2 == 0,
                                                      variant % 4 != 0));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    for (const AffineShape& shape : {AffineShape{2048, 64, 64}, {2048, 64, 2}}) {
      cases.push_back(std::make_unique<AffineAdjoint>(shape, 2, false, true));
    }
    return cases;
  }
};

}  // namespace tagix::conformance
