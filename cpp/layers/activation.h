#pragma once

#include <memory>

#include "core/layer.h"

namespace tagix {

/// A layer a = f(z), element by element, whose forward pass leaves the Jacobian in the trace.
class ElementwiseLayer : public Layer {
 public:
  void backward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                const Trace& trace, bool need_input_delta, Deltas& deltas,
                MomentsView innovation) const final;
};

/// An elementwise activation of the table in math/activations.h.
class Activation : public ElementwiseLayer {
 public:
  /// Throws std::invalid_argument unless negative_slope is finite.
  explicit Activation(math::ActivationSpec spec);

  std::string name() const override;
  Config config() const override;
  bool append_steps(std::vector<Step>& steps) const override;
  void forward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
               Trace& trace) const override;

 private:
  math::ActivationSpec spec_;
};

/// A function that a user gives by its value and its derivative.
class ScalarFunction {
 public:
  virtual ~ScalarFunction() = default;
  /// Writes f(point) and f'(point) for `count` points; all arrays are on the host.
  virtual void evaluate(const float* points, Index count, float* values,
                        float* derivatives) const = 0;
};

/// An activation of the user's own: exact moments by quadrature, or first-order ones.
class FunctionActivation final : public ElementwiseLayer {
 public:
  FunctionActivation(std::shared_ptr<const ScalarFunction> function, math::MomentsForm form);

  const ScalarFunction& function() const { return *function_; }

  std::string name() const override { return "Activation"; }
  Config config() const override;
  bool append_steps(std::vector<Step>& steps) const override;
  void forward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
               Trace& trace) const override;

 private:
  std::shared_ptr<const ScalarFunction> function_;
  math::MomentsForm form_;
};

}  // namespace tagix
