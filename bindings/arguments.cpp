#include "arguments.h"

#include <stdexcept>

namespace tagix::python {
namespace {

std::string shown(py::handle value) { return py::repr(value); }

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

void convert_argument(const char*, py::handle value, Extents& result) {
  result.value = py::reinterpret_borrow<py::object>(value);
}

std::vector<Index> Extents::for_dimensions(const char* name, std::size_t dimensions) const {
  if (!py::isinstance<py::tuple>(value) && !py::isinstance<py::list>(value)) {
    if (!PyIndex_Check(value.ptr()) || PyBool_Check(value.ptr())) {
      throw_wrong_type(name, value, text("an integer, or ", dimensions, " of them"));
    }
    Index each = 0;
    convert_argument(name, value, each);
    return std::vector<Index>(dimensions, each);
  }
  const auto items = py::reinterpret_borrow<py::sequence>(value);
  require(items.size() == dimensions, name, ": got ", shown(value), ", needed an integer, or ",
          dimensions, " of them");
  std::vector<Index> extents(dimensions);
  for (std::size_t i = 0; i < dimensions; ++i) convert_argument(name, items[i], extents[i]);
  return extents;
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

}  // namespace tagix::python
