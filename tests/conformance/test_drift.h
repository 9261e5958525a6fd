#pragma once

#include <cmath>

#include "conformance/operation.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// A stream of recorded targets, tested a batch at a time. With weights decay^(targets since) the
/// sums follow the stream, and their chi-square test, in the form of Wilson & Hilferty, finds where
/// the squared errors over their variances are too large.
struct TestDrift final : Operation {
  Forgetting forgetting;
  Index n_targets;        // in a batch
  double surprise_after;  // mean of squared errors over variances, from the middle on
  Failure failure;
  std::vector<double> chi_squares;  // of each batch

  TestDrift(double level, double window, Index n_targets, double surprise_after,
            Failure failure = Failure::none)
      : forgetting(0, level, window, 0),
        n_targets(n_targets),
        surprise_after(surprise_after),
        failure(failure) {
    RandomInputs random(n_targets);
    constexpr int n_batches = 60;
    for (int i = 0; i < n_batches; ++i) {
      const double level_now = 2 * i < n_batches ? 1 : surprise_after;
      chi_squares.push_back(level_now * static_cast<double>(n_targets) *
                            static_cast<double>(random.uniform(0.8, 1.2)));
    }
  }

  std::string name() const override {
    return text("test_drift, ", n_targets, " targets, window ", forgetting.window(), ", surprise ",
                surprise_after, failure == Failure::none ? "" : ", after a failure");
  }

  Cost cost() const override { return {0, 200.0 * static_cast<double>(chi_squares.size())}; }

  std::function<void()> prepare(Arrays& arrays) const override {
    std::vector<double>& returned = arrays.returned();
    Buffer<TrainingState>& state = arrays.values<TrainingState>({{}});
    Buffer<math::DriftState>& drift = arrays.values<math::DriftState>({{}});
    return [=, this, &returned, &state, &drift, &backend = arrays.backend()] {
      returned.clear();
      TrainingState recorded;
      recorded.failure = failure;
      for (double chi_square : chi_squares) {
        recorded.sums.chi_square += chi_square;
        recorded.sums.n_observed += n_targets;
        state.assign(recorded);
        backend.test_drift(forgetting, state.data(), drift.data());
        recorded = state.first();
        returned.push_back(drift.first().drifts ? 1 : 0);
      }
      const math::DriftState end = drift.first();
      returned.insert(returned.end(), {end.chi_square, end.weight, end.square_weight,
                                       static_cast<double>(end.n_drifts)});
      // The stream may be run again.
      const math::DriftState start;
      drift.assign(start);
    };
  }

  std::vector<Expected> expected() const override {
    Expected results{"results", 64, {}};
    std::vector<double> seen;
    double n_drifts = 0, weighted = 0, weight = 0, square_weight = 0;
    const double keep = 1 - 1 / forgetting.window();
    for (double chi_square : chi_squares) {
      if (failure != Failure::none) {
        results.values.push_back(exactly(0));
        continue;
      }
      seen.push_back(chi_square);
      weighted = weight = square_weight = 0;
      const double n = static_cast<double>(n_targets);
      for (std::size_t i = 0; i < seen.size(); ++i) {
        const double w = std::pow(keep, n * static_cast<double>(seen.size() - 1 - i));
        weighted += w * seen[i];
        weight += w * n;
        square_weight += w * w * n;
      }
      const double freedom = weight * weight / square_weight, spread = 2 / (9 * freedom);
      const double z = (std::cbrt(weighted / weight) - 1 + spread) / std::sqrt(spread);
      const bool drifts = 0.5 * std::erfc(z / std::sqrt(2.0)) < forgetting.drift_level();
      results.values.push_back(exactly(drifts ? 1 : 0));
      if (!drifts) continue;
      ++n_drifts;
      seen.clear();
      weighted = weight = square_weight = 0;
    }
    for (double sum : {weighted, weight, square_weight}) results.values.push_back(sum_of({sum}));
    results.values.push_back(exactly(n_drifts));
    return {results};
  }

  static Operations cases() {
    Operations cases;
    for (double surprise : {1.0, 1.5, 9.0}) {
      cases.push_back(std::make_unique<TestDrift>(1e-3, 100, 1, surprise));
      cases.push_back(std::make_unique<TestDrift>(1e-6, 10, 7, surprise));
      cases.push_back(std::make_unique<TestDrift>(1e-6, 1, 64, surprise));
    }
    cases.push_back(std::make_unique<TestDrift>(1e-3, 100, 1, 9, Failure::prediction));
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<TestDrift>(1e-6, 100, 1, 1));
    return cases;
  }
};

}  // namespace tagix::conformance
