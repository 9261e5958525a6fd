#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "core/layer.h"
#include "graph/builder.h"
#include "shapes.h"

namespace tagix::python {
namespace {

using GraphBuilderClass = py::class_<GraphBuilder>;

/// What a module writes down by name: its layers, its parameters and what it gives.
void bind_writing(GraphBuilderClass& cls) {
  cls.def(
         "apply",
         [](GraphBuilder& graph, const std::string& child, const Layer& layer,
            const std::vector<graph::Value>& inputs) { return graph.apply(child, layer, inputs); },
         py::arg("child"), py::arg("layer"), py::arg("inputs"),
         "The output of a layer under this name.")
      .def(
          "write",
          [](GraphBuilder& graph, const Layer& layer, const std::vector<graph::Value>& inputs) {
            return layer.build(graph, inputs);
          },
          py::arg("layer"), py::arg("inputs"), "The output of a layer without a name of its own.")
      .def(
          "parameter",
          [](GraphBuilder& graph, const std::string& name, const std::vector<Index>& shape,
             float prior_std, const std::vector<std::pair<Index, float>>& constants) {
            ParameterSpec spec{name, shape, prior_std};
            for (const auto& [index, value] : constants) spec.constants.push_back({index, value});
            return graph.parameter(std::move(spec)).first;
          },
          py::arg("name"), py::arg("shape"), py::arg("prior_std"), py::arg("constants"))
      .def(
          "record",
          [](GraphBuilder& graph, const std::string& path, const std::string& name,
             const std::vector<Index>& shape) { graph.record(path, name, to_shape(shape)); },
          py::arg("path"), py::arg("name"), py::arg("shape"))
      .def_property_readonly("path", &GraphBuilder::path, "The path of the layer that writes now.");
}

/// The operations on values, and their shapes.
void bind_operations(GraphBuilderClass& cls) {
  cls.def(
         "affine",
         [](GraphBuilder& graph, graph::Value x, Index weight, std::optional<Index> bias) {
           return graph.affine(x, {weight, 1},
                               bias ? std::optional(Parameter{*bias, 1}) : std::nullopt);
         },
         py::arg("x"), py::arg("weight"), py::arg("bias"))
      .def("add", &GraphBuilder::add, py::arg("a"), py::arg("b"))
      .def("product", &GraphBuilder::product, py::arg("a"), py::arg("b"))
      .def(
          "concat",
          [](GraphBuilder& graph, const std::vector<graph::Value>& xs) { return graph.concat(xs); },
          py::arg("xs"))
      .def("slice", &GraphBuilder::slice, py::arg("x"), py::arg("first_channel"),
           py::arg("channels"))
      .def(
          "reshape",
          [](GraphBuilder& graph, graph::Value x, const std::vector<Index>& shape) {
            return graph.reshape(x, to_shape(shape));
          },
          py::arg("x"), py::arg("shape"))
      .def(
          "broadcast",
          [](GraphBuilder& graph, graph::Value x, const std::vector<Index>& grid) {
            return graph.mix(x, broadcast(grid));
          },
          py::arg("x"), py::arg("grid"), "A vector at every position of a grid.")
      .def(
          "shape",
          [](const GraphBuilder& graph, graph::Value x) { return to_tuple(graph.shape(x)); },
          py::arg("x"), "The shape of a value: channels, then the grid.");
}

}  // namespace

void bind_graph_builder(py::module_& m) {
  GraphBuilderClass cls(m, "GraphBuilder", "What a module writes itself down with.");
  bind_writing(cls);
  bind_operations(cls);
}

}  // namespace tagix::python
