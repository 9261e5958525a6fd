#include "constructors.h"

#include <exception>
#include <string>

#include "core/require.h"

namespace tagix::python {
namespace {

/// The arguments of a constructor as its signature in the docstring has them, without types:
/// "in_features, out_features, bias=True, *, init='he'".
std::string parameters_of(py::handle constructor) {
  const std::string first_line =
      py::str(constructor.attr("__doc__").attr("splitlines")()[py::int_(0)]);
  const py::module_ re = py::module_::import("re");
  py::object list = re.attr("sub")("^[^(]*\\(self(: [^,)]*)?(, )?|\\) -> None$", "", first_line);
  list = re.attr("sub")(": [^,=]*?(?= = |,|$)", "", list);
  return py::str(list.attr("replace")(" = ", "="));
}

/// Arguments as a call shows them: "2, bias=False".
std::string joined(const py::args& args, const py::kwargs& kwargs) {
  std::string list;
  const auto append = [&list](const std::string& item) {
    list += list.empty() ? item : ", " + item;
  };
  for (const py::handle value : args) append(std::string(py::repr(value)));
  for (const auto& [key, value] : kwargs) {
    append(std::string(py::str(key)) + "=" + std::string(py::repr(value)));
  }
  return list;
}

}  // namespace

int call_constructor(PyObject* self, PyObject* args, PyObject* kwargs) {
  try {
    const py::object constructor = py::handle(self).attr("__init__");
    const auto positional = py::reinterpret_borrow<py::args>(args);
    const auto named =
        kwargs == nullptr ? py::kwargs() : py::reinterpret_borrow<py::kwargs>(kwargs);
    // pybind11's dispatcher does not survive a name that is not Unicode.
    for (const auto& [key, value] : named) {
      Py_ssize_t size = 0;
      if (PyUnicode_AsUTF8AndSize(key.ptr(), &size) == nullptr) throw py::error_already_set();
    }
    try {
      constructor(*positional, **named);
      return 0;
    } catch (py::error_already_set& error) {
      const bool refused =
          error.matches(PyExc_TypeError) &&
          std::string(py::str(error.value())).find("incompatible constructor arguments") !=
              std::string::npos;
      if (!refused) throw;
      const std::string type = py::str(py::type::of(self).attr("__name__"));
      PyErr_SetString(PyExc_TypeError, text(type, ": got (", joined(positional, named),
                                            "), needed (", parameters_of(constructor), ")")
                                           .c_str());
    }
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return -1;
}

}  // namespace tagix::python
