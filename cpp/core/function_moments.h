#pragma once

#include "core/backend.h"
#include "core/moments.h"
#include "core/scalar_function.h"
#include "core/slopes.h"

namespace tagix {

/// Backend::activation_forward for a user's function: moments by quadrature, or first-order ones.
void function_forward(Backend& backend, const ScalarFunction& function, math::MomentsForm form,
                      ConstMomentsView input, MomentsView output, float* jacobian);

/// Backend::activation_values for a user's function.
void function_values(Backend& backend, const ScalarFunction& function, const float* input,
                     Index size, float* output);

/// Backend::activation_slopes for a user's function f, or for z + f(z). In the first-order form
/// they leave out how the variance follows the mean, which takes f''.
void function_slopes(Backend& backend, const ScalarFunction& function, math::MomentsForm form,
                     ConstMomentsView input, bool residual, SlopesView slopes);

}  // namespace tagix
