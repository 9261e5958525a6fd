#include "core/function_moments.h"

#include <algorithm>
#include <vector>

#include "core/memory.h"

namespace tagix {
namespace {

/// Calls use(slice, offset, values, derivatives) with f and f' at the points of each slice of the
/// input, in the backend's memory.
template <class Use>
void for_each_slice(Backend& backend, const ScalarFunction& function, math::MomentsForm form,
                    ConstMomentsView input, const Use& use) {
  // The points of a whole batch would take n_points times its memory.
  constexpr Index max_slice = 16384;
  const Index n_points = activation_point_count(form);
  const Index max_values = n_points * std::min(max_slice, input.size());
  Buffer<float> points(backend, max_values), values(backend, max_values),
      derivatives(backend, max_values);
  std::vector<float> host_points(static_cast<std::size_t>(max_values)),
      host_values(host_points.size()), host_derivatives(host_points.size());

  for (Index start = 0; start < input.size(); start += max_slice) {
    const Index size = std::min(max_slice, input.size() - start);
    const Index count = n_points * size;
    const ConstMomentsView slice = input.slice(start, 1, size);
    backend.activation_points(form, slice, points.data());
    backend.download(points.data(), on_host(host_points), count);
    function.evaluate(host_points.data(), count, host_values.data(), host_derivatives.data());
    backend.upload(on_host(host_values), values.data(), count);
    backend.upload(on_host(host_derivatives), derivatives.data(), count);
    use(slice, start, values.data(), derivatives.data());
  }
}

}  // namespace

void function_forward(Backend& backend, const ScalarFunction& function, math::MomentsForm form,
                      ConstMomentsView input, MomentsView output, float* jacobian) {
  for_each_slice(
      backend, function, form, input,
      [&](ConstMomentsView slice, Index start, const float* values, const float* derivatives) {
        backend.activation_from_points(form, slice, values, derivatives,
                                       output.slice(start, 1, slice.cols), jacobian + start);
      });
}

void function_values(Backend& backend, const ScalarFunction& function, const float* input,
                     Index size, float* output) {
  // To first order the points are the values of the input.
  for_each_slice(backend, function, math::MomentsForm::first_order, {input, nullptr, 1, size},
                 [&](ConstMomentsView slice, Index start, const float* values, const float*) {
                   const Index count = slice.cols;
                   backend.copy_columns({values, nullptr, 1, count, count},
                                        {output + start, nullptr, 1, count, count});
                 });
}

void function_slopes(Backend& backend, const ScalarFunction& function, math::MomentsForm form,
                     ConstMomentsView input, bool residual, SlopesView slopes) {
  for_each_slice(
      backend, function, form, input,
      [&](ConstMomentsView slice, Index start, const float* values, const float* derivatives) {
        backend.activation_slopes_from_points(form, slice, values, derivatives, residual,
                                              slopes.from(start));
      });
}

}  // namespace tagix
