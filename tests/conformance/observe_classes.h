#pragma once

#include <cmath>

#include "conformance/class_truth.h"
#include "conformance/operation.h"

namespace tagix::conformance {

/// `observe` of classes. In a tree, innovations of the outputs on the path to the label, with the
/// variance var spread; of shares A_i, observed as y_i = 1 or 0 with noise, by the Jacobian J:
///
///   S = Var A_i spread + noise_var,   delta_mean = J (y_i - E A_i) / S,   delta_var = -J^2 / S
///
/// All are 0 where the label is missing.
struct ObserveClasses final : Operation {
  ClassProblem problem;
  float spread;

  ObserveClasses(const math::ClassHead& head, Index rows, Outputs outputs, float spread,
                 double missing_share = 0.2)
      : problem(head, rows, outputs, missing_share), spread(spread) {}

  std::string name() const override {
    return text("observe classes, ", problem.text_of_shape(), ", spread ", spread);
  }

  Cost cost() const override {
    return {0, 4.0 * static_cast<double>(4 * problem.prediction.mean.size())};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView z = arrays.input(problem.prediction);
    const float* y = arrays.input(problem.target);
    const MomentsView delta = arrays.output(z.rows, z.cols);
    const NoiseView noise{nullptr, 0, 0, {}, problem.head};
    return [=, this, &backend = arrays.backend()] { backend.observe(z, y, noise, spread, delta); };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"delta_mean", 32, {}}, var{"delta_var", 32, {}};
    mean.values.assign(problem.prediction.mean.size(), exactly(0));
    var.values = mean.values;
    const ClassTree tree(problem.head.n_classes);
    for (Index row = 0; row < problem.prediction.rows; ++row) {
      const float y = problem.target[static_cast<std::size_t>(row)];
      if (std::isnan(y)) continue;
      const auto label = static_cast<Index>(y);
      Sum* const delta_mean = mean.values.data() + problem.first_of(row);
      Sum* const delta_var = var.values.data() + problem.first_of(row);
      if (problem.is_tree()) {
        for (const auto& [output, sign] : tree.to(label)) {
          const double z = problem.mean(row)[output], z_var = problem.var(row)[output];
          const ProbitTruth truth(sign * z, z_var * spread);
          delta_mean[output] = {sign * truth.delta_mean,
                                truth.delta_mean * truth.delta_condition + tail_magnitude};
          delta_var[output] = {truth.delta_var,
                               -truth.delta_var * truth.delta_condition + tail_magnitude};
        }
        continue;
      }
      const RemaxTruth truth(problem.mean(row), problem.var(row), problem.head.n_classes);
      for (std::size_t i = 0; i < truth.shares.size(); ++i) {
        const RemaxTruth::Share& share = truth.shares[i];
        const double observed = static_cast<Index>(i) == label ? 1 : 0;
        const double total = share.var * spread + problem.head.noise_var;
        const double condition =
            share.condition * (1 + (share.var_magnitude * spread + problem.head.noise_var) / total);
        const double slope = share.jacobian, magnitude = share.jacobian_magnitude;
        delta_mean[i] = {slope * (observed - share.mean) / total,
                         magnitude * (observed + share.mean) / total * condition + tail_magnitude};
        // The rounding of J squared counts where J cancels.
        delta_var[i] = {
            -slope * slope / total,
            magnitude * (slope + 1e-6 * magnitude) / total * condition + tail_magnitude};
      }
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    ClassProblem::for_all([&](const math::ClassHead& head, Index rows, Outputs outputs) {
      const float spread = rows % 2 == 0 ? 1.0f : 3.5f;
      cases.push_back(std::make_unique<ObserveClasses>(head, rows, outputs, spread));
    });
    const math::ClassHead tree{math::ClassLink::tree, 10, 0};
    cases.push_back(std::make_unique<ObserveClasses>(tree, 5, Outputs::ordinary, 1.0f, 1));
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    for (Index n_classes : {10, 1000}) {
      const math::ClassHead tree{math::ClassLink::tree, n_classes, 0};
      const math::ClassHead remax{math::ClassLink::remax, n_classes, 0.01f};
      for (const auto& head : {tree, remax}) {
        cases.push_back(std::make_unique<ObserveClasses>(head, 256, Outputs::ordinary, 3.5f, 0));
      }
    }
    return cases;
  }
};

}  // namespace tagix::conformance
