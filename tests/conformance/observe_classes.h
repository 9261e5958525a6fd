#pragma once

#include <algorithm>
#include <cmath>

#include "conformance/class_truth.h"
#include "conformance/operation.h"
#include "conformance/weights.h"

namespace tagix::conformance {

/// `observe` of classes. What is learned depends on the link between the outputs and the classes;
/// its formulas stand beside the functions below, with y = 1 for the label and 0 for the others,
/// the information I of an output and D = 1 + I var (spread - 1). Both innovations are times the
/// weight of the row, and 0 where the label is missing.
struct ObserveClasses final : Operation {
  ClassProblem problem;
  float spread;
  std::vector<float> weight;  ///< of each row; empty: 1

  ObserveClasses(const math::ClassHead& head, Index rows, Outputs outputs, float spread,
                 double missing_share = 0.2, bool is_weighted = false)
      : problem(head, rows, outputs, missing_share), spread(spread) {
    if (is_weighted) weight = weights_of(rows);
  }

  std::string name() const override {
    return text("observe classes, ", problem.text_of_shape(), ", spread ", spread,
                weight.empty() ? "" : ", with weights");
  }

  Cost cost() const override {
    return {0, 4.0 * static_cast<double>(4 * problem.prediction.mean.size())};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView z = arrays.input(problem.prediction);
    const float* y = arrays.input(problem.target);
    const MomentsView delta = arrays.output(z.rows, z.cols);
    NoiseView noise{nullptr, 0, 0, {}, problem.head};
    if (!weight.empty()) noise.weight = arrays.input(weight);
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
      const Row own{problem.mean(row), problem.var(row), static_cast<Index>(y),
                    mean.values.data() + problem.first_of(row),
                    var.values.data() + problem.first_of(row)};
      if (problem.is_tree()) {
        learn_path(own, tree.to(own.label));
      } else if (problem.is_softmax()) {
        learn_softmax(own);
      } else if (problem.is_one_vs_rest()) {
        learn_one_vs_rest(own);
      } else {
        learn_remax(own);
      }
    }
    weigh(weight, problem.prediction.cols, mean, var);
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    ClassProblem::for_all([&](const math::ClassHead& head, Index rows, Outputs outputs) {
      const float spread = rows % 2 == 0 ? 1.0f : 3.5f;
      cases.push_back(std::make_unique<ObserveClasses>(head, rows, outputs, spread));
      cases.push_back(std::make_unique<ObserveClasses>(head, rows, outputs, spread, 0.2, true));
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
      const math::ClassHead softmax{math::ClassLink::softmax, n_classes, 0};
      const math::ClassHead one_vs_rest{math::ClassLink::one_vs_rest, n_classes, 0.09f, 0.08f, 2};
      for (const auto& head : {tree, remax, softmax, one_vs_rest}) {
        cases.push_back(std::make_unique<ObserveClasses>(head, 256, Outputs::ordinary, 3.5f, 0));
      }
    }
    return cases;
  }

 private:
  /// The outputs of a row that has a label, and the innovations to fill in, which start at 0.
  struct Row {
    const float* mean;
    const float* var;
    Index label;
    Sum* delta_mean;
    Sum* delta_var;
  };

  /// Of the outputs on the path of the tree to the label, with the probability P of a branch:
  ///
  ///   delta_mean = d log P / d mean / D,   delta_var = -I / D
  void learn_path(const Row& row, const ClassTree::Path& path) const {
    for (const auto& [output, sign] : path) {
      const double z = row.mean[output], z_var = row.var[output];
      const ProbitTruth truth(sign * z, z_var);
      const double divisor = 1 + truth.information * z_var * (spread - 1);
      const double score = truth.score / divisor, information = truth.information / divisor;
      row.delta_mean[output] = {
          sign * score,
          score * (truth.score_condition + truth.information_condition) + tail_magnitude};
      row.delta_var[output] = {-information,
                               information * truth.information_condition + tail_magnitude};
    }
  }

  /// Of a softmax, with I = k^2 P (1 - P):
  ///
  ///   delta_mean = k (y - P) / D,   delta_var = -I / D
  void learn_softmax(const Row& row) const {
    const SoftmaxTruth truth(row.mean, row.var, problem.head.n_classes);
    for (std::size_t i = 0; i < truth.classes.size(); ++i) {
      const SoftmaxTruth::Class& own = truth.classes[i];
      const double information = own.slope * own.slope * own.probability * own.rest;
      const double divisor = 1 + information * row.var[i] * (spread - 1);
      const double error = static_cast<Index>(i) == row.label ? own.rest : -own.probability;
      const double value = own.slope * error / divisor;
      row.delta_mean[i] = {value, 3 * std::fabs(value) * own.condition + tail_magnitude};
      row.delta_var[i] = {-information / divisor,
                          3 * information / divisor * own.condition + tail_magnitude};
    }
  }

  /// Of one against the rest, what is learned of any number with noise:
  ///
  ///   delta_mean = (y - mean) / (var spread + noise_var)
  ///   delta_var = -1 / (var spread + noise_var)
  void learn_one_vs_rest(const Row& row) const {
    for (Index i = 0; i < problem.head.n_classes; ++i) {
      const double z = row.mean[i], z_var = row.var[i];
      const double total = z_var * spread + problem.head.noise_var;
      const double observed = i == row.label ? 1 : 0;
      row.delta_mean[i] = {(observed - z) / total, (observed + std::fabs(z)) / total};
      row.delta_var[i] = {-1 / total, 1 / total};
    }
  }

  /// Of shares A_i with the Jacobian J, whose sum is observed as c = n / sqrt(2 pi) besides, with
  /// that standard deviation:
  ///
  ///   S = E A_i (1 - E A_i) + Var A_i (spread - 1) + noise_var,   T = Var sum spread + c^2
  ///   delta_mean = J (y - E A_i) / S + P(z_i > 0) (c - E sum) / T
  ///   delta_var = -J^2 / S - P(z_i > 0)^2 / T
  void learn_remax(const Row& row) const {
    const RemaxTruth truth(row.mean, row.var, problem.head.n_classes);
    const double noise_var = problem.head.noise_var;
    const double scale = static_cast<double>(problem.head.n_classes) * standard_normal(0);
    const double scale_var = truth.total_var * spread + scale * scale;
    for (std::size_t i = 0; i < truth.shares.size(); ++i) {
      const RemaxTruth::Share& share = truth.shares[i];
      const double observed = static_cast<Index>(i) == row.label ? 1 : 0;
      // The mean of a log-normal share may lie above 1, where no probability does.
      const double probability = std::min(share.mean, 1.0);
      const double label_var = probability * (1 - probability);
      const double total = label_var + share.var * (spread - 1) + noise_var;
      const double condition =
          share.condition *
          (1 + (probability * (1 + probability) + share.var_magnitude * (spread - 1) + noise_var) /
                   total);
      const double slope = share.jacobian, magnitude = share.jacobian_magnitude;
      const double of_scale = share.unit_slope * (scale - truth.total) / scale_var;
      const double precision = share.unit_slope * share.unit_slope / scale_var;
      row.delta_mean[i] = {
          slope * (observed - probability) / total + of_scale,
          magnitude * (observed + probability) / total * condition +
              share.unit_slope * (scale + truth.total) / scale_var * share.condition +
              tail_magnitude};
      // The rounding of J squared counts where J cancels.
      row.delta_var[i] = {-slope * slope / total - precision,
                          magnitude * (slope + 1e-6 * magnitude) / total * condition +
                              precision * share.condition + tail_magnitude};
    }
  }
};

}  // namespace tagix::conformance
