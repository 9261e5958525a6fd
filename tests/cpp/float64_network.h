#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numbers>
#include <vector>

#include "core/backend.h"

namespace tagix::test {

// A network of linear layers and activations in float64, by plain loops, that shares no code with
// the library: the truth for the tests of layers and models.

/// Independent Gaussians, row-major.
struct Gaussians {
  std::size_t rows = 0, cols = 0;
  std::vector<double> mean, var;

  Gaussians() = default;
  Gaussians(std::size_t rows, std::size_t cols)
      : rows(rows), cols(cols), mean(rows * cols), var(rows * cols) {}
};

struct ScalarMoments {
  double mean, var, jacobian;
};

/// (mean, var) of z -> moments of f(z).
using ActivationTruth = std::function<ScalarMoments(double, double)>;

inline ScalarMoments identity_truth(double mean, double var) { return {mean, var, 1}; }

/// max(z, 0) in closed form, without care for cancellation: good to 1e-11 within 4 sd of 0.
inline ScalarMoments relu_truth(double mean, double var) {
  if (var == 0) return {std::max(mean, 0.0), 0, mean > 0 ? 1.0 : 0.0};
  const double sd = std::sqrt(var), alpha = mean / sd;
  const double density = std::exp(-alpha * alpha / 2) / std::sqrt(2 * std::numbers::pi);
  const double probability = std::erfc(-alpha / std::sqrt(2.0)) / 2;
  const double first = mean * probability + sd * density;
  const double second = (mean * mean + var) * probability + mean * sd * density;
  return {first, second - first * first, probability};
}

/// Any f by Simpson's rule over 10 standard deviations either side, cut at `kinks` of f.
inline ActivationTruth simpson_truth(std::function<double(double)> f, std::vector<double> kinks) {
  return [f, kinks](double mean, double var) -> ScalarMoments {
    const double sd = std::sqrt(var);
    std::vector<double> cuts{-10, 10};
    for (double kink : kinks) cuts.push_back(std::clamp((kink - mean) / sd, -10.0, 10.0));
    std::sort(cuts.begin(), cuts.end());
    // Var about f(mean), so that nothing cancels.
    const double pivot = f(mean);
    double first = 0, second = 0, with_z = 0;
    for (std::size_t c = 0; c + 1 < cuts.size(); ++c) {
      constexpr int n = 2000;
      const double step = (cuts[c + 1] - cuts[c]) / n;
      for (int i = 0; i <= n; ++i) {
        const double x = cuts[c] + step * i;
        const double weight = (i == 0 || i == n ? 1
                               : i % 2 == 1     ? 4
                                                : 2) *
                              step / 3 * std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
        const double deviation = f(mean + sd * x) - pivot;
        first += weight * deviation;
        second += weight * deviation * deviation;
        with_z += weight * deviation * x;
      }
    }
    return {pivot + first, second - first * first, with_z / sd};  // Cov(z, f) / var
  };
}

/// One linear layer and the activation that follows it.
struct Float64Layer {
  Gaussians weight, bias;  // out x in, 1 x out; a bias of 0 columns is none
  ActivationTruth activation = identity_truth;
};

struct Float64Network {
  std::vector<Float64Layer> layers;

  /// What a forward pass leaves behind: the input of each layer and the Jacobian after it.
  struct Pass {
    std::vector<Gaussians> inputs;
    std::vector<std::vector<double>> jacobians;
    Gaussians output;
  };

  Pass forward(Gaussians a) const {
    Pass pass;
    for (const Float64Layer& layer : layers) {
      pass.inputs.push_back(a);
      Gaussians out(a.rows, layer.weight.rows);
      std::vector<double> jacobian(out.mean.size());
      for (std::size_t b = 0; b < a.rows; ++b) {
        for (std::size_t o = 0; o < out.cols; ++o) {
          double mean = layer.bias.cols > 0 ? layer.bias.mean[o] : 0;
          double var = layer.bias.cols > 0 ? layer.bias.var[o] : 0;
          for (std::size_t i = 0; i < a.cols; ++i) {
            const double wm = layer.weight.mean[o * a.cols + i];
            const double wv = layer.weight.var[o * a.cols + i];
            const double am = a.mean[b * a.cols + i], av = a.var[b * a.cols + i];
            mean += wm * am;
            var += wm * wm * av + wv * (am * am + av);
          }
          const ScalarMoments moments = layer.activation(mean, var);
          out.mean[b * out.cols + o] = moments.mean;
          out.var[b * out.cols + o] = moments.var;
          jacobian[b * out.cols + o] = moments.jacobian;
        }
      }
      pass.jacobians.push_back(jacobian);
      a = out;
    }
    pass.output = a;
    return pass;
  }

