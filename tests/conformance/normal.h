#pragma once

#include "conformance/operation.h"
#include "conformance/random_truth.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Rows of standard normal numbers, each row its own (seed; stream, step, row).
struct Normal final : Operation {
  std::uint64_t seed;
  math::RandomStream stream;
  std::uint64_t step;
  Index first_row, rows, cols;

  Normal(std::uint64_t seed, math::RandomStream stream, std::uint64_t step, Index first_row,
         Index rows, Index cols)
      : seed(seed), stream(stream), step(step), first_row(first_row), rows(rows), cols(cols) {}

  std::string name() const override {
    return text("normal ", rows, " x ", cols, ", seed ", seed, ", step ", step, ", first row ",
                first_row);
  }

  Cost cost() const override { return {0, 4.0 * static_cast<double>(rows * cols)}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    float* numbers = arrays.output(rows * cols);
    return [=, this, &backend = arrays.backend()] {
      backend.normal(seed, stream, step, first_row, rows, cols, numbers);
    };
  }

  std::vector<Expected> expected() const override {
    Expected numbers{"numbers", 4, {}};
    for (Index row = 0; row < rows; ++row) {
      for (Index col = 0; col < cols; ++col) {
        numbers.values.push_back(normal_number(seed, stream, step, first_row + row, col));
      }
    }
    return {numbers};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      cases.push_back(
          std::make_unique<Normal>(7, math::RandomStream::sampler_start, 0, 0, rows, cols));
      cases.push_back(std::make_unique<Normal>(0x123456789abcdef0, math::RandomStream::parameters,
                                               999, 8192, rows, cols));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<Normal>(7, math::RandomStream::sampler_start, 0, 0, 10000, 2));
    cases.push_back(std::make_unique<Normal>(7, math::RandomStream::sampler_start, 0, 0, 2048, 64));
    return cases;
  }
};

}  // namespace tagix::conformance
