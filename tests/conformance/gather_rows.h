#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// output row i = source row order[position + i], or position + i without an order.
struct GatherRows final : Operation {
  static constexpr Index position = 3;
  Index cols;
  bool ordered;
  std::vector<float> source;
  std::vector<Index> rows;

  GatherRows(Index source_rows, Index n_rows, Index cols, bool ordered)
      : cols(cols), ordered(ordered) {
    RandomInputs random(source_rows + 71 * cols);
    source = random.uniforms(source_rows * cols, -1, 1);
    for (Index i = 0; i < n_rows; ++i) {
      rows.push_back(ordered ? random.below(source_rows) : position + i);
    }
    if (ordered) rows.back() = source_rows - 1;
  }

  std::string name() const override {
    return text("gather_rows ", rows.size(), " of ", source.size() / static_cast<std::size_t>(cols),
                " x ", cols, ordered ? "" : ", in a row");
  }

  Cost cost() const override {
    return {0, static_cast<double>(rows.size()) * (8 + 8 * static_cast<double>(cols))};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const float* from = arrays.input(source);
    std::vector<Index> order(position, -1);
    order.insert(order.end(), rows.begin(), rows.end());
    const TrainingState state{{}, position, 0, Failure::none};
    const RowSelection selection{ordered ? arrays.input(order) : nullptr,
                                 arrays.values<TrainingState>({state}).data()};
    const Index n_rows = static_cast<Index>(rows.size());
    float* to = arrays.output(n_rows * cols);
    return [=, this, &backend = arrays.backend()] {
      backend.gather_rows(from, cols, selection, n_rows, to);
    };
  }

  std::vector<Expected> expected() const override {
    Expected gathered{"rows", 0, {}};
    for (Index row : rows) {
      for (Index col = 0; col < cols; ++col) {
        gathered.values.push_back(exactly(source[static_cast<std::size_t>(row * cols + col)]));
      }
    }
    return {gathered};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      cases.push_back(std::make_unique<GatherRows>(2 * rows + 1, rows, cols, true));
      cases.push_back(std::make_unique<GatherRows>(rows + position, rows, cols, false));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<GatherRows>(100000, 2048, 2, true));
    cases.push_back(std::make_unique<GatherRows>(10000, 2048, 64, true));
    return cases;
  }
};

}  // namespace tagix::conformance