  /// Innovations of all layers (in `weight` and `bias` of each) from those of the output, which
  /// become those of the input.
  std::vector<Float64Layer> backward(const Pass& pass, Gaussians& delta) const {
    std::vector<Float64Layer> innovations(layers.size());
    for (std::size_t l = layers.size(); l-- > 0;) {
      const Gaussians& a = pass.inputs[l];
      for (std::size_t k = 0; k < delta.mean.size(); ++k) {
        const double jacobian = pass.jacobians[l][k];
        delta.mean[k] *= jacobian;
        delta.var[k] *= jacobian * jacobian;
      }
      Float64Layer& innovation = innovations[l];
      innovation.weight = Gaussians(delta.cols, a.cols);
      innovation.bias = Gaussians(1, layers[l].bias.cols);
      Gaussians below(a.rows, a.cols);
      for (std::size_t b = 0; b < a.rows; ++b) {
        for (std::size_t o = 0; o < delta.cols; ++o) {
          const double dm = delta.mean[b * delta.cols + o], dv = delta.var[b * delta.cols + o];
          for (std::size_t i = 0; i < a.cols; ++i) {
            const double am = a.mean[b * a.cols + i];
            const double wm = layers[l].weight.mean[o * a.cols + i];
            innovation.weight.mean[o * a.cols + i] += dm * am;
            innovation.weight.var[o * a.cols + i] += dv * am * am;
            below.mean[b * a.cols + i] += dm * wm;
            below.var[b * a.cols + i] += dv * wm * wm;
          }
          if (innovation.bias.cols > 0) {
            innovation.bias.mean[o] += dm;
            innovation.bias.var[o] += dv;
          }
        }
      }
      delta = below;
    }
    return innovations;
  }

  /// Observes targets (NaN = missing) and changes the parameters. Returns the prediction before.
  Gaussians update(const Gaussians& input, const std::vector<double>& target,
                   const std::vector<double>& noise_var, const UpdateRule& rule) {
    const Pass pass = forward(input);
    const double batch = static_cast<double>(input.rows);
    const bool information = rule.kind == UpdateRule::Kind::information;
    const double spread = information ? 1 + rule.share * (batch - 1) : 1;
    const double cap = rule.cap > 0 ? rule.cap : batch == 1 ? 0.1 : batch < 256 ? 2 : 3;
    Gaussians delta(pass.output.rows, pass.output.cols);
    for (std::size_t k = 0; k < delta.mean.size(); ++k) {
      if (std::isnan(target[k])) continue;
      const double total = pass.output.var[k] * spread + noise_var[k];
      delta.mean[k] = (target[k] - pass.output.mean[k]) / total;
      delta.var[k] = -1 / total;
    }
    const std::vector<Float64Layer> innovations = backward(pass, delta);
    const auto change = [&](Gaussians& theta, const Gaussians& innovation) {
      for (std::size_t k = 0; k < theta.mean.size(); ++k) {
        double &mean = theta.mean[k], &var = theta.var[k];
        const double gain = innovation.mean[k], precision = -innovation.var[k];
        const double sd = std::sqrt(var);
        if (information) {
          const double posterior = var / (1 + var * precision);
          mean += std::clamp(posterior * gain, -rule.clip * sd, rule.clip * sd);
          var = posterior;
        } else {
          mean += std::clamp(var * gain, -sd / cap, sd / cap);
          var -= std::clamp(var * var * precision, -sd / cap, sd / cap);
          if (var <= 0) var = 1e-5;
        }
      }
    };
    for (std::size_t l = 0; l < layers.size(); ++l) {
      change(layers[l].weight, innovations[l].weight);
      change(layers[l].bias, innovations[l].bias);
    }
    return pass.output;
  }
};

}  // namespace tagix::test
