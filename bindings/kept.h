#pragma once

#include <utility>

#include "bindings.h"

namespace tagix::python {

/// A Python object that a layer keeps, which may be let go in any thread.
class Kept {
 public:
  explicit Kept(py::object object) : object_(std::move(object)) {}
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  ~Kept() {
    const py::gil_scoped_acquire gil;
    object_ = py::object();
  }

  const py::object& get() const { return object_; }

 private:
  py::object object_;
};

}  // namespace tagix::python
