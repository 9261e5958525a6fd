#pragma once

#include <memory>

#include "core/layer.h"
#include "core/scalar_function.h"

namespace tagix {

/// A layer a = f(z), element by element, whose forward pass leaves the Jacobian in the trace.
class ElementwiseLayer : public Layer {
 public:
  void backward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                const Trace& trace, bool need_input_delta, Deltas& deltas,
                MomentsView innovation) const final;
  void forward_tangents(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                        Trace& trace, Tangents& tangents) const final;
  bool is_elementwise() const final { return true; }
  void output_covariance(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                         const Trace& trace, Index n_outputs, float* covariance) const final;

 private:
  /// Writes the slopes of the moments at the input.
  virtual void write_slopes(Backend& backend, ConstMomentsView input, SlopesView slopes) const = 0;
};

/// An elementwise activation of the table in math/activations.h.
class Activation : public ElementwiseLayer {
 public:
  /// Throws std::invalid_argument unless negative_slope is finite.
  explicit Activation(math::ActivationSpec spec);

  std::string name() const override;
  Config config() const override;
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override;
  bool append_steps(std::vector<Step>& steps) const override;
  void forward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
               Trace& trace) const override;

 private:
  void write_slopes(Backend& backend, ConstMomentsView input, SlopesView slopes) const override;

  math::ActivationSpec spec_;
};

/// An activation of the user's own: exact moments by quadrature, or first-order ones. Tangents
/// through first-order moments leave out how the variance follows the mean, which takes f''.
class FunctionActivation final : public ElementwiseLayer {
 public:
  FunctionActivation(std::shared_ptr<const ScalarFunction> function, math::MomentsForm form);

  const ScalarFunction& function() const { return *function_; }

  std::string name() const override { return "Activation"; }
  Config config() const override;
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override;
  bool append_steps(std::vector<Step>& steps) const override;
  void forward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
               Trace& trace) const override;

 private:
  void write_slopes(Backend& backend, ConstMomentsView input, SlopesView slopes) const override;

  std::shared_ptr<const ScalarFunction> function_;
  math::MomentsForm form_;
};

}  // namespace tagix
