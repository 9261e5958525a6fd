#pragma once

#include <string>
#include <vector>

#include "core/layer.h"
#include "graph/taps.h"

namespace tagix {

/// What a convolution along each dimension of a grid is made of.
struct ConvolutionSettings {
  Index in_channels;
  Index out_channels;
  Grid kernel_size;
  Grid stride;
  Grid padding;  ///< on both sides
  Grid dilation;
  bool bias;
  double gain_weight;
  double gain_bias;

  /// Throws std::invalid_argument unless all counts are at least 1, paddings at least 0 and the
  /// gains in [1e-12, 1e12].
  void check() const;
  Index kernel_positions() const { return positions_of(kernel_size); }
  std::vector<WindowAxis> axes() const;
};

/// z[p] = sum_t W_t a[p stride + t dilation - padding] + b, t over the positions of a window: the
/// weight (out_channels, in_channels, *kernel_size) and the bias (out_channels). Before training
/// the means are drawn from N(0, s^2) and the variances are s^2, with s = gain / sqrt(in_channels *
/// positions of the kernel).
template <int dimensions>
class Convolution final : public Layer {
 public:
  /// With `same`, the padding is what a stride of 1 needs to keep the grid, the odd one at the end.
  /// Throws std::invalid_argument as ConvolutionSettings::check, and for `same` with another
  /// stride.
  Convolution(ConvolutionSettings settings, bool same);

  std::string name() const override { return dimensions == 1 ? "Conv1d" : "Conv2d"; }
  Config config() const override;
  bool keeps_features() const override { return false; }
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override;

 private:
  ConvolutionSettings settings_;
  bool same_;
};

/// What takes innovations back through a convolution, as a layer of its own:
///
///   z[q stride + t dilation - padding] += W_t a[q],   then + b
///
/// with the weight (in_channels, out_channels, *kernel_size). An output gets about in_channels *
/// positions of the kernel / strides terms, which take the place of in_channels * positions in the
/// prior.
class ConvTranspose2d final : public Layer {
 public:
  /// Throws std::invalid_argument as ConvolutionSettings::check, and unless output_padding is at
  /// least 0 and less than the stride.
  ConvTranspose2d(ConvolutionSettings settings, Grid output_padding);

  std::string name() const override { return "ConvTranspose2d"; }
  Config config() const override;
  bool keeps_features() const override { return false; }
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override;

 private:
  ConvolutionSettings settings_;
  Grid output_padding_;
};

}  // namespace tagix
