#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "core/layer.h"

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

/// A module of Python's as a layer: write(builder, inputs) gives the number of its output.
class PythonLayer final : public Layer {
 public:
  PythonLayer(std::string name, py::object write)
      : name_(std::move(name)), write_(std::move(write)) {}

  std::string name() const override { return name_; }
  Config config() const override { return {}; }
  bool keeps_features() const override { return false; }
  graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const override {
    const py::gil_scoped_acquire gil;
    const std::vector<graph::Value> values(inputs.begin(), inputs.end());
    return write_.get()(py::cast(&graph, py::return_value_policy::reference), values)
        .cast<graph::Value>();
  }

 private:
  std::string name_;
  Kept write_;
};

/// The layer that an object of Python's stands for: a layer, a Sequential or a Module. Throws
/// TypeError, naming the argument, for anything else.
std::shared_ptr<Layer> layer_of(const char* name, const py::object& object);

}  // namespace tagix::python
