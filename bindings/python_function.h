#pragma once

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "arguments.h"
#include "arrays.h"
#include "core/require.h"
#include "core/scalar_function.h"
#include "kept.h"

namespace tagix::python {

/// A pair of Python functions over float32 arrays.
class PythonFunction final : public ScalarFunction {
 public:
  PythonFunction(py::object value, py::object derivative)
      : value_(std::move(value)), derivative_(std::move(derivative)) {
    require_callable("value", value_.get());
    require_callable("derivative", derivative_.get());
  }

  const py::object& value() const { return value_.get(); }
  const py::object& derivative() const { return derivative_.get(); }

  void evaluate(const float* points, Index count, float* values,
                float* derivatives) const override {
    const py::gil_scoped_acquire gil;
    call("value", value(), points, count, values);
    call("derivative", derivative(), points, count, derivatives);
  }

 private:
  static void require_callable(const char* name, const py::object& object) {
    if (!PyCallable_Check(object.ptr())) {
      throw_wrong_type(name, object, "a function of a float32 array");
    }
  }

  /// Each call gets a copy of the points of its own: a function may work in place, or keep its
  /// argument, and nothing else changes by it.
  static void call(const char* name, const py::object& function, const float* points, Index count,
                   float* out) {
    const auto result = py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(
        function(Array(count, points)));
    if (!result) {
      PyErr_Clear();
      throw py::type_error(text(name, ": the function returned something that is not an array of ",
                                "numbers, needed an array of the shape it was given"));
    }
    require(result.ndim() == 1 && result.shape(0) == count, name,
            ": the function returned an array of ", result.ndim(), " dimensions and ",
            result.size(), " values, needed the shape it was given, (", count, ",)");
    std::copy(result.data(), result.data() + count, out);
    if (all_finite(on_host(out), count)) return;
    for (Index i = 0; i < count; ++i) {
      // Points that have overflowed themselves are not the function's fault.
      if (std::isfinite(out[i]) || !std::isfinite(points[i])) continue;
      const float shown = std::isnan(out[i]) ? std::abs(out[i]) : out[i];  // a NaN has a sign, too
      throw std::invalid_argument(text(name, ": the function ", shown_name(function),
                                       " of nn.Activation returned ", shown, " at ", points[i],
                                       ", needed finite numbers"));
    }
  }

  static std::string shown_name(const py::object& function) {
    return py::str(py::getattr(function, "__name__", py::repr(function)));
  }

  Kept value_, derivative_;
};

}  // namespace tagix::python
