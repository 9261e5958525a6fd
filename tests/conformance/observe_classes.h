#pragma once

#include <algorithm>
#include <cmath>

#include "conformance/class_truth.h"
#include "conformance/operation.h"
#include "conformance/weights.h"

namespace tagix::conformance {

/// `observe` of classes. With I the information of an output and D = 1 + I var (spread - 1): in a
/// tree, of the outputs on the path to the label,
///
///   delta_mean = d log P / d mean / D,   delta_var = -I / D
///
/// of a softmax, with y = 1 for the label and 0 for the others and I = k^2 P (1 - P),
///
///   delta_mean = k (y - P) / D,   delta_var = -I / D
///
/// and of shares A_i with the Jacobian J, whose sum is observed as c = n / sqrt(2 pi) besides, with
/// that standard deviation,
///
///   S = E A_i (1 - E A_i) + Var A_i (spread - 1) + noise_var,   T = Var sum spread + c^2
///   delta_mean = J (y - E A_i) / S + P(z_i > 0) (c - E sum) / T
///   delta_var = -J^2 / S - P(z_i > 0)^2 / T
///
/// and of one against the rest, with y as above, what is learned of any number with noise:
///
///   delta_mean = (y - mean) / (var spread + noise_var),   delta_var = -1 / (var spread +
///   noise_var)
///
/// times the weight of the row. All are 0 where the label is missing.
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
      const auto label = static_cast<Index>(y);
      Sum* const delta_mean = mean.values.data() + problem.first_of(row);
      Sum* const delta_var = var.values.data() + problem.first_of(row);
      if (problem.is_tree()) {
        for (const auto& [output, sign] : tree.to(label)) {
          const double z = problem.mean(row)[output], z_var = problem.var(row)[output];
          const ProbitTruth truth(sign * z, z_var);
          const double divisor = 1 + truth.information * z_var * (spread - 1);
          const double score = truth.score / divisor, information = truth.information / divisor;
          delta_mean[output] = {
              sign * score,
              score * (truth.score_condition + truth.information_condition) + tail_magnitude};
          delta_var[output] = {-information,
                               information * truth.information_condition + tail_magnitude};
        }
        continue;
      }
      if (problem.is_softmax()) {
        const SoftmaxTruth truth(problem.mean(row), problem.var(row), problem.head.n_classes);
        for (std::size_t i = 0; i < truth.classes.size(); ++i) {
          const SoftmaxTruth::Class& own = truth.classes[i];
          const double information = own.slope * own.slope * own.probability * own.rest;
          const double divisor = 1 + information * problem.var(row)[i] * (spread - 1);
          const double error = static_cast<Index>(i) == label ? own.rest : -own.probability;
          const double value = own.slope * error / divisor;
          delta_mean[i] = {value, 3 * std::fabs(value) * own.condition + tail_magnitude};
          delta_var[i] = {-information / divisor,
                          3 * information / divisor * own.condition + tail_magnitude};
        }
        continue;
      }
      if (problem.is_one_vs_rest()) {
        for (Index i = 0; i < problem.head.n_classes; ++i) {
          const double z = problem.mean(row)[i], z_var = problem.var(row)[i];
          const double total = z_var * spread + problem.head.noise_var;
          const double observed = i == label ? 1 : 0;
          delta_mean[i] = {(observed - z) / total, (observed + std::fabs(z)) / total};
          delta_var[i] = {-1 / total, 1 / total};
        }
        continue;
      }
      const RemaxTruth truth(problem.mean(row), problem.var(row), problem.head.n_classes);
      for (std::size_t i = 0; i < truth.shares.size(); ++i) {
        const RemaxTruth::Share& share = truth.shares[i];
        const double observed = static_cast<Index>(i) == label ? 1 : 0;
        // The mean of a log-normal share may lie above 1, where no probability does.
        const double probability = std::min(share.mean, 1.0);
        const double label_var = probability * (1 - probability);
        const double total = label_var + share.var * (spread - 1) + problem.head.noise_var;
        const double condition =
            share.condition * (1 + (probability * (1 + probability) +
                                    share.var_magnitude * (spread - 1) + problem.head.noise_var) /
                                       total);
        const double slope = share.jacobian, magnitude = share.jacobian_magnitude;
        const double scale = static_cast<double>(problem.head.n_classes) * standard_normal(0);
        const double scale_var = truth.total_var * spread + scale * scale;
        const double of_scale = share.unit_slope * (scale - truth.total) / scale_var;
        const double precision = share.unit_slope * share.unit_slope / scale_var;
        delta_mean[i] = {
            slope * (observed - probability) / total + of_scale,
            magnitude * (observed + probability) / total * condition +
                share.unit_slope * (scale + truth.total) / scale_var * share.condition +
                tail_magnitude};
        // The rounding of J squared counts where J cancels.
        delta_var[i] = {-slope * slope / total - precision,
                        magnitude * (slope + 1e-6 * magnitude) / total * condition +
                            precision * share.condition + tail_magnitude};
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
};

}  // namespace tagix::conformance
