#include <optional>
#include <string>
#include <tuple>
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
             float prior_std, const std::vector<std::pair<Index, float>>& constants,
             const std::vector<Index>& memory_axes) {
            ParameterSpec spec{name, shape, prior_std};
            spec.memory_axes = memory_axes;
            for (const auto& [index, value] : constants) spec.constants.push_back({index, value});
            return graph.parameter(std::move(spec)).first;
          },
          py::arg("name"), py::arg("shape"), py::arg("prior_std"), py::arg("constants"),
          py::arg("memory_axes"))
      .def(
          "record",
          [](GraphBuilder& graph, const std::string& path, const std::string& name,
             const std::vector<Index>& shape) { graph.record(path, name, to_shape(shape)); },
          py::arg("path"), py::arg("name"), py::arg("shape"))
      .def_property_readonly("path", &GraphBuilder::path, "The path of the layer that writes now.");
}

/// The kind, the numbers and the weight of taps (graph/taps.h).
using Recipe = std::tuple<std::string, std::vector<Index>, float>;

Taps made_of(const GraphBuilder& graph, graph::Value x, const Recipe& recipe) {
  const auto& [kind, numbers, weight] = recipe;
  return taps_of(graph.shape(x).grid, {kind, numbers, weight});
}

/// The operations on values, and their shapes.
void bind_operations(GraphBuilderClass& cls) {
  cls.def(
         "affine",
         [](GraphBuilder& graph, graph::Value x, Index weight, std::optional<Index> bias,
            const std::optional<Recipe>& taps) {
           return graph.affine(x, {weight, 1},
                               bias ? std::optional(Parameter{*bias, 1}) : std::nullopt,
                               taps ? made_of(graph, x, *taps) : nullptr);
         },
         py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("taps") = py::none())
      .def(
          "mix",
          [](GraphBuilder& graph, graph::Value x, const Recipe& taps) {
            return graph.mix(x, made_of(graph, x, taps));
          },
          py::arg("x"), py::arg("taps"),
          "Sums over positions with known weights, by the kind, the numbers and the weight of "
          "taps.")
      .def(
          "largest",
          [](GraphBuilder& graph, graph::Value x, const Recipe& taps) {
            return graph.largest(x, made_of(graph, x, taps));
          },
          py::arg("x"), py::arg("taps"), "The largest in each window.")
      .def("normalise", &GraphBuilder::normalise, py::arg("x"), py::arg("groups"),
           py::arg("per_position"), py::arg("centred"), py::arg("exact"), py::arg("eps"))
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
