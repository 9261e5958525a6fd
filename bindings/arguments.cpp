#include "arguments.h"

#include <stdexcept>

#include "core/cuda.h"

namespace tagix::python {
namespace {

std::string shown(py::handle value) { return py::repr(value); }

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

std::string joined(const py::args& args, const py::kwargs& kwargs) {
  std::string list;
  const auto append = [&list](const std::string& item) {
    list += list.empty() ? item : ", " + item;
  };
  for (const py::handle value : args) append(shown(value));
  for (const auto& [key, value] : kwargs) append(std::string(py::str(key)) + "=" + shown(value));
  return list;
}

}  // namespace

void throw_wrong_type(const char* name, py::handle value, const std::string& needed) {
  throw py::type_error(text(name, ": got ", shown(value), ", needed ", needed));
}

void convert_argument(const char* name, py::handle value, bool& result) {
  const bool is_bool = PyBool_Check(value.ptr()) || [&] {
    const std::string type = py::str(py::type::of(value).attr("__name__"));
    return std::string(py::str(py::type::of(value).attr("__module__"))) == "numpy" &&
           (type == "bool" || type == "bool_");
  }();
  if (!is_bool) throw_wrong_type(name, value, "True or False");
  result = PyObject_IsTrue(value.ptr()) == 1;
}

void convert_argument(const char* name, py::handle value, Index& result) {
  py::object number;
  if (!PyBool_Check(value.ptr()) && PyIndex_Check(value.ptr())) {
    number = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    PyErr_Clear();  // an array of several integers, say
  }
  if (!number) throw_wrong_type(name, value, "an integer");
  int overflow = 0;
  result = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  require(overflow == 0, name, ": got ", shown(number), ", needed an integer of 64 bits");
}

void convert_argument(const char* name, py::handle value, double& result) {
  result = PyFloat_AsDouble(value.ptr());
  if (PyErr_Occurred() == nullptr) return;
  const bool overflow = PyErr_ExceptionMatches(PyExc_OverflowError) != 0;
  PyErr_Clear();
  require(!overflow, name, ": got an integer beyond all floats, needed a finite number");
  throw_wrong_type(name, value, "a number");
}

void convert_argument(const char* name, py::handle value, std::string& result) {
  if (!py::isinstance<py::str>(value)) throw_wrong_type(name, value, "a string");
  Py_ssize_t size = 0;
  const char* characters = PyUnicode_AsUTF8AndSize(value.ptr(), &size);
  if (characters == nullptr) {  // half of a surrogate pair
    PyErr_Clear();
    throw std::invalid_argument(text(name, ": got ", shown(value), ", needed a string of Unicode"));
  }
  result.assign(characters, static_cast<std::size_t>(size));
}

std::shared_ptr<Backend> parse_backend(const Argument<std::string>& device, Precision precision) {
  const std::string name = device.as("device");
  if (name == "cuda") {
    const std::optional<std::string> why_not = cuda_why_not();
    require(!why_not, "device: got 'cuda', needed 'cpu': ", why_not.value_or(""));
  }
  return backend_for(name, precision);
}

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
