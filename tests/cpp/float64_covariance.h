#pragma once

#include <vector>

#include "float64_network.h"

namespace tagix::test {

/// Gaussians of some rows.
inline Gaussians rows_of(const Gaussians& all, const std::vector<std::size_t>& rows) {
  Gaussians some(rows.size(), all.cols);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t k = 0; k < all.cols; ++k) {
      some.mean[i * all.cols + k] = all.mean[rows[i] * all.cols + k];
      some.var[i * all.cols + k] = all.var[rows[i] * all.cols + k];
    }
  }
  return some;
}

/// The covariance of the outputs of a network, rows x outputs x outputs: every noise that comes in
/// on the way up, times the derivatives of the outputs' means along it. What comes in are the
/// variances of the input, at an affine map W_var (a_mean^2 + a_var) + b_var, and at an activation
/// what its variance exceeds J^2 z_var by. The derivatives are central differences of all that lies
/// above.
class Float64Covariance {
 public:
  Float64Covariance(const Float64Network& network, const Gaussians& input)
      : rows_(input.rows), outputs_(network.layers.back().weight.rows) {
    covariance_.resize(rows_ * outputs_ * outputs_);
    Gaussians a = input;
    add(a, a.var, network);
    for (std::size_t layer = 0; layer < network.layers.size(); ++layer) {
      const Float64Layer& own = network.layers[layer];
      Float64Network above{
          {network.layers.begin() + static_cast<std::ptrdiff_t>(layer) + 1, network.layers.end()}};
      const Gaussians z = Float64Network{{{own.weight, own.bias}}}.forward(a).output;
      // The activation and all above it, as an affine map of weight 1 before them.
      Float64Layer activation{unit_weight(z.cols), Gaussians(1, 0), own.activation};
      Float64Network from_z = above;
      from_z.layers.insert(from_z.layers.begin(), activation);
      add(z, spread(own, a), from_z);
      const Float64Network::Pass pass = Float64Network{{activation}}.forward(z);
      a = pass.output;
      std::vector<double> excess(a.var);
      for (std::size_t i = 0; i < excess.size(); ++i) {
        excess[i] -= pass.jacobians[0][i] * pass.jacobians[0][i] * z.var[i];
      }
      add(a, excess, above);
    }
  }

  const std::vector<double>& values() const { return covariance_; }

 private:
  static Gaussians unit_weight(std::size_t size) {
    Gaussians weight(size, size);
    for (std::size_t i = 0; i < size; ++i) weight.mean[i * (size + 1)] = 1;
    return weight;
  }

  static std::vector<double> spread(const Float64Layer& layer, const Gaussians& a) {
    std::vector<double> spread;
    for (std::size_t row = 0; row < a.rows; ++row) {
      for (std::size_t o = 0; o < layer.weight.rows; ++o) {
        double sum = layer.bias.cols > 0 ? layer.bias.var[o] : 0;
        for (std::size_t i = 0; i < a.cols; ++i) {
          const double mean = a.mean[row * a.cols + i], var = a.var[row * a.cols + i];
          sum += layer.weight.var[o * a.cols + i] * (mean * mean + var);
        }
        spread.push_back(sum);
      }
    }
    return spread;
  }

  /// Adds independent noise in the elements of a value from which `above` leads to the outputs.
  void add(const Gaussians& value, const std::vector<double>& noise, const Float64Network& above) {
    constexpr double h = 1e-5;
    for (std::size_t k = 0; k < value.cols; ++k) {
      const auto moved = [&](double by) {
        Gaussians shifted = value;
        for (std::size_t row = 0; row < rows_; ++row) shifted.mean[row * value.cols + k] += by;
        return above.layers.empty() ? shifted.mean : above.forward(shifted).output.mean;
      };
      const std::vector<double> right = moved(h), left = moved(-h);
      const auto slope = [&](std::size_t at) { return (right[at] - left[at]) / (2 * h); };
      for (std::size_t row = 0; row < rows_; ++row) {
        for (std::size_t i = 0; i < outputs_; ++i) {
          for (std::size_t j = 0; j < outputs_; ++j) {
            covariance_[(row * outputs_ + i) * outputs_ + j] +=
                slope(row * outputs_ + i) * slope(row * outputs_ + j) * noise[row * value.cols + k];
          }
        }
      }
    }
  }

  std::size_t rows_;
  std::size_t outputs_;
  std::vector<double> covariance_;
};

}  // namespace tagix::test
