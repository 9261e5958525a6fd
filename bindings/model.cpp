#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "arguments.h"
#include "devices.h"
#include "graph/topology.h"
#include "likelihood.h"
#include "model_class.h"
#include "noise_models.h"

namespace tagix::python {
namespace {

/// How a model is made: anew, as a copy, or by a draw from its posterior.
void bind_construction(ModelClass& cls) {
  cls.def(py::init([](std::shared_ptr<Topology> topology, UpdateRule rule, std::uint64_t seed,
                      const Argument<std::string>& device, const Argument<std::string>& precision,
                      const py::object& noise, const std::optional<Forgetting>& forgetting,
                      const py::object& likelihood) {
            return std::make_shared<Model>(
                std::move(topology), rule, seed, parse_backend(device, parse_precision(precision)),
                learned_noise(noise), forgetting, class_head(likelihood));
          }),
          py::arg("topology"), py::arg("rule"), py::arg("seed"), py::arg("device"),
          py::arg("precision"), py::arg("noise"), py::arg("forgetting"),
          py::arg("likelihood") = py::none(), "Of the noise counts what is learned.")
      .def(
          "copy_to",
          [](const Model& model, const Argument<std::string>& device,
             const Argument<std::string>& precision) {
            std::shared_ptr<Backend> backend = parse_backend(device, parse_precision(precision));
            const py::gil_scoped_release release;
            return std::make_shared<Model>(model, std::move(backend));
          },
          py::arg("device"), py::arg("precision"),
          "A copy on another device or in another precision, parameters and epochs included.")
      .def(
          "draw",
          [](const Model& model, std::uint64_t seed) {
            const py::gil_scoped_release release;
            return model.draw(seed);
          },
          py::arg("seed"), "The network with means drawn from the posterior and variances of 0.");
}

/// What a model is, beside its parameters.
void bind_state(ModelClass& cls) {
  cls.def_property(
         "drift",
         [](const Model& model) {
           const math::DriftState drift = model.drift();
           return std::make_tuple(drift.chi_square, drift.weight, drift.square_weight,
                                  drift.n_drifts);
         },
         [](Model& model, const std::tuple<double, double, double, Index>& drift) {
           const auto& [chi_square, weight, square_weight, n_drifts] = drift;
           model.set_drift({chi_square, weight, square_weight, n_drifts, false});
         },
         "The sums of the test for drift, and how often it has found one.")
      .def_property_readonly("seed", &Model::seed)
      .def_property_readonly("rule", &Model::rule)
      .def_property_readonly("in_features", &Model::input_features)
      .def("out_features", &Model::output_features, py::arg("in_features"))
      .def("target_features", &Model::target_features, py::arg("in_features"))
      .def_property("epochs_trained", &Model::epochs_trained, &Model::set_epochs_trained);
}

}  // namespace

void bind_model(py::module_& m) {
  ModelClass cls(m, "Model",
                 "A network with its parameters; tagix.nn.Sequential is its public face.");
  bind_construction(cls);
  bind_state(cls);
  bind_parameters(cls);
  bind_predictions(cls);
  bind_updates(cls);
  bind_linearization(cls);
}

}  // namespace tagix::python
