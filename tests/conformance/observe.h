#pragma once

#include <cmath>

#include "conformance/noise_variances.h"
#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"
#include "conformance/weights.h"

namespace tagix::conformance {

/// Innovations of the outputs, with S = var spread + noise_var, all times the weight of a row:
///
///   delta_mean = (target - mean) / S,   delta_var = -1 / S,   both 0 where the target is missing
///
/// and those of a noise head (math/inferred_noise.h), from the posterior of v^2 by AGVI, with e the
/// target's error, V = E v, T = 2 V^2 + 3 spread Var v, J = Cov(w, v) / Var w:
///
///   e ~ N(V r / (V + var), V - V^2 / (V + var)),  delta_mean = J (E e^2 - V) / T
///   delta_var = -J^2 (V / (V + var))^2 / T, or AGVI's J^2 (Var e^2 - T) / T^2
struct Observe final : Operation {
  HostGaussians prediction;
  float spread;
  std::vector<float> target;
  NoiseVariances noise;
  bool expects_information;
  std::vector<float> weight;  ///< of each row; empty: 1

  Observe(Index rows, Index cols, NoiseShape shape, float spread, bool expects_information = true,
          bool is_weighted = false)
      : Observe(rows, cols, shape, spread, expects_information, RandomInputs(rows + 61 * cols)) {
    if (is_weighted) weight = weights_of(rows);
  }

  std::string name() const override {
    return text("observe ", prediction.rows, " x ", prediction.cols, ", ", noise_name(noise.shape),
                expects_information ? "" : " of AGVI", ", spread ", spread,
                weight.empty() ? "" : ", with weights");
  }

  Cost cost() const override {
    const double size = static_cast<double>(target.size());
    return {6 * size, 4 * (5 * size + static_cast<double>(noise.values.size()))};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView z = arrays.input(prediction);
    const float* y = arrays.input(target);
    NoiseView noise_var = noise.view(arrays, expects_information);
    if (!weight.empty()) noise_var.weight = arrays.input(weight);
    const MomentsView delta = arrays.output(prediction.rows, prediction.cols);
    return
        [=, this, &backend = arrays.backend()] { backend.observe(z, y, noise_var, spread, delta); };
  }

  std::vector<Expected> expected() const override {
    // The quadrature of softplus in float32 gives relative variances to about 2e-5.
    const double of_weights = weight.empty() ? 0 : 1;  // one rounding more
    const double tolerance = of_weights + (noise.shape == NoiseShape::softplus_head ? 400
                                           : noise.has_head()                       ? 40
                                                                                    : 4);
    Expected mean{"delta_mean", tolerance, {}};
    Expected var{"delta_var", tolerance, {}};
    mean.values.assign(static_cast<std::size_t>(prediction.mean.size()), exactly(0));
    var.values = mean.values;
    const Index cols = noise.has_head() ? prediction.cols / 2 : prediction.cols;
    for (Index row = 0; row < prediction.rows; ++row) {
      for (Index col = 0; col < cols; ++col) {
        const auto at = static_cast<std::size_t>(row * prediction.cols + col);
        const double y = target[static_cast<std::size_t>(row * cols + col)];
        if (std::isnan(y)) continue;
        const double z = prediction.mean[at], z_var = prediction.var[at];
        const auto write = [&](double noise_var) {
          const double total = z_var * spread + noise_var;
          mean.values[at] = sum_of({y / total, -z / total});
          var.values[at] = sum_of({-1 / total});
        };
        if (!noise.has_head()) {
          write(noise.at(row, col));
          continue;
        }
        const NoiseTruth v = noise.truth(prediction, row, col);
        write(v.mean);
        const double share = v.mean / (v.mean + z_var);
        const double error = share * (y - z), error_var = v.mean * (1 - share);
        const double prior = v.mean * v.mean * (2 + 3 * v.relative_var * spread);
        const double jacobian = v.relative_jacobian * v.mean;
        const std::size_t head = at + static_cast<std::size_t>(cols);
        mean.values[head] = sum_of({jacobian * error * error / prior, jacobian * error_var / prior,
                                    -jacobian * v.mean / prior});
        // The square of a difference of rounded numbers.
        mean.values[head].magnitude += jacobian * share * share * (y * y + z * z) / prior;
        const double slope = jacobian * jacobian / prior;
        if (expects_information) {
          var.values[head] = sum_of({-slope * share * share});
        } else {
          var.values[head] = sum_of({slope * 2 * error_var * error_var / prior,
                                     slope * 4 * error_var * error * error / prior, -slope});
          var.values[head].magnitude +=
              slope * 4 * error_var * share * share * (y * y + z * z) / prior;
        }
      }
    }
    weigh(weight, prediction.cols, mean, var);
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, cols] : elementwise_shapes()) {
      for (NoiseShape shape : noise_shapes) {
        const float spread = rows % 2 == 0 ? 1.0f : 21.47f;
        cases.push_back(std::make_unique<Observe>(rows, cols, shape, spread));
        cases.push_back(std::make_unique<Observe>(rows, cols, shape, spread, true, true));
      }
      for (NoiseShape shape : {NoiseShape::exp_head, NoiseShape::softplus_head}) {
        cases.push_back(std::make_unique<Observe>(rows, cols, shape, 1.0f, false));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<Observe>(2048, 2, NoiseShape::one, 21.47f));
    cases.push_back(std::make_unique<Observe>(2048, 2, NoiseShape::per_output, 21.47f));
    cases.push_back(std::make_unique<Observe>(2048, 64, NoiseShape::per_target, 21.47f));
    cases.push_back(std::make_unique<Observe>(2048, 2, NoiseShape::exp_head, 21.47f));
    cases.push_back(std::make_unique<Observe>(2048, 2, NoiseShape::softplus_head, 21.47f));
    return cases;
  }

 private:
  Observe(Index rows, Index cols, NoiseShape shape, float spread, bool expects_information,
          RandomInputs random)
      : spread(spread),
        target(random.targets(rows * cols, 0.2)),
        noise(shape, rows, cols, random),
        expects_information(expects_information) {
    prediction = random.gaussians(rows, noise.prediction_cols(cols));
  }
};

}  // namespace tagix::conformance
