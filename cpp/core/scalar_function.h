#pragma once

#include <memory>

#include "core/index.h"
#include "math/activations.h"

namespace tagix {

/// A function that a user gives by its value and its derivative.
class ScalarFunction {
 public:
  virtual ~ScalarFunction() = default;
  /// Writes f(point) and f'(point) for `count` points; all arrays are on the host.
  virtual void evaluate(const float* points, Index count, float* values,
                        float* derivatives) const = 0;
};

/// A function of the user's own, with the form of its moments.
struct UserFunction {
  std::shared_ptr<const ScalarFunction> function;
  math::MomentsForm form;
};

}  // namespace tagix
