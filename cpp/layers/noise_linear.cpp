#include "layers/noise_linear.h"

#include <cmath>
#include <typeinfo>
#include <utility>

#include "core/require.h"
#include "graph/builder.h"

namespace tagix {

NoiseLinear::NoiseLinear(Linear values, LearnedNoise noise)
    : Linear(values.with_outputs(2 * values.out_features(),
                                 values.has_bias() || !noise.depends_on_input)),
      values_(std::move(values)),
      noise_(std::move(noise)) {
  const std::size_t n_stds = noise_.std.size();
  require(n_stds <= 1 || static_cast<Index>(n_stds) == values_.out_features(), "noise: got ",
          n_stds, " standard deviations, needed 1 or ", values_.out_features());
}

std::vector<ParameterSpec> NoiseLinear::parameters() const {
  const std::vector<ParameterSpec> values = values_.parameters();
  const ParameterSpec& weight = values[0];
  const Index out = values_.out_features();
  const auto gain = static_cast<float>(noise_.gain);
  const bool follows = noise_.depends_on_input;
  std::vector<ParameterSpec> specs{
      weight, {"noise_weight", weight.shape, follows ? gain * weight.prior_std : 0.0f}};
  if (!has_bias()) return specs;
  specs.push_back(values_.has_bias() ? values[1] : ParameterSpec{"bias", {out}, 0.0f});
  const auto size = static_cast<std::size_t>(out);
  if (follows) {
    specs.push_back(
        {"noise_bias", {out}, gain * values[1].prior_std, std::vector<float>(size, 0.0f)});
    return specs;
  }
  constexpr float prior_std = 1;
  std::vector<float> mean(size);
  for (std::size_t i = 0; i < size; ++i) {
    const double std = noise_.std[noise_.std.size() == 1 ? 0 : i];
    // E exp(w) = exp(mean + var / 2).
    mean[i] = static_cast<float>(2 * std::log(std)) - prior_std * prior_std / 2;
  }
  specs.push_back({"noise_bias", {out}, prior_std, std::move(mean), least_noise_bias_var});
  return specs;
}

graph::Value NoiseLinear::build(GraphBuilder& graph, std::span<const graph::Value> inputs) const {
  const std::vector<ParameterSpec> specs = parameters();
  const auto values_and_noise = [&](std::size_t first) {
    const Parameter of_values = graph.parameter(specs[first]);
    return graph.stacked(of_values, graph.parameter(specs[first + 1]));
  };
  const Parameter weight = values_and_noise(0);
  std::optional<Parameter> bias;
  if (has_bias()) bias = values_and_noise(2);
  return graph.affine(graph.only(inputs), weight, bias);
}

std::shared_ptr<const Layer> with_noise_head(const std::shared_ptr<const Layer>& network,
                                             const LearnedNoise& noise) {
  if (const auto container = std::dynamic_pointer_cast<const Sequential>(network)) {
    std::vector<std::shared_ptr<const Layer>> layers = container->layers();
    layers.back() = with_noise_head(layers.back(), noise);
    return std::make_shared<Sequential>(std::move(layers));
  }
  const auto linear = std::dynamic_pointer_cast<const Linear>(network);
  require(linear != nullptr && typeid(*linear) == typeid(Linear),
          "noise: got a network that ends in ", network->name(),
          ", needed nn.Linear as its last layer, to infer the noise beside its outputs");
  return std::make_shared<NoiseLinear>(*linear, noise);
}

}  // namespace tagix
