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

void ElementwiseLayer::backward(Backend& backend, ConstMomentsView, ConstMomentsView,
                                const Trace& trace, bool need_input_delta, Deltas& deltas,
                                MomentsView) const {
  if (need_input_delta) backend.scale_deltas(trace.jacobian.data(), deltas.current());
}

void ElementwiseLayer::forward_tangents(Backend& backend, ConstMomentsView, ConstMomentsView input,
                                        Trace& trace, Tangents& tangents) const {
  trace.slopes.resize(4 * input.size());
  const SlopesView slopes = SlopesView::planes(trace.slopes.data(), input.size());
  write_slopes(backend, input, slopes);
  backend.scale_tangents(slopes, input.size(), tangents.current());
}

void ElementwiseLayer::output_covariance(Backend& backend, ConstMomentsView, ConstMomentsView,
                                         const Trace& trace, Index n_outputs,
                                         float* covariance) const {
  backend.scale_covariance(trace.jacobian.data(), trace.result, n_outputs, covariance);
}

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

bool Activation::append_steps(std::vector<Step>& steps) const {
  steps.emplace_back(spec_);
  return true;
}

void Activation::forward(Backend& backend, ConstMomentsView, ConstMomentsView input,
                         Trace& trace) const {
  trace.output.resize(input.rows, input.cols);
  trace.jacobian.resize(input.size());
  backend.activation_forward(spec_, input, trace.output.view(), trace.jacobian.data());
  trace.result = trace.output.view();
}

void Activation::write_slopes(Backend& backend, ConstMomentsView input, SlopesView slopes) const {
  backend.activation_slopes(spec_, input, slopes);
}

FunctionActivation::FunctionActivation(std::shared_ptr<const ScalarFunction> function,
                                       math::MomentsForm form)
    : function_(std::move(function)), form_(form) {}

Config FunctionActivation::config() const { return {{"moments", std::string(form_name(form_))}}; }

graph::Value FunctionActivation::build(GraphBuilder& graph,
                                       std::span<const graph::Value> inputs) const {
  return graph.activate(graph.only(inputs), function_, form_);
}

bool FunctionActivation::append_steps(std::vector<Step>&) const { return false; }

void FunctionActivation::forward(Backend& backend, ConstMomentsView, ConstMomentsView input,
                                 Trace& trace) const {
  trace.output.resize(input.rows, input.cols);
  trace.jacobian.resize(input.size());
  function_forward(backend, *function_, form_, input, trace.output.view(), trace.jacobian.data());
  trace.result = trace.output.view();
}

void FunctionActivation::write_slopes(Backend& backend, ConstMomentsView input,
                                      SlopesView slopes) const {
  function_slopes(backend, *function_, form_, input, slopes);
}

}  // namespace tagix
