#pragma once

#include "conformance/noise_variances.h"
#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// The values of a prediction, the noise variances of their targets, and the sums of both
/// variances.
struct SplitPrediction final : Operation {
  HostGaussians prediction;
  NoiseVariances noise;
  Index cols;

  SplitPrediction(Index rows, Index cols, NoiseShape shape)
      : SplitPrediction(rows, cols, shape, RandomInputs(rows + 67 * cols)) {}

  std::string name() const override {
    return text("split_prediction ", prediction.rows, " x ", prediction.cols, ", ",
                noise_name(noise.shape));
  }

  Cost cost() const override {
    return {0, 4.0 * static_cast<double>(2 * prediction.mean.size() + 4 * size())};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView z = arrays.input(prediction);
    const NoiseView view = noise.view(arrays);
    const MomentsView values = arrays.output(prediction.rows, cols);
    float* noise_var = arrays.output(size());
    float* total_var = arrays.output(size());
    return [=, &backend = arrays.backend()] {
      backend.split_prediction(z, view, values, noise_var, total_var);
    };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 0, {}}, var{"var", 0, {}}, noise_var{"noise_var", 20, {}},
        total_var{"total_var", 20, {}};
    for (Index row = 0; row < prediction.rows; ++row) {
      for (Index col = 0; col < cols; ++col) {
        const auto i = static_cast<std::size_t>(row * prediction.cols + col);
        const double of_noise = noise.at(prediction, row, col);
        mean.values.push_back(exactly(prediction.mean[i]));
        var.values.push_back(exactly(prediction.var[i]));
        noise_var.values.push_back(sum_of({of_noise}));
        total_var.values.push_back(sum_of({prediction.var[i], of_noise}));
      }
    }
    return {mean, var, noise_var, total_var};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : few_elementwise_shapes()) {
      for (NoiseShape shape : noise_shapes) {
        cases.push_back(std::make_unique<SplitPrediction>(rows, cols, shape));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<SplitPrediction>(2048, 2, NoiseShape::exp_head));
    return cases;
  }

 private:
  SplitPrediction(Index rows, Index cols, NoiseShape shape, RandomInputs random)
      : noise(shape, rows, cols, random), cols(cols) {
    prediction = random.gaussians(rows, noise.prediction_cols(cols));
  }

  Index size() const { return prediction.rows * cols; }
};

}  // namespace tagix::conformance
