#pragma once

#include <cmath>
#include <numbers>

#include "conformance/batch_sums.h"
#include "conformance/noise_variances.h"
#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Over the observed targets, added to what there was: the sums of squared errors, of predicted
/// variances, of noise variances, of squared errors over both variances, and of
/// log N(target; mean, var + noise_var), and their number; and the rows.
struct SumPredictions final : Operation {
  HostGaussians prediction;
  std::vector<float> target;
  NoiseVariances noise;

  SumPredictions(Index rows, Index cols, NoiseShape shape, double missing_share)
      : SumPredictions(rows, cols, shape, missing_share, RandomInputs(rows + 73 * cols)) {}

  std::string name() const override {
    return text("sum_predictions ", prediction.rows, " x ", prediction.cols, ", ",
                noise_name(noise.shape));
  }

  Cost cost() const override {
    return {0, 4.0 * static_cast<double>(3 * target.size() + noise.values.size())};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView z = arrays.input(prediction);
    const float* y = arrays.input(target);
    const NoiseView noise_var = noise.view(arrays);
    return summing(arrays, z, y, noise_var);
  }

  std::vector<Expected> expected() const override {
    const PredictionSums before = state_within_epoch().sums;
    Sum squared_error = sum_of({before.squared_error}), var = sum_of({before.var}),
        noise_var = sum_of({before.noise_var}), chi_square = sum_of({before.chi_square}),
        log_likelihood = sum_of({before.log_likelihood});
    double n_observed = static_cast<double>(before.n_observed);
    const Index cols = noise.has_head() ? prediction.cols / 2 : prediction.cols;
    for (Index row = 0; row < prediction.rows; ++row) {
      for (Index col = 0; col < cols; ++col) {
        const auto i = static_cast<std::size_t>(row * prediction.cols + col);
        const double y = target[static_cast<std::size_t>(row * cols + col)];
        if (std::isnan(y)) continue;
        const double error = y - static_cast<double>(prediction.mean[i]);
        const double of_noise = noise.at(prediction, row, col);
        const double total = prediction.var[i] + of_noise;
        squared_error.add(error * error);
        var.add(prediction.var[i]);
        noise_var.add(of_noise);
        chi_square.add(error * error / total);
        log_likelihood.add(-0.5 * std::log(2 * std::numbers::pi * total));
        log_likelihood.add(-0.5 * error * error / total);
        ++n_observed;
      }
    }
    const double position = static_cast<double>(state_within_epoch().position + prediction.rows);
    return {{"sums",
             noise.has_head() ? 20.0 : 1,
             {squared_error, var, noise_var, chi_square, log_likelihood, exactly(n_observed),
              exactly(position)}}};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : few_elementwise_shapes()) {
      for (NoiseShape shape : noise_shapes) {
        cases.push_back(std::make_unique<SumPredictions>(rows, cols, shape, 0.2));
      }
      cases.push_back(std::make_unique<SumPredictions>(rows, cols, NoiseShape::one, 1));
    }
    cases.push_back(std::make_unique<SumPredictions>(2048, 5, NoiseShape::per_output, 0));
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<SumPredictions>(2048, 2, NoiseShape::one, 0));
    cases.push_back(std::make_unique<SumPredictions>(2048, 2, NoiseShape::exp_head, 0));
    return cases;
  }

 private:
  SumPredictions(Index rows, Index cols, NoiseShape shape, double missing_share,
                 RandomInputs random)
      : target(random.targets(rows * cols, missing_share)), noise(shape, rows, cols, random) {
    prediction = random.gaussians(rows, noise.prediction_cols(cols));
  }
};

}  // namespace tagix::conformance
