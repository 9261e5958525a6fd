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

Linear Linear::with_outputs(Index out_features, bool bias) const {
  return {in_features_, out_features, bias, init_, gain_weight_, gain_bias_};
}

Config Linear::config() const {
  return {{"in_features", in_features_},
          {"out_features", out_features_},
          {"bias", bias_},
          {"init", std::string(init_ == Init::he ? "he" : "xavier")},
          {"gain_weight", gain_weight_},
          {"gain_bias", gain_bias_}};
}

Index Linear::output_features(Index input_features) const {
  require(input_features == in_features_, name(), "(", in_features_, ", ", out_features_,
          "): got an input of ", input_features, " features, needed ", in_features_);
  return out_features_;
}

std::vector<ParameterSpec> Linear::parameters() const {
  const double fan_in = static_cast<double>(in_features_);
  const double fan_out = static_cast<double>(out_features_);
  const double scale =
      init_ == Init::he ? std::sqrt(1.0 / fan_in) : std::sqrt(2.0 / (fan_in + fan_out));
  std::vector<ParameterSpec> specs;
  specs.push_back(
      {"weight", {out_features_, in_features_}, static_cast<float>(gain_weight_ * scale)});
  if (bias_) specs.push_back({"bias", {out_features_}, static_cast<float>(gain_bias_ * scale)});
  return specs;
}

graph::Value Linear::build(GraphBuilder& graph, std::span<const graph::Value> inputs) const {
  const std::vector<ParameterSpec> specs = parameters();
  const Parameter weight = graph.parameter(specs[0]);
  std::optional<Parameter> bias;
  if (bias_) bias = graph.parameter(specs[1]);
  return graph.affine(graph.only(inputs), weight, bias);
}

bool Linear::append_steps(std::vector<Step>& steps) const {
  steps.emplace_back(AffineStep{in_features_, out_features_, bias_});
  return true;
}

void Linear::forward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                     Trace& trace) const {
  trace.output.resize(input.rows, out_features_);
  backend.affine_forward(input, weight(parameters), bias(parameters), trace.output.view());
  trace.result = trace.output.view();
}

void Linear::backward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                      const Trace&, bool need_input_delta, Deltas& deltas,
                      MomentsView innovation) const {
  backend.affine_innovation(input, deltas.current(), weight(innovation), bias(innovation));
  if (!need_input_delta) return;
  backend.affine_backward(deltas.current(), weight(parameters),
                          deltas.next(input.rows, in_features_));
  deltas.advance();
}

void Linear::forward_tangents(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                              Trace&, Tangents& tangents) const {
  const ConstMomentsView current = tangents.current();
  backend.affine_tangents(input, weight(parameters), current,
                          tangents.next(current.rows, out_features_));
  tangents.advance();
}

void Linear::output_covariance(Backend& backend, ConstMomentsView parameters,
                               ConstMomentsView input, const Trace& trace, Index n_outputs,
                               float* covariance) const {
  backend.affine_covariance(input, weight(parameters), trace.result.var, n_outputs, covariance);
}

}  // namespace tagix
