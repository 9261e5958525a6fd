#include "graph/topology.h"

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "bindings.h"
#include "core/require.h"
#include "layer_objects.h"
#include "layers/activation.h"
#include "noise_models.h"
#include "shapes.h"

namespace tagix::python {
namespace {

/// The number of a parameter array that begins at an offset.
Index number_of(const Graph& graph, Index offset) {
  Index number = 0;
  while (graph.offsets[static_cast<std::size_t>(number)] != offset) ++number;
  return number;
}

/// What makes a table again.
py::dict recipe_of(const TapTable& taps) {
  const TapRecipe& recipe = taps.recipe();
  require(!recipe.kind.empty(), "a network with sums over positions of its own cannot be saved");
  py::dict described;
  described["kind"] = recipe.kind;
  described["numbers"] = recipe.numbers;
  described["weight"] = recipe.weight;
  return described;
}

/// What an operation is made of, beside the values that it reads.
struct Describe {
  const Graph& graph;
  py::dict node;

  void operator()(const graph::Input& op) const { node["first_column"] = op.first_column; }
  void operator()(const graph::Affine& op) const {
    node["weight"] = number_of(graph, op.weight);
    node["bias"] = op.bias ? py::object(py::int_(number_of(graph, *op.bias))) : py::none();
    if (op.taps != nullptr) node["taps"] = recipe_of(*op.taps);
  }
  void operator()(const graph::Mix& op) const {
    if (op.taps->recipe().kind != "broadcast") node["taps"] = recipe_of(*op.taps);
  }
  void operator()(const graph::Largest& op) const { node["taps"] = recipe_of(*op.taps); }
  void operator()(const graph::Normalise& op) const {
    node["groups"] = op.sets.groups;
    node["per_position"] = op.sets.per_position;
    node["centred"] = op.sets.centred;
    node["exact"] = op.sets.exact;
    node["eps"] = op.sets.eps;
  }
  void operator()(const graph::Activate& op) const {
    const auto* spec = std::get_if<math::ActivationSpec>(&op.function);
    require(spec != nullptr,
            "a network with nn.Activation cannot be saved, since a file holds no functions: save "
            "its state_dict() and build the network anew");
    const Activation layer(*spec);
    py::dict function;
    function["type"] = layer.name();
    add_config(function, layer);
    node["function"] = function;
    node["residual"] = op.residual;
  }
  void operator()(const graph::Slice& op) const { node["first_channel"] = op.first_channel; }
  template <class Op>
  void operator()(const Op&) const {}
};

py::list nodes_of(const Graph& graph) {
  static constexpr const char* names[] = {"input",   "affine",  "activate", "mix",
                                          "add",     "concat",  "slice",    "reshape",
                                          "product", "largest", "normalise"};
  py::list nodes;
  for (const graph::Node& node : graph.nodes) {
    py::dict described;
    described["op"] = names[node.op.index()];
    described["inputs"] = graph::inputs_of(node.op);
    described["shape"] = to_tuple(node.shape);
    described["path"] = node.path;
    std::visit(Describe{graph, described}, node.op);
    nodes.append(described);
  }
  return nodes;
}

/// The multiply-adds of products: for each affine map its positions, the numbers that each reads
/// and gives, and whether the former are known exactly.
py::list products_of(const Graph& graph) {
  py::list products;
  for (const graph::Node& node : graph.nodes) {
    const auto* op = std::get_if<graph::Affine>(&node.op);
    if (op == nullptr) continue;
    const bool reads_input = std::holds_alternative<graph::Input>(graph.node(op->x).op);
    products.append(py::make_tuple(node.shape.positions(), graph.fan_in(*op), node.shape.channels,
                                   reads_input));
  }
  return products;
}

py::list parameters_of(const Graph& graph) {
  py::list parameters;
  for (const ParameterSpec& spec : graph.parameters) {
    py::list constants;
    for (const ConstantElement& constant : spec.constants) {
      constants.append(py::make_tuple(constant.index, constant.value));
    }
    py::dict described;
    described["name"] = spec.name;
    described["shape"] = py::tuple(py::cast(spec.shape));
    described["prior_std"] = spec.prior_std;
    described["constants"] = constants;
    if (!spec.memory_axes.empty()) described["memory_axes"] = spec.memory_axes;
    parameters.append(described);
  }
  return parameters;
}

}  // namespace

void bind_topology(py::module_& m) {
  py::class_<Topology, std::shared_ptr<Topology>>(
      m, "Topology", "What a network computes, for inputs of some shapes.")
      .def(py::init([](const std::shared_ptr<Layer>& layer,
                       const std::vector<std::vector<Index>>& inputs, const py::object& noise) {
             std::vector<Shape> shapes;
             for (const auto& extents : inputs) shapes.push_back(to_shape(extents));
             return std::make_shared<Topology>(layer, shapes, learned_noise(noise));
           }),
           py::arg("layer"), py::arg("inputs"), py::arg("noise"),
           "Of the noise counts what is learned. Without inputs: a row of as many features as the "
           "layer fixes.")
      .def_property_readonly("in_features", &Topology::input_features)
      .def(
          "output_shape",
          [](const Topology& topology, Index in_features) {
            return to_tuple(topology.plain_graph_for(in_features)->output_shape());
          },
          py::arg("in_features"), "The shape of the outputs, those of a noise head left out.")
      .def(
          "layers",
          [](const Topology& topology, Index in_features) {
            py::list layers;
            for (const graph::LayerSummary& layer : topology.plain_graph_for(in_features)->layers) {
              layers.append(py::make_tuple(layer.path, layer.name, to_tuple(layer.output_shape)));
            }
            return layers;
          },
          py::arg("in_features"),
          "(path, class, output shape) of the network, and of each layer before its own.")
      .def(
          "nodes",
          [](const Topology& topology, Index in_features) {
            return nodes_of(*topology.plain_graph_for(in_features));
          },
          py::arg("in_features"), "The operations, without a noise head.")
      .def(
          "parameters",
          [](const Topology& topology, Index in_features) {
            return parameters_of(*topology.plain_graph_for(in_features));
          },
          py::arg("in_features"), "The parameter arrays of the operations.")
      .def(
          "products",
          [](const Topology& topology, Index in_features) {
            return products_of(*topology.graph_for(in_features));
          },
          py::arg("in_features"),
          "(positions, inputs, outputs, whether inputs are known) of each affine map.");
}

}  // namespace tagix::python
