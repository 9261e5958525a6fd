#pragma once

#include "conformance/class_truth.h"
#include "conformance/operation.h"

namespace tagix::conformance {

/// Probabilities of classes: the products of those of the branches on their paths, shares, a
/// softmax, or probits.
struct ClassProbabilities final : Operation {
  ClassProblem problem;

  ClassProbabilities(const math::ClassHead& head, Index rows, Outputs outputs)
      : problem(head, rows, outputs, 0) {}

  std::string name() const override {
    return text("class_probabilities ", problem.text_of_shape());
  }

  Cost cost() const override {
    return {0, 4.0 * static_cast<double>(3 * problem.prediction.mean.size())};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView z = arrays.input(problem.prediction);
    float* probabilities = arrays.output(z.rows * problem.head.n_classes);
    return [=, this, &backend = arrays.backend()] {
      backend.class_probabilities(z, problem.head, probabilities);
    };
  }

  std::vector<Expected> expected() const override {
    Expected expected{"probabilities", 8, {}};
    const ClassTree tree(problem.head.n_classes);
    for (Index row = 0; row < problem.prediction.rows; ++row) {
      if (problem.is_tree()) {
        append_tree(tree, problem.mean(row), problem.var(row), expected.values);
        continue;
      }
      if (problem.is_softmax()) {
        const SoftmaxTruth truth(problem.mean(row), problem.var(row), problem.head.n_classes);
        for (const SoftmaxTruth::Class& own : truth.classes) {
          expected.values.push_back(
              {own.probability, own.probability * own.condition + tail_magnitude});
        }
        continue;
      }
      if (problem.is_one_vs_rest()) {
        const OneVsRestTruth truth(problem.head, problem.mean(row), problem.var(row));
        for (const OneVsRestTruth::Class& own : truth.classes) {
          expected.values.push_back(
              {own.probability, own.probability * own.condition + tail_magnitude});
        }
        continue;
      }
      const RemaxTruth truth(problem.mean(row), problem.var(row), problem.head.n_classes);
      for (std::size_t i = 0; i < truth.shares.size(); ++i) {
        const double p = truth.probabilities[i];
        expected.values.push_back({p, p * truth.shares[i].condition + tail_magnitude});
      }
    }
    return {expected};
  }

  static Operations cases() {
    Operations cases;
    ClassProblem::for_all([&](const math::ClassHead& head, Index rows, Outputs outputs) {
      cases.push_back(std::make_unique<ClassProbabilities>(head, rows, outputs));
    });
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    for (Index n_classes : {10, 1000}) {
      const math::ClassHead tree{math::ClassLink::tree, n_classes, 0};
      const math::ClassHead remax{math::ClassLink::remax, n_classes, 0.01f};
      const math::ClassHead softmax{math::ClassLink::softmax, n_classes, 0};
      const math::ClassHead one_vs_rest{math::ClassLink::one_vs_rest, n_classes, 0.09f, 0.08f, 2};
      for (const auto& head : {tree, remax, softmax, one_vs_rest}) {
        cases.push_back(std::make_unique<ClassProbabilities>(head, 256, Outputs::ordinary));
      }
    }
    return cases;
  }

 private:
  static void append_tree(const ClassTree& tree, const float* mean, const float* var,
                          std::vector<Sum>& values) {
    const std::size_t n_classes = tree.paths.size();
    std::vector<ProbitTruth> right, left;
    for (std::size_t i = 0; i + 1 < n_classes; ++i) {
      right.emplace_back(mean[i], var[i]);
      left.emplace_back(-mean[i], var[i]);
    }
    for (const ClassTree::Path& path : tree.paths) {
      double p = 1, condition = 0;
      for (const auto& [output, sign] : path) {
        const ProbitTruth& truth = (sign > 0 ? right : left)[static_cast<std::size_t>(output)];
        p *= truth.probability;
        condition += truth.probability_condition;
      }
      values.push_back({p, p * condition + tail_magnitude});
    }
  }
};

}  // namespace tagix::conformance
