#pragma once

#include <string>

#include "bindings.h"

namespace tagix::python {

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

}  // namespace tagix::python
