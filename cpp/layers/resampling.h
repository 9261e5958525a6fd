#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/layer.h"
#include "core/require.h"
#include "graph/builder.h"
#include "graph/taps.h"

// Layers that pool positions of images or sum over them with known weights, channel by channel. In
// sums, positions count as independent.

namespace tagix {

/// Throws std::invalid_argument, with the layer's path, unless a value lies on a grid of height and
/// width.
inline void require_image(const GraphBuilder& graph, const Shape& shape) {
  require(shape.grid.size() == 2, graph.path().empty() ? "" : text("layer ", graph.path(), ": "),
          "got ", to_text(shape), ", needed channels on a grid of 2 dimensions");
}

/// The windows of pooling.
struct PoolingWindows {
  Grid kernel_size;
  Grid stride;
  Grid padding;

  void check() const {
    for (std::size_t d = 0; d < kernel_size.size(); ++d) {
      require(kernel_size[d] >= 1, "kernel_size: got ", kernel_size[d], ", needed at least 1");
      require(stride[d] >= 1, "stride: got ", stride[d], ", needed at least 1");
      require(padding[d] >= 0 && padding[d] <= kernel_size[d] / 2, "padding: got ", padding[d],
              ", needed 0 to half of the kernel, ", kernel_size[d] / 2);
    }
  }
  Config config() const {
    return {{"kernel_size", kernel_size}, {"stride", stride}, {"padding", padding}};
  }
  std::vector<WindowAxis> axes() const {
    std::vector<WindowAxis> axes;
    for (std::size_t d = 0; d < kernel_size.size(); ++d) {
      axes.push_back({kernel_size[d], stride[d], padding[d], padding[d]});
    }
    return axes;
  }
};

/// What such layers share: a table for the grid of their input.
class Resampling : public Layer {
 public:
  bool keeps_features() const override { return false; }
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override {
    const graph::Value x = graph.only(inputs);
    const Shape& shape = graph.shape(x);
    require_image(graph, shape);
    return graph.mix(x, taps_on(shape.grid));
  }

 private:
  virtual Taps taps_on(const Grid& grid) const = 0;
};

/// Means over windows, in which padded positions count as 0.
class AvgPool2d final : public Resampling {
 public:
  /// Throws std::invalid_argument unless kernel and stride are at least 1 and the padding at least
  /// 0 and at most half of the kernel.
  AvgPool2d(Grid kernel_size, Grid stride, Grid padding)
      : windows_{std::move(kernel_size), std::move(stride), std::move(padding)} {
    windows_.check();
  }

  std::string name() const override { return "AvgPool2d"; }
  Config config() const override { return windows_.config(); }

 private:
  Taps taps_on(const Grid& grid) const override {
    const float weight = 1 / static_cast<float>(positions_of(windows_.kernel_size));
    return window(grid, windows_.axes(), weight);
  }

  PoolingWindows windows_;
};

/// The position with the largest mean in each window; padded positions are left out.
class MaxPool2d final : public Layer {
 public:
  /// Throws std::invalid_argument unless kernel and stride are at least 1 and the padding at least
  /// 0 and at most half of the kernel.
  MaxPool2d(Grid kernel_size, Grid stride, Grid padding)
      : windows_{std::move(kernel_size), std::move(stride), std::move(padding)} {
    windows_.check();
  }

  std::string name() const override { return "MaxPool2d"; }
  Config config() const override { return windows_.config(); }
  bool keeps_features() const override { return false; }
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override {
    const graph::Value x = graph.only(inputs);
    require_image(graph, graph.shape(x));
    return graph.largest(x, window(graph.shape(x).grid, windows_.axes()));
  }

 private:
  PoolingWindows windows_;
};

/// The mean over all positions, as a grid of one.
class AdaptiveAvgPool2d final : public Resampling {
 public:
  /// Throws std::invalid_argument unless output_size is 1.
  explicit AdaptiveAvgPool2d(Index output_size) {
    require(output_size == 1, "output_size: got ", output_size, ", needed 1");
  }
  std::string name() const override { return "AdaptiveAvgPool2d"; }
  Config config() const override { return {{"output_size", Index{1}}}; }

 private:
  Taps taps_on(const Grid& grid) const override {
    const std::vector<WindowAxis> axes{{grid[0]}, {grid[1]}};
    return window(grid, axes, 1 / static_cast<float>(positions_of(grid)));
  }
};

/// A grid that is `scale_factor` times as large, by the nearest positions or linearly between them.
class Upsample final : public Resampling {
 public:
  enum class Mode { nearest, bilinear };

  /// Throws std::invalid_argument unless scale_factor is at least 1.
  Upsample(Index scale_factor, Mode mode) : scale_factor_(scale_factor), mode_(mode) {
    require(scale_factor >= 1 && scale_factor <= 1024, "scale_factor: got ", scale_factor,
            ", needed 1 to 1024");
  }
  std::string name() const override { return "Upsample"; }
  Config config() const override {
    return {{"scale_factor", scale_factor_},
            {"mode", std::string(mode_ == Mode::nearest ? "nearest" : "bilinear")}};
  }

 private:
  Taps taps_on(const Grid& grid) const override {
    return mode_ == Mode::nearest ? nearest(grid, scale_factor_)
                                  : linear_interpolation(grid, scale_factor_);
  }

  Index scale_factor_;
  Mode mode_;
};

/// Positions around the grid that are 0, known exactly.
class ZeroPad2d final : public Resampling {
 public:
  /// As many at the left, the right, the top and the bottom. Throws std::invalid_argument for
  /// negative numbers.
  explicit ZeroPad2d(Grid padding) : padding_(std::move(padding)) {
    for (const Index each : padding_) {
      require(each >= 0 && each <= 1 << 20, "padding: got ", each, ", needed at least 0");
    }
  }
  std::string name() const override { return "ZeroPad2d"; }
  Config config() const override { return {{"padding", padding_}}; }

 private:
  Taps taps_on(const Grid& grid) const override {
    const std::vector<WindowAxis> axes{{1, 1, padding_[2], padding_[3]},
                                       {1, 1, padding_[0], padding_[1]}};
    return window(grid, axes);
  }

  Grid padding_;
};

}  // namespace tagix
