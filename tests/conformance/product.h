#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Moments of a b for independent a and b, and, with `slopes`, how they follow the moments of a.
struct ProductCase : Operation {
  bool slopes;
  HostGaussians a, b;

  ProductCase(bool slopes, Index rows, Index cols, bool a_known, bool b_known) : slopes(slopes) {
    RandomInputs random(rows + 61 * cols);
    a = random.gaussians(rows, cols);
    b = random.gaussians(rows, cols);
    if (a_known) a.var.clear();
    if (b_known) b.var.clear();
  }

  std::string name() const override {
    return text(slopes ? "product_slopes " : "product ", a.rows, " x ", a.cols,
                a.var.empty() ? ", a known" : "", b.var.empty() ? ", b known" : "");
  }

  Cost cost() const override {
    const double size = static_cast<double>(a.mean.size());
    return {(slopes ? 5 : 7) * size, 4 * (slopes ? 7 : 6) * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView of_a = arrays.input(a), of_b = arrays.input(b);
    Backend& backend = arrays.backend();
    if (!slopes) {
      const MomentsView output = arrays.output(a.rows, a.cols);
      return [=, &backend] { backend.product(of_a, of_b, output); };
    }
    const Index size = a.rows * a.cols;
    float* planes[4];
    for (float*& plane : planes) plane = arrays.output(size);
    const SlopesView view{planes[0], planes[1], planes[2], planes[3]};
    return [=, &backend] { backend.product_slopes(of_a, of_b, view); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 2, {}}, var{"var", 6, {}};
    Expected mean_by_mean{"mean_by_mean", 0, {}}, mean_by_var{"mean_by_var", 0, {}};
    Expected var_by_mean{"var_by_mean", 4, {}}, var_by_var{"var_by_var", 4, {}};
    for (std::size_t i = 0; i < a.mean.size(); ++i) {
      const double a_mean = a.mean[i], a_var = a.var.empty() ? 0 : a.var[i];
      const double b_mean = b.mean[i], b_var = b.var.empty() ? 0 : b.var[i];
      mean.values.push_back(sum_of({a_mean * b_mean}));
      var.values.push_back(
          sum_of({a_var * b_var, a_var * b_mean * b_mean, b_var * a_mean * a_mean}));
      mean_by_mean.values.push_back(exactly(b_mean));
      mean_by_var.values.push_back(exactly(0));
      var_by_mean.values.push_back(sum_of({2 * b_var * a_mean}));
      var_by_var.values.push_back(sum_of({b_var, b_mean * b_mean}));
    }
    if (!slopes) return {mean, var};
    return {mean_by_mean, mean_by_var, var_by_mean, var_by_var};
  }

  static Operations cases_of(bool slopes) {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      cases.push_back(std::make_unique<ProductCase>(slopes, rows, cols, false, false));
    }
    for (const auto& [rows, cols] : few_elementwise_shapes()) {
      cases.push_back(std::make_unique<ProductCase>(slopes, rows, cols, true, false));
      cases.push_back(std::make_unique<ProductCase>(slopes, rows, cols, false, true));
      cases.push_back(std::make_unique<ProductCase>(slopes, rows, cols, true, true));
    }
    return cases;
  }
  static Operations benchmarks_of(bool slopes) {
    Operations cases;
    cases.push_back(std::make_unique<ProductCase>(slopes, 2048, 64, false, false));
    return cases;
  }
};

struct Product final {
  static Operations cases() { return ProductCase::cases_of(false); }
  static Operations benchmarks() { return ProductCase::benchmarks_of(false); }
};
struct ProductSlopes final {
  static Operations cases() { return ProductCase::cases_of(true); }
  static Operations benchmarks() { return ProductCase::benchmarks_of(true); }
};

}  // namespace tagix::conformance
