#include <memory>
#include <utility>
#include <vector>

#include "arguments.h"
#include "bindings.h"
#include "layers/concat.h"
#include "layers/flatten.h"
#include "layers/residual.h"
#include "python_layer.h"

namespace tagix::python {
namespace {

class PythonResidual final : public Residual {
 public:
  PythonResidual(const py::object& body, const py::object& shortcut)
      : Residual(layer_of("body", body),
                 shortcut.is_none() ? nullptr : layer_of("shortcut", shortcut)),
        arguments(py::make_tuple(body, shortcut)) {}

  Kept arguments;
};

class PythonConcat final : public Concat {
 public:
  explicit PythonConcat(const py::args& branches)
      : Concat(layers_of(branches)), arguments(branches) {}

  Kept arguments;

 private:
  static std::vector<std::shared_ptr<const Layer>> layers_of(const py::args& branches) {
    std::vector<std::shared_ptr<const Layer>> layers;
    for (const py::handle branch : branches) {
      layers.push_back(layer_of("branches", py::reinterpret_borrow<py::object>(branch)));
    }
    return layers;
  }
};

}  // namespace

std::shared_ptr<Layer> layer_of(const char* name, const py::object& object) {
  if (py::isinstance<Layer>(object)) return object.cast<std::shared_ptr<Layer>>();
  if (!py::hasattr(object, "_as_layer")) throw_wrong_type(name, object, "a layer of tagix.nn");
  return object.attr("_as_layer")().cast<std::shared_ptr<Layer>>();
}

void bind_joining_layers(py::module_& m) {
  py::class_<PythonResidual, Layer, std::shared_ptr<PythonResidual>> residual_class(
      m, "Residual", R"(x + body(x), or shortcut(x) + body(x).

Takes the body's inputs to the body's outputs, (batch, features); both terms must have the same
shape. Their parameters are named "body..." and "shortcut...". The terms count as independent. The
exception is a body of one activation without a shortcut: there the variance is exact, and such a
network has no Jacobian. Source: He et al., Deep residual learning (CVPR, 2016).

Raises TypeError for anything but layers, Sequentials and Modules.)");
  def_constructor(residual_class, py::init<const py::object&, const py::object&>(), py::arg("body"),
                  py::arg("shortcut") = py::none());
  residual_class.def_property_readonly("config", [](const PythonResidual& self) {
    const py::tuple arguments = self.arguments.get();
    py::dict config;
    config["body"] = arguments[0];
    config["shortcut"] = arguments[1];
    return config;
  });

  py::class_<PythonConcat, Layer, std::shared_ptr<PythonConcat>> concat_class(
      m, "Concat", R"(The outputs of several branches of one input, side by side.

Takes (batch, features) to (batch, the sum of the branches' outputs). Parameters are named by the
position of the branch, as in nn.Sequential: "0.weight".

Raises ValueError if there is no branch, TypeError for anything but layers, Sequentials and Modules.)");
  def_constructor(concat_class, py::init([](const py::Args<py::object>& branches) {
                    return std::make_shared<PythonConcat>(branches);
                  }));
  concat_class
      .def_property_readonly(
          "branches", [](const PythonConcat& self) { return py::tuple(self.arguments.get()); },
          "The branches as they were given.")
      .def_property_readonly("config",
                             [](const PythonConcat& self) {
                               py::dict config;
                               config["branches"] = self.arguments.get();
                               return config;
                             })
      .def("__repr__",
           [](const PythonConcat& self) {
             std::string branches;
             for (const py::handle branch : py::tuple(self.arguments.get())) {
               branches += (branches.empty() ? "" : ", ") + std::string(py::repr(branch));
             }
             return "Concat(" + branches + ")";
           })
      .def("__reduce__", [](const py::object& self) -> py::tuple {
        return py::make_tuple(py::type::of(self), self.attr("branches"));
      });

  py::class_<Flatten, Layer, std::shared_ptr<Flatten>> flatten_class(
      m, "Flatten", R"(All positions of a grid side by side, as one row of features.

Takes (batch, channels, ...) to (batch, channels times positions): the channels of the first position,
then those of the second. A row of features stays as it is.)");
  def_constructor(flatten_class, py::init<>());
}

}  // namespace tagix::python
