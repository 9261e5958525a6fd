#include "layers/linear.h"

#include <cmath>

#include "core/require.h"
#include "graph/builder.h"

namespace tagix {

Linear::Linear(Index in_features, Index out_features, bool bias, Init init, double gain_weight,
               double gain_bias)
    : in_features_(in_features),
      out_features_(out_features),
      bias_(bias),
      init_(init),
      gain_weight_(gain_weight),
      gain_bias_(gain_bias) {
  require(in_features >= 1, "in_features: got ", in_features, ", needed at least 1");
  require(out_features >= 1, "out_features: got ", out_features, ", needed at least 1");
  constexpr Index max_features = Index{1} << 31, max_weights = Index{1} << 40;
  require(in_features <= max_features && out_features <= max_features &&
              in_features * out_features <= max_weights,
          "in_features, out_features: got ", in_features, " and ", out_features,
          ", needed at most ", max_weights, " weights");
  // Variances must neither overflow nor vanish in float32.
  const auto usable = [](double gain) { return gain >= 1e-12 && gain <= 1e12; };
  require(usable(gain_weight), "gain_weight: got ", gain_weight,
          ", needed a number in [1e-12, 1e12]");
  require(usable(gain_bias), "gain_bias: got ", gain_bias, ", needed a number in [1e-12, 1e12]");
}

Config Linear::config() const {
  return {{"in_features", in_features_},
          {"out_features", out_features_},
          {"bias", bias_},
          {"init", std::string(init_ == Init::he ? "he" : "xavier")},
          {"gain_weight", gain_weight_},
          {"gain_bias", gain_bias_}};
}

graph::Value Linear::build(GraphBuilder& graph, std::span<const graph::Value> inputs) const {
  const auto fan_in = static_cast<double>(in_features_);
  const auto fan_out = static_cast<double>(out_features_);
  const double scale =
      init_ == Init::he ? std::sqrt(1.0 / fan_in) : std::sqrt(2.0 / (fan_in + fan_out));
  const Parameter weight = graph.parameter(
      {"weight", {out_features_, in_features_}, static_cast<float>(gain_weight_ * scale)});
  std::optional<Parameter> bias;
  if (bias_) {
    bias = graph.parameter({"bias", {out_features_}, static_cast<float>(gain_bias_ * scale)});
  }
  return graph.affine(graph.only(inputs), weight, bias);
}

}  // namespace tagix
