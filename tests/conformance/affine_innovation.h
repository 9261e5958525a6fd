#pragma once

#include <algorithm>

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Innovations of the parameters of z = a W^T + b, summed over the batch; a bias counts as the
/// weight of an input of 1:
///
///   delta_mean(W) = sum_b delta_mean(z) a_mean,   delta_var(W) = sum_b delta_var(z) a_mean^2
struct AffineInnovation final : Operation {
  AffineShape shape;
  bool has_bias;
  HostGaussians input, delta;

  /// Equal deltas are what a network that is sure of nothing gives; their roundings add up.
  AffineInnovation(AffineShape shape, bool known_input, bool has_bias, bool equal_deltas = false)
      : shape(shape), has_bias(has_bias) {
    RandomInputs random(shape.rows + 41 * shape.in + 1009 * shape.out);
    input = random.gaussians(shape.rows, shape.in);
    if (known_input) input.var.clear();
    delta = random.innovations(shape.rows, shape.out);
    if (equal_deltas) {
      std::fill(delta.mean.begin(), delta.mean.end(), 0.3f);
      std::fill(delta.var.begin(), delta.var.end(), -0.7f);
    }
  }

  std::string name() const override {
    return text("affine_innovation ", shape.rows, " x ", shape.in, " -> ", shape.out,
                input.var.empty() ? ", known input" : "", has_bias ? ", bias" : "",
                delta.mean.front() == delta.mean.back() ? ", equal deltas" : "");
  }

  Cost cost() const override {
    const double rows = static_cast<double>(shape.rows), in = static_cast<double>(shape.in),
                 out = static_cast<double>(shape.out);
    return {4 * rows * in * out + (has_bias ? 2 * rows * out : 0),
            4 * (rows * in + 2 * rows * out + 2 * in * out)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView a = arrays.input(input), d = arrays.input(delta);
    const MomentsView weight = arrays.output(shape.out, shape.in);
    const MomentsView bias = has_bias ? arrays.output(1, shape.out) : MomentsView{};
    return [=, &backend = arrays.backend()] { backend.affine_innovation(a, d, weight, bias); };
  }

  std::vector<Expected> expected() const override {
    Expected weight_mean{"weight delta_mean", 64, {}, Expected::Terms::mean_products};
    Expected weight_var{"weight delta_var", 64, {}, Expected::Terms::var_products};
    Expected bias_mean{"bias delta_mean", 64, {}}, bias_var{"bias delta_var", 64, {}};
    for (Index o = 0; o < shape.out; ++o) {
      Sum bias_mean_sum, bias_var_sum;
      for (Index row = 0; row < shape.rows; ++row) {
        const auto d = static_cast<std::size_t>(row * shape.out + o);
        bias_mean_sum.add(delta.mean[d]);
        bias_var_sum.add(delta.var[d]);
      }
      bias_mean.values.push_back(bias_mean_sum);
      bias_var.values.push_back(bias_var_sum);
      for (Index i = 0; i < shape.in; ++i) {
        Sum mean_sum, var_sum;
        for (Index row = 0; row < shape.rows; ++row) {
          const auto d = static_cast<std::size_t>(row * shape.out + o);
          const double a_mean = input.mean[static_cast<std::size_t>(row * shape.in + i)];
          mean_sum.add(delta.mean[d] * a_mean);
          var_sum.add(delta.var[d] * a_mean * a_mean);
        }
        weight_mean.values.push_back(mean_sum);
        weight_var.values.push_back(var_sum);
      }
    }
    if (!has_bias) return {weight_mean, weight_var};
    return {weight_mean, weight_var, bias_mean, bias_var};
  }

  static Operations cases() {
    Operations cases;
    int variant = 0;
    for (const AffineShape& shape : affine_shapes()) {
      ++variant;
      cases.push_back(
          std::make_unique<AffineInnovation>(shape, variant % 3 == 0, variant % 2 == 0));
    }
    // So many samples that the pieces of a batch are no longer 256.
    cases.push_back(std::make_unique<AffineInnovation>(AffineShape{20000, 3, 5}, true, true));
    for (Index rows : {2048, 20000}) {
      cases.push_back(
          std::make_unique<AffineInnovation>(AffineShape{rows, 3, 5}, true, true, true));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    for (const AffineShape& shape :
         {AffineShape{2048, 3, 64}, {2048, 64, 64}, {2048, 64, 2}, {1024, 512, 512}, {1, 64, 64}}) {
      cases.push_back(std::make_unique<AffineInnovation>(shape, false, true));
    }
    return cases;
  }
};

}  // namespace tagix::conformance
