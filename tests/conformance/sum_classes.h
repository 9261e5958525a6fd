#pragma once

#include <cmath>

#include "conformance/batch_sums.h"
#include "conformance/class_truth.h"
#include "conformance/operation.h"

namespace tagix::conformance {

/// `sum_predictions` of classes. With p the probability of a label, at least 1e-30, the sums
/// over the rows whose label is known of (1 - p)^2, p (1 - p), (1/p - 1) / (n_classes - 1) and log
/// p, and their number; and the rows.
struct SumClasses final : Operation {
  ClassProblem problem;

  SumClasses(const math::ClassHead& head, Index rows, Outputs outputs)
      : problem(head, rows, outputs, 0.2) {}

  std::string name() const override {
    return text("sum_predictions of classes, ", problem.text_of_shape());
  }

  Cost cost() const override {
    return {0, 4.0 * static_cast<double>(2 * problem.prediction.mean.size())};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView z = arrays.input(problem.prediction);
    const float* y = arrays.input(problem.target);
    const NoiseView noise{nullptr, 0, 0, {}, problem.head};
    return summing(arrays, z, y, noise);
  }

  std::vector<Expected> expected() const override {
    const PredictionSums before = state_within_epoch().sums;
    Sum squared_error = sum_of({before.squared_error}), var = sum_of({before.var}),
        chi_square = sum_of({before.chi_square}), log_likelihood = sum_of({before.log_likelihood});
    double n_observed = static_cast<double>(before.n_observed);
    const ClassTree tree(problem.head.n_classes);
    for (Index row = 0; row < problem.prediction.rows; ++row) {
      const float y = problem.target[static_cast<std::size_t>(row)];
      if (std::isnan(y)) continue;
      const auto [probability, condition] = of_label(tree, row, static_cast<Index>(y));
      const double p = std::max(probability, 1e-30);
      const auto n_others = static_cast<double>(problem.head.n_classes - 1);
      const auto add = [](Sum& sum, double term, double magnitude) {
        sum.value += term;
        sum.magnitude += magnitude;
      };
      add(squared_error, (1 - p) * (1 - p), condition);
      add(var, p * (1 - p), condition);
      add(chi_square, (1 / p - 1) / n_others, condition / p / n_others);
      add(log_likelihood, std::log(p), condition - std::log(p));
      ++n_observed;
    }
    const double position =
        static_cast<double>(state_within_epoch().position + problem.prediction.rows);
    return {{"sums",
             8,
             {squared_error, var, exactly(before.noise_var), chi_square, log_likelihood,
              exactly(n_observed), exactly(position)}}};
  }

  static Operations cases() {
    Operations cases;
    ClassProblem::for_all([&](const math::ClassHead& head, Index rows, Outputs outputs) {
      cases.push_back(std::make_unique<SumClasses>(head, rows, outputs));
    });
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    const math::ClassHead tree{math::ClassLink::tree, 10, 0};
    const math::ClassHead remax{math::ClassLink::remax, 10, 0.01f};
    const math::ClassHead softmax{math::ClassLink::softmax, 10, 0};
    const math::ClassHead one_vs_rest{math::ClassLink::one_vs_rest, 10, 0.09f, 0.08f, 2};
    for (const auto& head : {tree, remax, softmax, one_vs_rest}) {
      cases.push_back(std::make_unique<SumClasses>(head, 2048, Outputs::ordinary));
    }
    return cases;
  }

 private:
  /// The probability of a label, and its relative error for one of an output.
  std::pair<double, double> of_label(const ClassTree& tree, Index row, Index label) const {
    if (problem.is_softmax()) {
      const SoftmaxTruth truth(problem.mean(row), problem.var(row), problem.head.n_classes);
      const SoftmaxTruth::Class& own = truth.classes[static_cast<std::size_t>(label)];
      return {own.probability, own.condition};
    }
    if (problem.is_one_vs_rest()) {
      const OneVsRestTruth truth(problem.head, problem.mean(row), problem.var(row));
      const OneVsRestTruth::Class& own = truth.classes[static_cast<std::size_t>(label)];
      return {own.probability, own.condition};
    }
    if (!problem.is_tree()) {
      const RemaxTruth truth(problem.mean(row), problem.var(row), problem.head.n_classes);
      const auto i = static_cast<std::size_t>(label);
      return {truth.probabilities[i], truth.shares[i].condition};
    }
    double p = 1;
    for (const auto& [output, sign] : tree.to(label)) {
      p *= ProbitTruth(sign * problem.mean(row)[output], problem.var(row)[output]).probability;
    }
    return {p, 1};  // of a tree in float64
  }
};

}  // namespace tagix::conformance
