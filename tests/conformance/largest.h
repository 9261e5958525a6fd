#pragma once

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "core/taps_view.h"

namespace tagix::conformance {

/// Windows of n_taps positions, of which some are missing, and their transposed table.
struct RandomWindows {
  Index inputs, results, n_taps;
  std::vector<std::int32_t> positions, readers;

  RandomWindows(Index n_inputs, Index n_results, Index taps)
      : inputs(n_inputs),
        results(n_results),
        n_taps(taps),
        readers(static_cast<std::size_t>(n_inputs * taps), -1) {
    for (Index result = 0; result < results; ++result) {
      for (Index tap = 0; tap < n_taps; ++tap) {
        // In a tap each position is read by one result at most, and the first tap is there.
        const Index position = result + tap * 3;
        const bool is_there = position < inputs && (tap == 0 || (result + tap) % 4 != 0);
        positions.push_back(static_cast<std::int32_t>(is_there ? position : -1));
        if (is_there) {
          readers[static_cast<std::size_t>(position * n_taps + tap)] =
              static_cast<std::int32_t>(result);
        }
      }
    }
  }
};

/// Backend::largest.
struct Largest : Operation {
  Index batch, channels;
  RandomWindows windows;
  HostGaussians input;

  Largest(Index batch_size, Index n_channels, const RandomWindows& of, bool known)
      : batch(batch_size),
        channels(n_channels),
        windows(of),
        input(RandomInputs(batch_size).gaussians(batch_size * of.inputs, n_channels)) {
    if (known) input.var.clear();
    // Some are equal: the first counts.
    for (std::size_t i = 0; i < input.mean.size(); ++i) {
      input.mean[i] = std::round(4 * input.mean[i]) / 4;
    }
  }

  std::string name() const override {
    return text("largest ", batch, " x ", windows.results, " x ", channels, " of ", windows.n_taps,
                input.var.empty() ? ", known" : "");
  }
  Cost cost() const override { return {0, 4 * 2 * static_cast<double>(input.mean.size())}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView from = arrays.input(input);
    const PositionsView view{arrays.values(windows.positions).data(), windows.n_taps,
                             windows.inputs, windows.results};
    const MomentsView to = arrays.output(batch * windows.results, channels);
    float* const choice = arrays.output(to.size());
    return [=, &backend = arrays.backend()] { backend.largest(from, view, to, choice); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 0, {}}, var{"var", 0, {}}, choice{"choice", 0, {}};
    for (Index row = 0; row < batch * windows.results; ++row) {
      for (Index channel = 0; channel < channels; ++channel) {
        double largest = -HUGE_VAL, its_var = 0;
        Index chosen = 0;
        for (Index tap = 0; tap < windows.n_taps; ++tap) {
          const Index position = windows.positions[static_cast<std::size_t>(
              row % windows.results * windows.n_taps + tap)];
          if (position < 0) continue;
          const auto at = static_cast<std::size_t>(
              (row / windows.results * windows.inputs + position) * channels + channel);
          if (input.mean[at] <= largest) continue;
          largest = input.mean[at];
          its_var = input.var.empty() ? 0 : input.var[at];
          chosen = tap;
        }
        mean.values.push_back(exactly(largest));
        var.values.push_back(exactly(its_var));
        choice.values.push_back(exactly(static_cast<double>(chosen)));
      }
    }
    return {mean, var, choice};
  }

  static Operations cases() {
    Operations cases;
    for (bool known : {false, true}) {
      cases.push_back(std::make_unique<Largest>(1, 1, RandomWindows(1, 1, 1), known));
      cases.push_back(std::make_unique<Largest>(3, 5, RandomWindows(20, 16, 4), known));
      cases.push_back(std::make_unique<Largest>(40, 17, RandomWindows(9, 5, 3), known));
    }
    return cases;
  }
  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<Largest>(64, 32, RandomWindows(196, 49, 4), false));
    return cases;
  }
};

/// Backend::largest_backward: innovations of one batch, or adjoints of several outputs.
struct LargestBackward : Operation {
  Index batch, channels, n_outputs;
  RandomWindows windows;
  bool add, has_var;
  std::vector<float> choice;
  HostGaussians delta, below;

  LargestBackward(Index batch_size, Index n_channels, Index outputs, const RandomWindows& of,
                  bool adds, bool of_means)
      : batch(batch_size),
        channels(n_channels),
        n_outputs(outputs),
        windows(of),
        add(adds),
        has_var(!of_means) {
    RandomInputs random(7 * batch_size + n_channels);
    delta = random.gaussians(outputs * batch * of.results, channels);
    below = random.gaussians(outputs * batch * of.inputs, channels);
    if (!has_var) delta.var.clear();
    for (Index i = 0; i < batch * of.results * channels; ++i) {
      choice.push_back(static_cast<float>(i * 5 % of.n_taps));
    }
  }

  std::string name() const override {
    return text("largest_backward ", n_outputs, " x ", batch, " x ", windows.inputs, " x ",
                channels, " of ", windows.n_taps, add ? ", added" : "",
                has_var ? "" : ", of means");
  }
  Cost cost() const override { return {0, 4 * 3 * static_cast<double>(below.mean.size())}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView from = arrays.input(delta);
    const float* const chosen = arrays.input(choice);
    const auto n_choices = static_cast<Index>(choice.size());
    const PositionsView view{arrays.values(windows.readers).data(), windows.n_taps, windows.results,
                             windows.inputs};
    const MomentsView to = add ? arrays.in_place(below) : arrays.output(below.rows, below.cols);
    return [=, this, &backend = arrays.backend()] {
      backend.largest_backward(from, chosen, n_choices, view, add, to);
    };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 8, {}}, var{"var", 8, {}};
    for (std::size_t i = 0; i < below.mean.size(); ++i) {
      mean.values.push_back(add ? sum_of({below.mean[i]}) : exactly(0));
      var.values.push_back(add ? sum_of({below.var[i]}) : exactly(0));
    }
    for (std::size_t i = 0; i < delta.mean.size(); ++i) {
      const auto result = static_cast<Index>(i) / channels,
                 channel = static_cast<Index>(i) % channels;
      const auto tap = static_cast<Index>(choice[i % choice.size()]);
      const Index position =
          windows
              .positions[static_cast<std::size_t>(result % windows.results * windows.n_taps + tap)];
      if (position < 0) continue;
      const auto to = static_cast<std::size_t>(
          (result / windows.results * windows.inputs + position) * channels + channel);
      mean.values[to].add(delta.mean[i]);
      if (has_var) var.values[to].add(delta.var[i]);
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (bool add : {false, true}) {
      cases.push_back(
          std::make_unique<LargestBackward>(1, 1, 1, RandomWindows(1, 1, 1), add, false));
      cases.push_back(
          std::make_unique<LargestBackward>(3, 5, 1, RandomWindows(20, 16, 4), add, true));
      cases.push_back(
          std::make_unique<LargestBackward>(4, 17, 3, RandomWindows(9, 5, 3), add, false));
    }
    return cases;
  }
  static Operations benchmarks() {
    Operations cases;
    cases.push_back(
        std::make_unique<LargestBackward>(64, 32, 1, RandomWindows(196, 49, 4), false, false));
    return cases;
  }
};

}  // namespace tagix::conformance
