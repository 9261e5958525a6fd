#include "layers/activation.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/require.h"

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

bool FunctionActivation::append_steps(std::vector<Step>&) const { return false; }

template <class Use>
void FunctionActivation::for_each_slice(Backend& backend, ConstMomentsView input,
                                        const Use& use) const {
  // The points of a whole batch would take n_points times its memory.
  constexpr Index max_slice = 16384;
  const Index n_points = activation_point_count(form_);
  const Index max_values = n_points * std::min(max_slice, input.size());
  Buffer<float> points(backend, max_values), values(backend, max_values),
      derivatives(backend, max_values);
  std::vector<float> host_points(static_cast<std::size_t>(max_values)),
      host_values(host_points.size()), host_derivatives(host_points.size());

  for (Index start = 0; start < input.size(); start += max_slice) {
    const Index size = std::min(max_slice, input.size() - start);
    const Index count = n_points * size;
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(float);
    const ConstMomentsView slice = input.slice(start, 1, size);
    backend.activation_points(form_, slice, points.data());
    backend.download(points.data(), host_points.data(), bytes);
    function_->evaluate(host_points.data(), count, host_values.data(), host_derivatives.data());
    backend.upload(host_values.data(), values.data(), bytes);
    backend.upload(host_derivatives.data(), derivatives.data(), bytes);
    use(slice, start, values.data(), derivatives.data());
  }
}

void FunctionActivation::forward(Backend& backend, ConstMomentsView, ConstMomentsView input,
                                 Trace& trace) const {
  trace.output.resize(input.rows, input.cols);
  trace.jacobian.resize(input.size());
  for_each_slice(
      backend, input,
      [&](ConstMomentsView slice, Index start, const float* values, const float* derivatives) {
        backend.activation_from_points(form_, slice, values, derivatives,
                                       trace.output.view().slice(start, 1, slice.cols),
                                       trace.jacobian.data() + start);
      });
  trace.result = trace.output.view();
}

void FunctionActivation::write_slopes(Backend& backend, ConstMomentsView input,
                                      SlopesView slopes) const {
  for_each_slice(
      backend, input,
      [&](ConstMomentsView slice, Index start, const float* values, const float* derivatives) {
        backend.activation_slopes_from_points(form_, slice, values, derivatives,
                                              slopes.from(start));
      });
}

}  // namespace tagix
