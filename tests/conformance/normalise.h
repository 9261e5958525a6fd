#pragma once

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "core/norm_sets.h"

namespace tagix::conformance {

/// The elements of each set of a norm for some rows.
inline std::vector<std::vector<std::size_t>> elements_of(const NormSets& sets, Index rows) {
  const Index width = sets.channels / sets.groups;
  std::vector<std::vector<std::size_t>> all;
  for (Index block = 0; block < (sets.per_position ? rows * sets.positions : rows); ++block) {
    for (Index group = 0; group < sets.groups; ++group) {
      std::vector<std::size_t> elements;
      for (Index p = 0; p < (sets.per_position ? 1 : sets.positions); ++p) {
        const Index position = sets.per_position ? block : block * sets.positions + p;
        for (Index c = 0; c < width; ++c) {
          elements.push_back(
              static_cast<std::size_t>(position * sets.channels + group * width + c));
        }
      }
      all.push_back(std::move(elements));
    }
  }
  return all;
}

/// The shapes of norms that operations are checked with.
inline std::vector<std::pair<Index, NormSets>> norm_cases() {
  std::vector<std::pair<Index, NormSets>> cases;
  for (const bool centred : {true, false}) {
    for (const bool per_position : {false, true}) {
      cases.push_back({1, {1, 1, 1, per_position, centred, true, 1e-5f}});
      cases.push_back({3, {6, 10, 2, per_position, centred, true, 1e-5f}});
      cases.push_back({2, {49, 33, 1, per_position, centred, true, 1e-3f}});
      cases.push_back({7, {9, 12, 12, per_position, centred, false, 0.1f}});
    }
  }
  cases.push_back({5, {1, 300, 1, false, true, true, 1e-5f}});
  return cases;
}

inline std::string norm_name(Index rows, const NormSets& sets) {
  return text(rows, " x ", sets.positions, " x ", sets.channels, ", ", sets.groups, " groups",
              sets.per_position ? " by position" : "", sets.centred ? "" : ", not centred",
              sets.exact ? "" : ", constant statistics");
}

/// Backend::normalise.
struct Normalise : Operation {
  Index rows;
  NormSets sets;
  HostGaussians input;

  Normalise(Index n_rows, const NormSets& of, bool known)
      : rows(n_rows),
        sets(of),
        input(RandomInputs(n_rows + of.channels).gaussians(n_rows * of.positions, of.channels)) {
    if (known) input.var.clear();
  }

  std::string name() const override {
    return text("normalise ", norm_name(rows, sets), input.var.empty() ? ", known" : "");
  }
  Cost cost() const override {
    const auto size = static_cast<double>(input.mean.size());
    return {8 * size, 4 * 4 * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView from = arrays.input(input);
    const MomentsView to = arrays.output(input.rows, input.cols);
    float* const scale = arrays.output(rows * sets.per_row());
    return [=, this, &backend = arrays.backend()] { backend.normalise(from, sets, to, scale); };
  }

  std::vector<Expected> expected() const override {
    // The error of the sums is 2^-24 or less of what they are of, whatever their size.
    Expected mean{"mean", 12, std::vector<Sum>(input.mean.size())};
    Expected var{"var", 12, std::vector<Sum>(input.mean.size())}, scale{"scale", 12, {}};
    for (const std::vector<std::size_t>& elements : elements_of(sets, rows)) {
      const auto n = static_cast<double>(elements.size());
      double mu = 0, size = 0, q = 0;
      for (std::size_t i : elements) {
        mu += sets.centred ? input.mean[i] / n : 0;
        size += sets.centred ? std::fabs(input.mean[i]) / n : 0;
      }
      const auto var_of = [&](std::size_t i) {
        return input.var.empty() ? 0 : double{input.var[i]};
      };
      for (std::size_t i : elements) {
        q += ((input.mean[i] - mu) * (input.mean[i] - mu) + var_of(i)) / n;
      }
      const double r = 1 / std::sqrt(q + double{sets.eps});
      // What is off in mu is off in the deviations that r is made of.
      const double r_magnitude = r * (1 + size * r);
      scale.values.push_back({r, r_magnitude});
      for (std::size_t i : elements) {
        mean.values[i] = {r * (input.mean[i] - mu),
                          r * (std::fabs(input.mean[i]) + size) * (1 + size * r)};
        var.values[i] = {r * r * var_of(i), r * r_magnitude * var_of(i)};
      }
    }
    return {mean, var, scale};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, sets] : norm_cases()) {
      for (bool known : {false, true}) {
        cases.push_back(std::make_unique<Normalise>(rows, sets, known));
      }
    }
    return cases;
  }
  static Operations benchmarks() {
    Operations cases;
    cases.push_back(
        std::make_unique<Normalise>(64, NormSets{196, 64, 1, false, true, true, 1e-5f}, false));
    return cases;
  }
};

}  // namespace tagix::conformance
