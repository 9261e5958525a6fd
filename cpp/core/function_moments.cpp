#include "core/function_moments.h"

#include <algorithm>
#include <vector>

#include "core/memory.h"

namespace tagix {
namespace {

/// An array that a backend and the host use in turn.
class SharedArray {
 public:
  SharedArray(Backend& backend, Index size)
      : backend_(backend),
        host_(static_cast<std::size_t>(size)),
        copy_(backend),
        in_backend_(backend.in_place(on_host(host_))),
        is_in_place_(in_backend_ != nullptr) {
    if (is_in_place_) return;
    copy_.resize(size);
    in_backend_ = copy_.data();
  }

  float* in_backend() { return in_backend_; }
  float* host() { return host_.data(); }
  /// Makes `count` values that one of them has written those of the other.
  void download(Index count) {
    if (!is_in_place_) backend_.download(in_backend_, on_host(host_), count);
  }
  void upload(Index count) {
    if (!is_in_place_) backend_.upload(on_host(host_), in_backend_, count);
  }

 private:
  Backend& backend_;
  std::vector<float> host_;
  Buffer<float> copy_;
  float* in_backend_;
  bool is_in_place_;
};

/// Calls use(slice, offset, values, derivatives) with f and f' at the points of each slice of the
/// input, in the backend's memory.
template <class Use>
void for_each_slice(Backend& backend, const ScalarFunction& function, math::MomentsForm form,
                    ConstMomentsView input, const Use& use) {
  const Index n_points = activation_point_count(form);
  // The points of a whole batch would take n_points times its memory. On the host a slice of them
  // stays in cache, and so do the arrays that the function makes, for which many systems would map
  // new pages from 128 KB on. A device is asked less often.
  constexpr Index host_points = 16384, device_slice = 16384, whole_vectors = 64;
  const Index max_slice = backend.reads_host_memory()
                              ? host_points / n_points / whole_vectors * whole_vectors
                              : device_slice;
  const Index max_values = n_points * std::min(max_slice, input.size());
  SharedArray points(backend, max_values), values(backend, max_values),
      derivatives(backend, max_values);

  for (Index start = 0; start < input.size(); start += max_slice) {
    const Index size = std::min(max_slice, input.size() - start);
    const Index count = n_points * size;
    const ConstMomentsView slice = input.slice(start, 1, size);
    backend.activation_points(form, slice, points.in_backend());
    points.download(count);
    function.evaluate(points.host(), count, values.host(), derivatives.host());
    values.upload(count);
    derivatives.upload(count);
    use(slice, start, values.in_backend(), derivatives.in_backend());
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
