#include "core/layer.h"

#include <stdexcept>
#include <utility>

#include "core/require.h"

namespace tagix {
namespace {

[[noreturn]] void refuse(const Layer& layer) {
  throw std::logic_error(text(layer.name(), " runs as a part of a graph alone"));
}

}  // namespace

Index Layer::parameter_count() const {
  Index count = 0;
  for (const ParameterSpec& parameter : parameters()) count += parameter.size();
  return count;
}

void append_parameters(const std::string& child, const Layer& layer,
                       std::vector<ParameterSpec>& specs) {
  for (ParameterSpec spec : layer.parameters()) {
    spec.name = text(child, ".", spec.name);
    specs.push_back(std::move(spec));
  }
}

void Layer::forward(Backend&, ConstMomentsView, ConstMomentsView, Trace&) const { refuse(*this); }

void Layer::backward(Backend&, ConstMomentsView, ConstMomentsView, const Trace&, bool, Deltas&,
                     MomentsView) const {
  refuse(*this);
}

void Layer::forward_tangents(Backend&, ConstMomentsView, ConstMomentsView, Trace&,
                             Tangents&) const {
  refuse(*this);
}

void Layer::output_covariance(Backend&, ConstMomentsView, ConstMomentsView, const Trace&, Index,
                              float*) const {
  refuse(*this);
}

}  // namespace tagix
