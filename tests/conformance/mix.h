#pragma once

#include <cstdint>

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "core/taps_view.h"

namespace tagix::conformance {

/// Sums over positions with known weights, written or added: taps that are missing, positions that
/// have none, inputs that are known.
struct Mix final : Operation {
  Index batch, inputs, results, channels;
  bool known, add;
  std::vector<std::int32_t> start{0}, taps;
  std::vector<float> weights;
  HostGaussians input, output;

  Mix(Index batch, Index inputs, Index results, Index channels, Index n_taps, bool known, bool add)
      : batch(batch), inputs(inputs), results(results), channels(channels), known(known), add(add) {
    RandomInputs random(batch + 67 * inputs + 71 * results + channels);
    for (Index p = 0; p < results; ++p) {
      for (Index t = 0; t < n_taps; ++t) {
        if (random.chance(0.3) || p % 7 == 3) continue;
        taps.push_back(static_cast<std::int32_t>(random.below(inputs)));
        weights.push_back(random.uniform(-1, 1));
      }
      start.push_back(static_cast<std::int32_t>(taps.size()));
    }
    input = random.gaussians(batch * inputs, channels);
    output = random.gaussians(batch * results, channels);
    if (known) input.var.clear();
  }

  std::string name() const override {
    return text("mix ", batch, " x (", inputs, " to ", results, ") x ", channels, ", ", taps.size(),
                " taps", known ? ", known" : "", add ? ", added" : "");
  }

  Cost cost() const override {
    const double size = static_cast<double>(input.mean.size() + output.mean.size());
    return {5.0 * static_cast<double>(taps.size()) * static_cast<double>(batch * channels),
            4 * 2 * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView from = arrays.input(input);
    const TapsView table{arrays.values(start).data(), arrays.values(taps).data(),
                         arrays.values(weights).data(), inputs, results};
    const MomentsView to = add ? arrays.in_place(output) : arrays.output(output.rows, output.cols);
    return [=, this, &backend = arrays.backend()] { backend.mix(from, table, add, to); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 8, {}}, var{"var", 8, {}};
    for (Index row = 0; row < output.rows; ++row) {
      const auto position = static_cast<std::size_t>(row % results);
      for (Index channel = 0; channel < channels; ++channel) {
        const auto to = static_cast<std::size_t>(row * channels + channel);
        Sum of_mean = add ? sum_of({output.mean[to]}) : exactly(0);
        Sum of_var = add ? sum_of({output.var[to]}) : exactly(0);
        for (std::int32_t i = start[position]; i < start[position + 1]; ++i) {
          const auto tap = static_cast<std::size_t>(i);
          const auto from =
              static_cast<std::size_t>((row / results * inputs + taps[tap]) * channels + channel);
          const double weight = weights[tap];
          of_mean.add(weight * input.mean[from]);
          if (!known) of_var.add(weight * weight * input.var[from]);
        }
        mean.values.push_back(of_mean);
        var.values.push_back(of_var);
      }
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (Index batch : {1, 3, 40}) {
      for (bool add : {false, true}) {
        cases.push_back(std::make_unique<Mix>(batch, 1, 1, 1, 1, false, add));
        cases.push_back(std::make_unique<Mix>(batch, 9, 4, 5, 4, batch == 3, add));
        cases.push_back(std::make_unique<Mix>(batch, 1, 15, 7, 1, false, add));
        cases.push_back(std::make_unique<Mix>(batch, 17, 1, 33, 17, true, add));
        cases.push_back(std::make_unique<Mix>(batch, 49, 25, 3, 9, false, add));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<Mix>(64, 256, 64, 32, 4, false, false));
    return cases;
  }
};

}  // namespace tagix::conformance
