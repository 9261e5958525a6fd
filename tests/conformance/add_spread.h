#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// covariance[row][k][l] += sum_c G[k][row][c] G[l][row][c] var[row][c], or for k = l alone; var is
/// that of each row, or one for all.
struct AddSpread final : Operation {
  Index n_outputs, batch, var_stride;
  Covariances covariances;
  HostGaussians adjoint;
  std::vector<float> var, before;

  AddSpread(Index n_outputs, Index batch, Index cols, bool one_var, Covariances covariances)
      : n_outputs(n_outputs),
        batch(batch),
        var_stride(one_var ? 0 : cols),
        covariances(covariances) {
    RandomInputs random(batch + 61 * cols);
    adjoint = random.gaussians(n_outputs * batch, cols);
    adjoint.var.clear();
    var = random.uniforms((one_var ? 1 : batch) * cols, 0, 1);
    before = random.uniforms(batch * count(covariances, n_outputs), -1, 1);
  }

  std::string name() const override {
    return text("add_spread ", n_outputs, " outputs, ", batch, " x ", adjoint.cols,
                var_stride == 0 ? ", one var" : "",
                covariances == Covariances::variances ? ", variances" : "");
  }

  Cost cost() const override {
    const double size = static_cast<double>(batch * adjoint.cols);
    const double n = static_cast<double>(n_outputs);
    return {3 * size * n * (n + 1) / 2, 4 * size * (n + 1)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView g = arrays.input(adjoint);
    const float* const variances = arrays.values(var).data();
    float* const covariance = arrays.in_place(before);
    return [=, this, &backend = arrays.backend()] {
      backend.add_spread(g, variances, var_stride, n_outputs, covariances, covariance);
    };
  }

  std::vector<Expected> expected() const override {
    Expected covariance{"covariance", 64, {}};
    const Index cols = adjoint.cols;
    const auto at = [](Index i) { return static_cast<std::size_t>(i); };
    for (Index row = 0; row < batch; ++row) {
      for (Index k = 0; k < n_outputs; ++k) {
        for (Index l = 0; l < n_outputs; ++l) {
          if (covariances == Covariances::variances && k != l) continue;
          Sum sum = sum_of({before[covariance.values.size()]});
          for (Index c = 0; c < cols; ++c) {
            sum.add(double{adjoint.mean[at((k * batch + row) * cols + c)]} *
                    adjoint.mean[at((l * batch + row) * cols + c)] * var[at(row * var_stride + c)]);
          }
          covariance.values.push_back(sum);
        }
      }
    }
    return {covariance};
  }

  static Operations cases() {
    Operations cases;
    for (Covariances covariances : {Covariances::variances, Covariances::all}) {
      for (Index batch : {1, 5, 130}) {
        cases.push_back(std::make_unique<AddSpread>(1, batch, 1, false, covariances));
        cases.push_back(std::make_unique<AddSpread>(2, batch, 64, false, covariances));
        cases.push_back(std::make_unique<AddSpread>(5, batch, 19, true, covariances));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<AddSpread>(2, 2048, 64, false, Covariances::all));
    return cases;
  }
};

}  // namespace tagix::conformance
