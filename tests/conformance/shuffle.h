#pragma once

#include <cmath>

#include "conformance/operation.h"
#include "math/permutation.h"

namespace tagix::conformance {

/// The order of an epoch, to the bit: the permutation of math/permutation.h by itself, which its
/// own test (tests/cpp/test_permutation.cpp) holds to be a permutation, and all orders equally
/// likely.
struct Shuffle final : Operation {
  std::uint64_t seed, epoch;
  Index n_rows;

  Shuffle(std::uint64_t seed, std::uint64_t epoch, Index n_rows)
      : seed(seed), epoch(epoch), n_rows(n_rows) {}

  std::string name() const override {
    return text("shuffle of ", n_rows, ", seed ", seed, ", epoch ", epoch);
  }

  Cost cost() const override { return {0, 8 * static_cast<double>(n_rows)}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    Buffer<Index>& order = arrays.values(std::vector<Index>(static_cast<std::size_t>(n_rows), -1));
    std::vector<double>& returned = arrays.returned();
    return [=, this, &order, &returned, &backend = arrays.backend()] {
      backend.shuffle(seed, epoch, n_rows, order.data());
      std::vector<Index> host(static_cast<std::size_t>(n_rows));
      backend.download(order.data(), on_host(host), order.size());
      returned.assign(host.begin(), host.end());
    };
  }

  std::vector<Expected> expected() const override {
    const math::Permutation permutation(seed, epoch, static_cast<std::uint64_t>(n_rows));
    Expected order{"order", 0, {}};
    for (Index i = 0; i < n_rows; ++i) {
      const auto position = static_cast<std::uint64_t>(i);
      order.values.push_back(exactly(static_cast<double>(permutation(position))));
    }
    return {order};
  }

  static Operations cases() {
    Operations cases;
    for (Index n_rows : {1, 2, 3, 17, 255, 256, 257, 8193, 70000}) {
      cases.push_back(std::make_unique<Shuffle>(1, 0, n_rows));
      cases.push_back(std::make_unique<Shuffle>(0x123456789abcdef0, 999, n_rows));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<Shuffle>(1, 0, 100000));
    return cases;
  }
};

}  // namespace tagix::conformance
