#pragma once

#include "conformance/operation.h"

namespace tagix::conformance {

/// *value += amount.
struct Advance final : Operation {
  Index value, amount;

  Advance(Index value, Index amount) : value(value), amount(amount) {}

  std::string name() const override { return text("advance ", value, " by ", amount); }
  Cost cost() const override { return {0, 16}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    Buffer<Index>& counter = arrays.values<Index>({value});
    std::vector<double>& returned = arrays.returned();
    return [=, this, &counter, &returned, &backend = arrays.backend()] {
      backend.advance(counter.data(), amount);
      returned = {static_cast<double>(counter.first())};
    };
  }

  std::vector<Expected> expected() const override {
    return {{"value", 0, {exactly(static_cast<double>(value + amount))}}};
  }

  static Operations cases() {
    Operations cases;
    for (Index amount : {-1, 0, 1, 2048}) cases.push_back(std::make_unique<Advance>(39, amount));
    return cases;
  }

  static Operations benchmarks() { return {}; }
};

}  // namespace tagix::conformance
