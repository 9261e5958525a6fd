#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// The variance of a product of independent values beyond its linear part, a_var b_var.
struct ProductExcess final : Operation {
  std::vector<float> a_var, b_var;

  explicit ProductExcess(Index size) {
    RandomInputs random(size);
    a_var = random.uniforms(size, 0, 2);
    b_var = random.uniforms(size, 0, 1);
  }

  std::string name() const override { return text("product_excess ", a_var.size()); }

  Cost cost() const override {
    const double size = static_cast<double>(a_var.size());
    return {size, 12 * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const float *const a = arrays.values(a_var).data(), *const b = arrays.values(b_var).data();
    const auto size = static_cast<Index>(a_var.size());
    float* const excess = arrays.output(size);
    return [=, &backend = arrays.backend()] { backend.product_excess(a, b, size, excess); };
  }

  std::vector<Expected> expected() const override {
    Expected excess{"excess", 2, {}};
    for (std::size_t i = 0; i < a_var.size(); ++i) {
      excess.values.push_back(sum_of({double{a_var[i]} * b_var[i]}));
    }
    return {excess};
  }

  static Operations cases() {
    Operations cases;
    for (Index size : {1, 17, 20000}) cases.push_back(std::make_unique<ProductExcess>(size));
    return cases;
  }

  static Operations benchmarks() { return {}; }
};

}  // namespace tagix::conformance
