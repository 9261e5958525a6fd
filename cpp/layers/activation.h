#pragma once

#include <memory>

#include "core/layer.h"
#include "core/scalar_function.h"

namespace tagix {

/// An elementwise activation of the table in math/activations.h.
class Activation : public Layer {
 public:
  /// Throws std::invalid_argument unless negative_slope is finite.
  explicit Activation(math::ActivationSpec spec);

  std::string name() const override;
  Config config() const override;
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override;

 private:
  math::ActivationSpec spec_;
};

/// An activation of the user's own: exact moments by quadrature, or first-order ones. Adjoints
/// through first-order moments leave out how the variance follows the mean, which takes f''.
class FunctionActivation final : public Layer {
 public:
  FunctionActivation(std::shared_ptr<const ScalarFunction> function, math::MomentsForm form);

  const ScalarFunction& function() const { return *function_; }

  std::string name() const override { return "Activation"; }
  Config config() const override;
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override;

 private:
  std::shared_ptr<const ScalarFunction> function_;
  math::MomentsForm form_;
};

}  // namespace tagix
