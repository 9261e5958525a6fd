#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arguments.h"
#include "bindings.h"
#include "constructors.h"
#include "layer_objects.h"
#include "layers/class_embedding.h"
#include "layers/flatten.h"
#include "layers/gated.h"
#include "layers/linear.h"
#include "layers/sequential.h"
#include "python_layer.h"
#include "value_class.h"

namespace tagix::python {
namespace {

Linear::Init parse_init(const Argument<std::string>& init) {
  static constexpr Choice<Linear::Init> inits[] = {{"he", Linear::Init::he},
                                                   {"xavier", Linear::Init::xavier}};
  return choose("init", init, inits);
}

/// What all layers have.
void bind_layer(py::module_& m) {
  py::class_<Layer, std::shared_ptr<Layer>> layer_class(
      m, "Layer", "A piece of a network: a description without parameters of its own.");
  layer_class.def_property_readonly("config", &config_dict, "The constructor's arguments by name.")
      .def_property_readonly("in_features", &Layer::input_features,
                             "The number of input features, or None where any will do.")
      .def(
          "__call__",
          [](const py::object& self, const py::Args<py::object>& inputs) {
            return py::module_::import("tagix.nn._tracing").attr("apply")(self, inputs);
          },
          "The output for symbolic values, in the forward of a Module.");
  bind_as_value(layer_class);
}

void bind_linear(py::module_& m) {
  py::class_<Linear, Layer, std::shared_ptr<Linear>> linear_class(m, "Linear", R"(z = a W^T + b.

Takes (batch, in_features) to (batch, out_features). The weight (out_features, in_features) and the
bias (out_features,) are independent Gaussians. Before training their means are drawn from N(0, s^2)
and their variances are s^2, with s = gain * scale and scale = sqrt(1 / in_features) for init="he",
sqrt(2 / (in_features + out_features)) for "xavier". As in cuTAGI, and unlike in PyTorch, "he" has no
factor 2 for the ReLU.

Raises ValueError for feature counts below 1, gains outside [1e-12, 1e12] or an unknown init,
TypeError for counts that are not integers and the like.)");
  def_constructor(
      linear_class,
      py::init([](const Argument<Index>& in_features, const Argument<Index>& out_features,
                  const Argument<bool>& bias, const Argument<std::string>& init,
                  const Argument<double>& gain_weight, const Argument<double>& gain_bias) {
        // Braces keep the order: the message is about the first argument that is wrong.
        return std::make_shared<Linear>(
            Linear{in_features.as("in_features"), out_features.as("out_features"), bias.as("bias"),
                   parse_init(init), gain_weight.as("gain_weight"), gain_bias.as("gain_bias")});
      }),
      py::arg("in_features"), py::arg("out_features"), py::arg("bias") = true, py::kw_only(),
      py::arg("init") = "he", py::arg("gain_weight") = 1.0, py::arg("gain_bias") = 1.0);
}

void bind_class_embedding(py::module_& m) {
  py::class_<ClassEmbedding, Layer, std::shared_ptr<ClassEmbedding>> embedding_class(
      m, "ClassEmbedding", R"(A learned vector for each class, with a posterior of its own.

Takes (batch, n_values + n_classes), rows of values and a one-hot class, to (batch, n_values +
embedding_dim). The values pass unchanged, followed by the embedding of the class; for a row without
a class (all zeros) the embedding is 0. It is an affine map in which only the embeddings are
learned: in weight (n_values + embedding_dim, n_values + n_classes), column n_values + k has the
embedding of class k in its last embedding_dim rows. Before training its means are drawn from
N(0, gain^2) and its variances are gain^2.

Raises ValueError for counts below 1 or a gain outside [1e-12, 1e12], TypeError for counts that are
not integers and the like.)");
  def_constructor(embedding_class,
                  py::init([](const Argument<Index>& n_values, const Argument<Index>& n_classes,
                              const Argument<Index>& embedding_dim, const Argument<double>& gain) {
                    return std::make_shared<ClassEmbedding>(
                        ClassEmbedding{n_values.as("n_values"), n_classes.as("n_classes"),
                                       embedding_dim.as("embedding_dim"), gain.as("gain")});
                  }),
                  py::arg("n_values"), py::arg("n_classes"), py::arg("embedding_dim"),
                  py::kw_only(), py::arg("gain") = 1.0);
}

void bind_container(py::module_& m) {
  py::class_<Sequential, Layer, std::shared_ptr<Sequential>>(
      m, "Container", "Layers one after the other, as tagix.nn.Sequential describes them.")
      .def(py::init([](const std::vector<std::shared_ptr<Layer>>& layers) {
             return std::make_shared<Sequential>(
                 std::vector<std::shared_ptr<const Layer>>(layers.begin(), layers.end()));
           }),
           py::arg("layers"));
}

void bind_python_layer(py::module_& m) {
  py::class_<PythonLayer, Layer, std::shared_ptr<PythonLayer>>(m, "PythonLayer",
                                                               "A module of tagix.nn as a layer.")
      .def(py::init<std::string, py::object>(), py::arg("name"), py::arg("write"));
}

void bind_flatten(py::module_& m) {
  py::class_<Flatten, Layer, std::shared_ptr<Flatten>> flatten_class(
      m, "Flatten", R"(All positions of a grid side by side, as one row of features.

Takes (batch, channels, ...) to (batch, channels times positions): the channels of the first position,
then those of the second. A row of features stays as it is.)");
  def_constructor(flatten_class, py::init<>());
}

/// The layers that take two counts of features, in and out.
template <class Class>
void bind_two_counts(py::module_& m, const char* name, const char* doc) {
  py::class_<Class, Layer, std::shared_ptr<Class>> cls(m, name, doc);
  def_constructor(
      cls, py::init([](const Argument<Index>& in_features, const Argument<Index>& out_features) {
        return std::make_shared<Class>(
            Class{in_features.as("in_features"), out_features.as("out_features")});
      }),
      py::arg("in_features"), py::arg("out_features"));
}

void bind_gated(py::module_& m) {
  bind_two_counts<Gated>(m, "Gated", R"((W x + b) sigmoid(V x + c): a gated linear unit.

Takes (batch, in_features) to (batch, out_features). W, V (out_features, in_features) and b, c
(out_features,) are the parameters value.weight, gate.weight, value.bias and gate.bias, with the
priors of nn.Linear; the two factors count as independent. Source: Dauphin et al., Language modeling
with gated convolutional networks (ICML, 2017).

Raises ValueError for feature counts below 1, TypeError for counts that are not integers.)");
}

}  // namespace

std::shared_ptr<Layer> layer_of(const char* name, const py::object& object) {
  if (py::isinstance<Layer>(object)) return object.cast<std::shared_ptr<Layer>>();
  if (!py::hasattr(object, "_as_layer")) throw_wrong_type(name, object, "a layer of tagix.nn");
  return object.attr("_as_layer")().cast<std::shared_ptr<Layer>>();
}

void add_config(py::dict& dict, const Layer& layer) {
  for (const auto& [key, value] : layer.config()) {
    const auto* extents = std::get_if<std::vector<Index>>(&value);
    dict[py::str(key)] =
        extents != nullptr ? py::object(py::tuple(py::cast(*extents))) : py::cast(value);
  }
}

py::dict config_dict(const Layer& layer) {
  py::dict dict;
  add_config(dict, layer);
  return dict;
}

void bind_layers(py::module_& m) {
  bind_layer(m);
  bind_linear(m);
  bind_class_embedding(m);
  bind_activations(m);
  bind_image_layers(m);
  bind_container(m);
  bind_python_layer(m);
  bind_joining_layers(m);
  bind_flatten(m);
  bind_gated(m);
}

}  // namespace tagix::python
