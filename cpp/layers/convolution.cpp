#include "layers/convolution.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "core/require.h"
#include "graph/builder.h"

namespace tagix {
namespace {

/// The weight and the bias, whose priors are those of sums of `fan_in` terms.
struct Parameters {
  Parameter weight;
  std::optional<Parameter> bias;
};

Parameters declare(GraphBuilder& graph, const ConvolutionSettings& settings, double fan_in,
                   std::vector<Index> weight_shape, std::vector<Index> memory_axes) {
  const double scale = 1 / std::sqrt(fan_in);
  ParameterSpec weight{"weight", std::move(weight_shape),
                       static_cast<float>(settings.gain_weight * scale)};
  weight.memory_axes = std::move(memory_axes);
  Parameters parameters{graph.parameter(std::move(weight)), std::nullopt};
  if (settings.bias) {
    parameters.bias = graph.parameter(
        {"bias", {settings.out_channels}, static_cast<float>(settings.gain_bias * scale)});
  }
  return parameters;
}

std::vector<Index> joined(std::initializer_list<Index> first, const Grid& rest) {
  std::vector<Index> shape = first;
  shape.insert(shape.end(), rest.begin(), rest.end());
  return shape;
}

/// What an input has to be: as many channels, on a grid of so many dimensions.
void require_input(const GraphBuilder& graph, const Shape& shape, Index channels,
                   std::size_t dimensions) {
  const bool fits = shape.grid.size() == dimensions && shape.channels == channels;
  require(fits, graph.path().empty() ? "" : text("layer ", graph.path(), ": "), "got ",
          to_text(shape), ", needed ", channels, " channel", channels == 1 ? "" : "s",
          " on a grid of ", dimensions, " dimension", dimensions == 1 ? "" : "s");
}

/// The arguments that all convolutions have.
void add_common(const ConvolutionSettings& settings, Config& config) {
  config.emplace_back("bias", settings.bias);
  config.emplace_back("gain_weight", settings.gain_weight);
  config.emplace_back("gain_bias", settings.gain_bias);
}

}  // namespace

void ConvolutionSettings::check() const {
  const auto at_least = [](const char* name, const Grid& extents, Index least) {
    for (const Index extent : extents) {
      require(extent >= least && extent <= 1 << 20, name, ": got ", extent, ", needed ", least,
              " to ", 1 << 20);
    }
  };
  constexpr Index most = Index{1} << 31;
  require(in_channels >= 1 && in_channels <= most, "in_channels: got ", in_channels,
          ", needed at least 1");
  require(out_channels >= 1 && out_channels <= most, "out_channels: got ", out_channels,
          ", needed at least 1");
  at_least("kernel_size", kernel_size, 1);
  at_least("stride", stride, 1);
  at_least("padding", padding, 0);
  at_least("dilation", dilation, 1);
  constexpr double most_weights = 1e12;
  const double weights = static_cast<double>(in_channels) * static_cast<double>(out_channels) *
                         static_cast<double>(kernel_positions());
  require(weights <= most_weights, "in_channels, out_channels, kernel_size: got ", weights,
          " weights, needed at most ", most_weights);
  // Variances must neither overflow nor vanish in float32.
  const auto usable = [](double gain) { return gain >= 1e-12 && gain <= 1e12; };
  require(usable(gain_weight), "gain_weight: got ", gain_weight,
          ", needed a number in [1e-12, 1e12]");
  require(usable(gain_bias), "gain_bias: got ", gain_bias, ", needed a number in [1e-12, 1e12]");
}

std::vector<WindowAxis> ConvolutionSettings::axes() const {
  std::vector<WindowAxis> axes;
  for (std::size_t d = 0; d < kernel_size.size(); ++d) {
    axes.push_back({kernel_size[d], stride[d], padding[d], padding[d], dilation[d]});
  }
  return axes;
}

template <int dimensions>
Convolution<dimensions>::Convolution(ConvolutionSettings settings, bool same)
    : settings_(std::move(settings)), same_(same) {
  settings_.check();
  const Grid& stride = settings_.stride;
  require(!same || std::all_of(stride.begin(), stride.end(), [](Index each) { return each == 1; }),
          "padding: got 'same' with a stride of ", to_text(stride), ", needed a stride of 1");
}

template <int dimensions>
Config Convolution<dimensions>::config() const {
  Config config{{"in_channels", settings_.in_channels},
                {"out_channels", settings_.out_channels},
                {"kernel_size", settings_.kernel_size},
                {"stride", settings_.stride},
                {"padding", same_ ? ConfigValue(std::string("same")) : settings_.padding},
                {"dilation", settings_.dilation}};
  add_common(settings_, config);
  return config;
}

template <int dimensions>
graph::Value Convolution<dimensions>::build(GraphBuilder& graph,
                                            std::span<const graph::Value> inputs) const {
  const graph::Value x = graph.only(inputs);
  const Shape& shape = graph.shape(x);
  require_input(graph, shape, settings_.in_channels, dimensions);
  std::vector<WindowAxis> axes = settings_.axes();
  for (WindowAxis& axis : axes) {
    if (!same_) continue;
    const Index padding = axis.dilation * (axis.kernel - 1);
    axis.padding_before = padding / 2;
    axis.padding_after = padding - padding / 2;
  }
  const Taps taps = window(shape.grid, axes);
  const double fan_in = static_cast<double>(settings_.in_channels) *
                        static_cast<double>(settings_.kernel_positions());
  std::vector<Index> axes_in_memory{0};
  for (Index d = 0; d < dimensions; ++d) axes_in_memory.push_back(2 + d);
  axes_in_memory.push_back(1);
  const auto [weight, bias] =
      declare(graph, settings_, fan_in,
              joined({settings_.out_channels, settings_.in_channels}, settings_.kernel_size),
              std::move(axes_in_memory));
  // A window of each position alone is the map without windows.
  const bool is_pointwise = taps->n_taps() == 1 && taps->grid() == shape.grid &&
                            taps->taps().size() == static_cast<std::size_t>(shape.positions());
  return graph.affine(x, weight, bias, is_pointwise ? nullptr : taps);
}

template class Convolution<1>;
template class Convolution<2>;

ConvTranspose2d::ConvTranspose2d(ConvolutionSettings settings, Grid output_padding)
    : settings_(std::move(settings)), output_padding_(std::move(output_padding)) {
  settings_.check();
  for (std::size_t d = 0; d < output_padding_.size(); ++d) {
    require(output_padding_[d] >= 0 && output_padding_[d] < settings_.stride[d],
            "output_padding: got ", output_padding_[d],
            ", needed at least 0 and less than the stride, ", settings_.stride[d]);
  }
}

Config ConvTranspose2d::config() const {
  Config config{{"in_channels", settings_.in_channels}, {"out_channels", settings_.out_channels},
                {"kernel_size", settings_.kernel_size}, {"stride", settings_.stride},
                {"padding", settings_.padding},         {"output_padding", output_padding_},
                {"dilation", settings_.dilation}};
  add_common(settings_, config);
  return config;
}

graph::Value ConvTranspose2d::build(GraphBuilder& graph,
                                    std::span<const graph::Value> inputs) const {
  const graph::Value x = graph.only(inputs);
  const Shape& shape = graph.shape(x);
  require_input(graph, shape, settings_.in_channels, settings_.kernel_size.size());
  const Taps taps = transposed_window(shape.grid, settings_.axes(), output_padding_);
  const double fan_in = static_cast<double>(settings_.in_channels) *
                        static_cast<double>(settings_.kernel_positions()) /
                        static_cast<double>(positions_of(settings_.stride));
  const auto [weight, bias] = declare(
      graph, settings_, std::max(fan_in, 1.0),
      joined({settings_.in_channels, settings_.out_channels}, settings_.kernel_size), {1, 2, 3, 0});
  return graph.affine(x, weight, bias, taps);
}

}  // namespace tagix
