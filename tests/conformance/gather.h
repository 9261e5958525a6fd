#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "core/taps_view.h"

namespace tagix::conformance {

/// Backend::gather, of windows of which taps are missing.
struct Gather : Operation {
  Index batch, inputs, results, channels, n_taps, first_row, rows;
  std::vector<std::int32_t> positions;
  std::vector<float> input;

  Gather(Index batch_size, Index n_inputs, Index n_results, Index n_channels, Index taps,
         Index first, Index n_rows)
      : batch(batch_size),
        inputs(n_inputs),
        results(n_results),
        channels(n_channels),
        n_taps(taps),
        first_row(first),
        rows(n_rows),
        input(
            RandomInputs(31 * batch_size + n_channels).uniforms(batch * inputs * channels, -1, 1)) {
    for (Index i = 0; i < results * n_taps; ++i) {
      const Index position = (7 * i + i / n_taps) % (inputs + 1);
      positions.push_back(static_cast<std::int32_t>(position == inputs ? -1 : position));
    }
  }

  std::string name() const override {
    return text("gather ", rows, " rows from ", first_row, ", ", n_taps, " of ", inputs,
                " positions, ", channels, " channels");
  }

  Cost cost() const override { return {0, 4 * 2 * static_cast<double>(rows * n_taps * channels)}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    const float* const from = arrays.input(input);
    const PositionsView view{arrays.values(positions).data(), n_taps, inputs, results};
    float* const to = arrays.output(rows * n_taps * channels);
    return [=, this, &backend = arrays.backend()] {
      backend.gather(from, channels, view, first_row, rows, to);
    };
  }

  std::vector<Expected> expected() const override {
    Expected gathered{"gathered", 0, {}};
    for (Index row = first_row; row < first_row + rows; ++row) {
      for (Index tap = 0; tap < n_taps; ++tap) {
        const Index from = positions[static_cast<std::size_t>(row % results * n_taps + tap)];
        for (Index channel = 0; channel < channels; ++channel) {
          const Index at = (row / results * inputs + from) * channels + channel;
          gathered.values.push_back(
              exactly(from < 0 ? 0.0 : double{input[static_cast<std::size_t>(at)]}));
        }
      }
    }
    return {gathered};
  }

  static Operations cases() {
    Operations cases;
    cases.push_back(std::make_unique<Gather>(1, 1, 1, 1, 1, 0, 1));
    cases.push_back(std::make_unique<Gather>(3, 9, 4, 5, 4, 2, 9));
    cases.push_back(std::make_unique<Gather>(40, 16, 25, 17, 9, 0, 1000));
    cases.push_back(std::make_unique<Gather>(7, 20, 3, 64, 3, 20, 1));
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<Gather>(64, 196, 196, 32, 9, 0, 64 * 196));
    return cases;
  }
};

}  // namespace tagix::conformance
