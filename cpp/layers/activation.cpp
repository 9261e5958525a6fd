#include "layers/activation.h"

#include <charconv>
#include <cmath>
#include <string>
#include <utility>

#include "core/require.h"
#include "graph/builder.h"

namespace tagix {
namespace {

const char* form_name(math::MomentsForm form) {
  return form == math::MomentsForm::exact ? "exact" : "first_order";
}

}  // namespace

Activation::Activation(math::ActivationSpec spec) : spec_(spec) {
  require(std::isfinite(spec.negative_slope), "negative_slope: got ", spec.negative_slope,
          ", needed a finite number");
}

std::string Activation::name() const { return math::activation_name(spec_.kind); }

Config Activation::config() const {
  Config config;
  if (spec_.kind == math::ActivationKind::leaky_relu) {
    // The shortest decimal that is this float, so that 0.01 comes back as 0.01.
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof(digits), spec_.negative_slope).ptr;
    config.emplace_back("negative_slope", std::stod(std::string(digits, end)));
  }
  if (math::has_both_forms(spec_.kind)) {
    config.emplace_back("moments", std::string(form_name(spec_.form)));
  }
  return config;
}

graph::Value Activation::build(GraphBuilder& graph, std::span<const graph::Value> inputs) const {
  return graph.activate(graph.only(inputs), spec_);
}

FunctionActivation::FunctionActivation(std::shared_ptr<const ScalarFunction> function,
                                       math::MomentsForm form)
    : function_(std::move(function)), form_(form) {}

Config FunctionActivation::config() const { return {{"moments", std::string(form_name(form_))}}; }

graph::Value FunctionActivation::build(GraphBuilder& graph,
                                       std::span<const graph::Value> inputs) const {
  return graph.activate(graph.only(inputs), function_, form_);
}

}  // namespace tagix
