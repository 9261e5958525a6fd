#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// Cov(z_i, z_j) = sum_k W_mean[i, k] W_mean[j, k] a_var[k] of the first outputs; on the diagonal
/// the variances given.
struct AffineCovariance final : Operation {
  Index n_outputs;
  HostGaussians input, weight;
  std::vector<float> var;

  AffineCovariance(Index rows, Index in, Index out, Index n_outputs, bool known_input)
      : n_outputs(n_outputs) {
    RandomInputs random(rows + 73 * in + 991 * out);
    input = random.gaussians(rows, in);
    if (known_input) input.var.clear();
    weight = random.gaussians(out, in, 0.1);
    var = random.log_uniforms(rows * out, 0.1, 1);
  }

  std::string name() const override {
    return text("affine_covariance ", input.rows, " x ", input.cols, " -> ", n_outputs, " of ",
                weight.rows, input.var.empty() ? ", known input" : "");
  }

  Cost cost() const override {
    const double pairs = static_cast<double>(n_outputs * (n_outputs - 1) / 2);
    return {3 * pairs * static_cast<double>(input.mean.size()),
            4 * static_cast<double>(input.rows * (input.cols + n_outputs * n_outputs))};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView a = arrays.input(input), w = arrays.input(weight);
    const float* variances = arrays.input(var);
    float* covariance = arrays.output(input.rows * n_outputs * n_outputs);
    return [=, this, &backend = arrays.backend()] {
      backend.affine_covariance(a, w, variances, n_outputs, covariance);
    };
  }

  std::vector<Expected> expected() const override {
    Expected covariance{"covariance", 64, {}};
    for (Index row = 0; row < input.rows; ++row) {
      for (Index i = 0; i < n_outputs; ++i) {
        for (Index j = 0; j < n_outputs; ++j) {
          if (i == j) {
            covariance.values.push_back(
                exactly(var[static_cast<std::size_t>(row * weight.rows + i)]));
            continue;
          }
          Sum sum;
          for (Index k = 0; !input.var.empty() && k < input.cols; ++k) {
            sum.add(double{weight.mean[static_cast<std::size_t>(i * input.cols + k)]} *
                    weight.mean[static_cast<std::size_t>(j * input.cols + k)] *
                    input.var[static_cast<std::size_t>(row * input.cols + k)]);
          }
          covariance.values.push_back(sum);
        }
      }
    }
    return {covariance};
  }

  static Operations cases() {
    Operations cases;
    for (Index rows : {1, 3, 65, 130}) {
      for (Index in : {1, 5, 16, 17, 64, 100}) {
        cases.push_back(std::make_unique<AffineCovariance>(rows, in, 2, 2, false));
        cases.push_back(std::make_unique<AffineCovariance>(rows, in, 6, 3, false));
      }
      cases.push_back(std::make_unique<AffineCovariance>(rows, 7, 1, 1, false));
      cases.push_back(std::make_unique<AffineCovariance>(rows, 7, 3, 3, true));
      cases.push_back(std::make_unique<AffineCovariance>(rows, 0, 3, 3, true));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<AffineCovariance>(10000, 64, 2, 2, false));
    return cases;
  }
};

}  // namespace tagix::conformance
