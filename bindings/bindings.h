#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "core/host.h"
#include "core/require.h"

namespace tagix::python {

namespace py = pybind11;

/// A C-contiguous float32 array. The Python layer converts; here a wrong one is a TypeError.
using Array = py::array_t<float, py::array::c_style>;
using IndexArray = py::array_t<Index, py::array::c_style>;

/// Throws unless `array` is two-dimensional with the given number of columns (-1: any).
inline void require_matrix(const char* name, const py::array& array, Index cols = -1) {
  require(array.ndim() == 2, name, ": got an array of ", array.ndim(),
          " dimensions, needed 2 (rows, features)");
  require(cols < 0 || array.shape(1) == cols, name, ": got ", array.shape(1), " columns, needed ",
          cols);
}

/// Throws unless two arrays have the same number of rows.
inline void require_same_rows(const char* name, const py::array& array, const char* other_name,
                              const py::array& other) {
  require(array.shape(0) == other.shape(0), name, ": got ", array.shape(0), " rows, needed ",
          other.shape(0), " as in ", other_name);
}

/// The values of an array. It must live as long as they are read.
template <class T>
HostPointer<const T> values_of(const py::array_t<T, py::array::c_style>& array) {
  return HostPointer<const T>(array.data());
}
/// The values of a new array, to be written.
template <class T>
HostPointer<T> new_values_of(py::array_t<T, py::array::c_style>& array) {
  return HostPointer<T>(array.mutable_data());
}

inline Array empty(std::vector<py::ssize_t> shape) { return Array(std::move(shape)); }

/// Lets a Python class with a `config` (the constructor's keyword arguments) print, compare, hash
/// and pickle by it.
template <class Class>
void bind_as_value(Class& cls) {
  const auto repr = [](const py::object& self) {
    std::string arguments;
    for (const auto& [key, value] : py::dict(self.attr("config"))) {
      if (!arguments.empty()) arguments += ", ";
      arguments += std::string(py::str(key)) + "=" + std::string(py::repr(value));
    }
    return std::string(py::str(py::type::of(self).attr("__name__"))) + "(" + arguments + ")";
  };
  cls.def("__repr__", repr)
      .def("__eq__",
           [](const py::object& self, const py::object& other) {
             return py::type::of(self).is(py::type::of(other)) &&
                    self.attr("config").equal(other.attr("config"));
           })
      .def("__hash__", [repr](const py::object& self) { return py::hash(py::str(repr(self))); })
      .def("__reduce__", [](const py::object& self) {
        // functools.partial carries keyword arguments through pickle.
        const py::object partial = py::module_::import("functools").attr("partial");
        return py::make_tuple(partial(py::type::of(self), **self.attr("config")), py::tuple());
      });
}

void bind_cuda(py::module_& m);
void bind_layers(py::module_& m);
void bind_joining_layers(py::module_& m);
void bind_graph(py::module_& m);
void bind_noise(py::module_& m);
void bind_likelihood(py::module_& m);
void bind_model(py::module_& m);
void bind_diffusion(py::module_& m);
void bind_encoding(py::module_& m);
void bind_stream(py::module_& m);

}  // namespace tagix::python
