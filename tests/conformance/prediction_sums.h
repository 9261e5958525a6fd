#pragma once

#include <cmath>
#include <numbers>

#include "conformance/noise_variances.h"
#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// Over the observed targets: the sums of squared errors, of predicted variances, and of
/// log N(target; mean, var + noise_var), and their number.
struct PredictionSumsOf final : Operation {
  HostGaussians prediction;
  std::vector<float> target;
  NoiseVariances noise;

  PredictionSumsOf(Index rows, Index cols, NoiseShape shape, double missing_share)
      : PredictionSumsOf(rows, cols, shape, missing_share, RandomInputs(rows + 73 * cols)) {}

  std::string name() const override {
    return text("prediction_sums ", prediction.rows, " x ", prediction.cols, ", ",
                noise_name(noise.shape));
  }

  Cost cost() const override {
    return {0, 4.0 * static_cast<double>(3 * target.size() + noise.values.size())};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView z = arrays.input(prediction);
    const float* y = arrays.input(target);
    const BroadcastView noise_var = noise.view(arrays);
    std::vector<double>& returned = arrays.returned();
    return [=, &returned, &backend = arrays.backend()] {
      const PredictionSums sums = backend.prediction_sums(z, y, noise_var);
      returned = {sums.squared_error, sums.var, sums.log_likelihood,
                  static_cast<double>(sums.n_observed)};
    };
  }

  std::vector<Expected> expected() const override {
    Sum squared_error, var, log_likelihood;
    double n_observed = 0;
    for (Index row = 0; row < prediction.rows; ++row) {
      for (Index col = 0; col < prediction.cols; ++col) {
        const auto i = static_cast<std::size_t>(row * prediction.cols + col);
        if (std::isnan(target[i])) continue;
        const double error =
            static_cast<double>(target[i]) - static_cast<double>(prediction.mean[i]);
        const double total = prediction.var[i] + noise.at(row, col);
        squared_error.add(error * error);
        var.add(prediction.var[i]);
        log_likelihood.add(-0.5 * std::log(2 * std::numbers::pi * total));
        log_likelihood.add(-0.5 * error * error / total);
        ++n_observed;
      }
    }
    return {{"sums", 1, {squared_error, var, log_likelihood, exactly(n_observed)}}};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : few_elementwise_shapes()) {
      for (NoiseShape shape : noise_shapes) {
        cases.push_back(std::make_unique<PredictionSumsOf>(rows, cols, shape, 0.2));
      }
      cases.push_back(std::make_unique<PredictionSumsOf>(rows, cols, NoiseShape::one, 1));
    }
    cases.push_back(std::make_unique<PredictionSumsOf>(2048, 5, NoiseShape::per_output, 0));
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<PredictionSumsOf>(2048, 2, NoiseShape::one, 0));
    return cases;
  }

 private:
  PredictionSumsOf(Index rows, Index cols, NoiseShape shape, double missing_share,
                   RandomInputs random)
      : prediction(random.gaussians(rows, cols)),
        target(random.targets(rows * cols, missing_share)),
        noise(shape, rows, cols, random) {}
};

}  // namespace tagix::conformance
