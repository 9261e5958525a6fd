#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// sum += values, for means and variances.
struct Add final : Operation {
  HostGaussians values, sum;

  Add(Index rows, Index cols) {
    RandomInputs random(rows + 67 * cols);
    values = random.gaussians(rows, cols);
    sum = random.gaussians(rows, cols);
  }

  std::string name() const override { return text("add ", values.rows, " x ", values.cols); }

  Cost cost() const override {
    const double size = 2 * static_cast<double>(values.mean.size());
    return {size, 4 * 3 * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView terms = arrays.input(values);
    const MomentsView total = arrays.in_place(sum);
    return [=, &backend = arrays.backend()] { backend.add(terms, total); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 1, {}}, var{"var", 1, {}};
    for (std::size_t i = 0; i < values.mean.size(); ++i) {
      mean.values.push_back(sum_of({values.mean[i], sum.mean[i]}));
      var.values.push_back(sum_of({values.var[i], sum.var[i]}));
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      cases.push_back(std::make_unique<Add>(rows, cols));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<Add>(2048, 64));
    return cases;
  }
};

}  // namespace tagix::conformance
