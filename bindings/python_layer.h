#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "core/layer.h"
#include "graph/builder.h"
#include "kept.h"

namespace tagix::python {

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

}  // namespace tagix::python
