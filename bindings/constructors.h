#pragma once

#include <utility>

#include "bindings.h"

namespace tagix::python {

/// What def_constructor puts into the slot tp_init.
int call_constructor(PyObject* self, PyObject* args, PyObject* kwargs);

/// Adds a constructor whose TypeError for a missing, surplus or unknown argument says what the
/// constructor takes as Python writes it, in place of pybind11's C++ signatures. Argument and this
/// together leave no message of pybind11's to the users of a class.
template <class Class, class... Extra>
void def_constructor(Class& cls, Extra&&... extra) {
  cls.def(std::forward<Extra>(extra)...);
  // After `def`, which makes Python fill the slot.
  reinterpret_cast<PyTypeObject*>(cls.ptr())->tp_init = call_constructor;
}

}  // namespace tagix::python
