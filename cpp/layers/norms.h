#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/layer.h"
#include "core/require.h"
#include "graph/builder.h"

// Layers that bring sets of elements of each row to a mean of 0 and a second moment of 1, or only
// the latter. They have no parameters: the layer that follows has a scale and a bias of its own.

namespace tagix {

/// What passes down through a norm: whether the derivatives of its statistics count.
enum class NormStatistics { exact, constant };

inline std::string to_text(NormStatistics statistics) {
  return statistics == NormStatistics::exact ? "exact" : "constant";
}

inline void require_eps(double eps) {
  require(eps >= 0 && eps <= 1e12, "eps: got ", eps, ", needed a number in [0, 1e12]");
}

/// Groups of channels, at all positions of an image.
class GroupNorm final : public Layer {
 public:
  /// Throws std::invalid_argument unless num_groups divides num_channels and eps is in [0, 1e12].
  GroupNorm(Index num_groups, Index num_channels, double eps, NormStatistics statistics)
      : num_groups_(num_groups), num_channels_(num_channels), eps_(eps), statistics_(statistics) {
    require(num_groups >= 1, "num_groups: got ", num_groups, ", needed at least 1");
    require(num_channels >= 1 && num_channels % num_groups == 0, "num_channels: got ", num_channels,
            ", needed a multiple of num_groups, ", num_groups);
    require_eps(eps);
  }

  std::string name() const override { return "GroupNorm"; }
  std::optional<Index> input_features() const override { return num_channels_; }
  Config config() const override {
    return {{"num_groups", num_groups_},
            {"num_channels", num_channels_},
            {"eps", eps_},
            {"statistics", to_text(statistics_)}};
  }
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override {
    const graph::Value x = graph.only(inputs);
    const Index channels = graph.shape(x).channels;
    require(channels == num_channels_,
            graph.path().empty() ? "" : text("layer ", graph.path(), ": "), "got ",
            to_text(graph.shape(x)), ", needed ", num_channels_);
    return graph.normalise(x, num_groups_, /*per_position=*/false, /*centred=*/true,
                           statistics_ == NormStatistics::exact, static_cast<float>(eps_));
  }

 private:
  Index num_groups_;
  Index num_channels_;
  double eps_;
  NormStatistics statistics_;
};

/// All elements of a row, whose shape is given as a user sees it: {features}, or {channels, ...}.
template <bool centred>
class WholeNorm final : public Layer {
 public:
  /// Throws std::invalid_argument unless all extents are at least 1 and eps is in [0, 1e12].
  WholeNorm(std::vector<Index> normalized_shape, double eps, NormStatistics statistics)
      : normalized_shape_(std::move(normalized_shape)), eps_(eps), statistics_(statistics) {
    require(!normalized_shape_.empty(), "normalized_shape: got (), needed at least 1 extent");
    for (const Index extent : normalized_shape_) {
      require(extent >= 1, "normalized_shape: got an extent of ", extent, ", needed at least 1");
    }
    require_eps(eps);
  }

  std::string name() const override { return centred ? "LayerNorm" : "RMSNorm"; }
  std::optional<Index> input_features() const override {
    return normalized_shape_.size() == 1 ? std::optional(normalized_shape_[0]) : std::nullopt;
  }
  Config config() const override {
    return {{"normalized_shape", normalized_shape_},
            {"eps", eps_},
            {"statistics", to_text(statistics_)}};
  }
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override {
    const graph::Value x = graph.only(inputs);
    const Shape& shape = graph.shape(x);
    const Shape needed{{normalized_shape_.begin() + 1, normalized_shape_.end()},
                       normalized_shape_[0]};
    require(shape == needed, graph.path().empty() ? "" : text("layer ", graph.path(), ": "), "got ",
            to_text(shape), ", needed ", to_text(needed));
    return graph.normalise(x, /*groups=*/1, /*per_position=*/false, centred,
                           statistics_ == NormStatistics::exact, static_cast<float>(eps_));
  }

 private:
  std::vector<Index> normalized_shape_;
  double eps_;
  NormStatistics statistics_;
};

using LayerNorm = WholeNorm<true>;
using RMSNorm = WholeNorm<false>;

}  // namespace tagix
