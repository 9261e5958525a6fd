#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arguments.h"
#include "arrays.h"
#include "bindings.h"
#include "devices.h"
#include "models/batch_source.h"
#include "models/diffusion_process.h"
#include "models/diffusion_source.h"
#include "models/sampling.h"

namespace tagix::python {
namespace {

/// A matrix's numbers as structs of `count` floats, one for each row.
template <class Row, py::ssize_t count>
std::vector<Row> rows_of(const char* name, const Array& table) {
  static_assert(sizeof(Row) == sizeof(float) * count);
  require_matrix(name, table, count);
  std::vector<Row> rows(static_cast<std::size_t>(table.shape(0)));
  if (!rows.empty()) std::memcpy(rows.data(), table.data(), rows.size() * sizeof(Row));
  return rows;
}

/// The numbers of a matrix of so many rows.
std::vector<float> table_of(const char* name, const Array& table, Index rows) {
  require_matrix(name, table);
  require_rows(name, table, rows);
  return {table.data(), table.data() + table.size()};
}

/// The labels of so many rows; null where there are none.
HostPointer<const Index> labels_of(const std::optional<IndexArray>& labels, Index rows) {
  if (!labels) return nullptr;
  require(labels->ndim() == 1 && labels->shape(0) == rows, "labels: got an array of ",
          labels->ndim(), " dimensions and ", labels->size(), " values, needed one for each of ",
          rows, " rows");
  return values_of(*labels);
}

void bind_sampler_plan(py::module_& m) {
  py::class_<SamplerPlan>(m, "SamplerPlan", "What a sampler does: its stages, as a table.")
      .def(py::init([](const Array& stages, const Array& time_features, std::vector<bool> ends_step,
                       double last_noise_var) {
             SamplerPlan plan;
             plan.stages = rows_of<math::SamplerStage, 8>("stages", stages);
             plan.time_features = table_of("time_features", time_features, stages.shape(0));
             plan.ends_step = std::move(ends_step);
             plan.last_noise_var = last_noise_var;
             return plan;
           }),
           py::arg("stages").noconvert(), py::arg("time_features").noconvert(),
           py::arg("ends_step"), py::arg("last_noise_var"));
}

/// Throws what an interrupt of Python's raises; gives false, for sampling to go on.
bool interrupted() {
  const py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  return false;
}

/// Samples (n_samples, features) and their variances, the trajectory (steps + 1, n_samples,
/// features), both parts of the covariances (n_samples, features, features), a score of each,
/// (n_samples,), and the covariances of an ensemble; None for what was not asked for.
auto sampled(const DiffusionProcess& process, const Model& network, const SamplerPlan& plan,
             Index n_samples, std::uint64_t seed, const std::optional<IndexArray>& labels,
             std::pair<float, float> guidance, bool trajectory, bool uncertainty, Index ensemble) {
  require(n_samples >= 0, "n_samples: got ", n_samples, ", needed at least 0");
  require(ensemble == 0 || uncertainty, "uncertainty: got false with an ensemble of ", ensemble,
          ", needed true");
  const Index cols = process.n_features();
  Array x = empty({n_samples, cols}), var = empty({n_samples, cols});
  const SampleRequest request{
      n_samples, seed, labels_of(labels, n_samples), {guidance.first, guidance.second}};
  SampleOutput output{new_values_of(x), new_values_of(var)};
  py::object chain = py::none();
  if (trajectory) {
    Array array = empty({plan.n_steps() + 1, n_samples, cols});
    output.trajectory = new_values_of(array);
    chain = std::move(array);
  }
  py::object epistemic = py::none(), aleatoric = py::none(), score = py::none(),
             of_draws = py::none();
  SampleUncertainty arrays{};
  if (uncertainty) {
    Array of_network = empty({n_samples, cols, cols}), of_data = empty({n_samples, cols, cols}),
          scores = empty({n_samples});
    arrays = {new_values_of(of_network), new_values_of(of_data), new_values_of(scores)};
    output.uncertainty = &arrays;
    epistemic = std::move(of_network);
    aleatoric = std::move(of_data);
    score = std::move(scores);
  }
  HostPointer<float> covariances;
  if (ensemble > 0) {
    Array array = empty({n_samples, cols, cols});
    covariances = new_values_of(array);
    of_draws = std::move(array);
  }
  {
    const py::gil_scoped_release release;
    sample(process, network, plan, request, output, interrupted);
    if (ensemble > 0) {
      sample_draws(process, network, plan, request, ensemble, covariances, interrupted);
    }
  }
  return py::make_tuple(x, var, chain, epistemic, aleatoric, score, of_draws);
}

void bind_process(py::module_& m) {
  py::class_<DiffusionProcess>(m, "DiffusionProcess",
                               "Levels of noise, conditions and units of a diffusion model.")
      .def(py::init([](Index n_features, const Array& levels, const Array& time_features,
                       const Array& class_features, const Argument<std::string>& device) {
             DiffusionDescription description;
             description.n_features = n_features;
             description.levels = rows_of<math::NoiseLevel, 4>("levels", levels);
             description.time_features = table_of("time_features", time_features, levels.shape(0));
             require_matrix("class_features", class_features);
             description.n_classes = class_features.shape(0) - 1;
             description.class_features =
                 table_of("class_features", class_features, class_features.shape(0));
             return std::make_unique<DiffusionProcess>(parse_backend(device), description);
           }),
           py::arg("n_features"), py::arg("levels").noconvert(),
           py::arg("time_features").noconvert(), py::arg("class_features").noconvert(),
           py::arg("device"))
      .def_property_readonly("n_features", &DiffusionProcess::n_features)
      .def_property_readonly("n_steps", &DiffusionProcess::n_steps)
      .def_property_readonly("network_inputs", &DiffusionProcess::network_inputs)
      .def_property_readonly("shift", &DiffusionProcess::shift)
      .def_property_readonly("scale", &DiffusionProcess::scale)
      .def("set_standardization", &DiffusionProcess::set_standardization, py::arg("shift"),
           py::arg("scale"))
      .def(
          "standardize_by",
          [](DiffusionProcess& process, const Array& data) {
            require_matrix("X", data, process.n_features());
            process.standardize_by(values_of(data), data.shape(0));
          },
          py::arg("data").noconvert())
      .def("sample", &sampled, py::arg("network"), py::arg("plan"), py::arg("n_samples"),
           py::arg("seed"), py::arg("labels").noconvert(), py::arg("guidance"),
           py::arg("trajectory"), py::arg("uncertainty"), py::arg("ensemble"),
           "x, var, trajectory, epistemic, aleatoric, score and the covariances of an ensemble, "
           "which needs uncertainty, 0 is none. guidance has the weights of the predictions with "
           "labels and without, (1, 0): none.");
}

void bind_diffusion_source(py::module_& m) {
  py::class_<DiffusionSource, BatchSource>(m, "DiffusionSource")
      .def(py::init([](const Model& model, const DiffusionProcess& process, const Array& data) {
             require_matrix("X", data, process.n_features());
             process.check_network(model);
             auto source = std::make_unique<DiffusionSource>(model.backend(), process, model.seed(),
                                                             values_of(data), data.shape(0));
             source->set_noise_head(model.noise_head());
             return source;
           }),
           py::arg("model"), py::arg("process"), py::arg("data").noconvert(),
           py::keep_alive<1, 2>(), py::keep_alive<1, 3>())
      .def(
          "set_labels",
          [](DiffusionSource& source, const IndexArray& labels, double p_uncond) {
            source.set_labels(labels_of(labels, source.n_rows()), p_uncond);
          },
          py::arg("labels").noconvert(), py::arg("p_uncond"))
      .def("set_noise_var", &DiffusionSource::set_noise_var, py::arg("noise_var"));
}

}  // namespace

void bind_diffusion(py::module_& m) {
  bind_sampler_plan(m);
  bind_process(m);
  bind_diffusion_source(m);
}

}  // namespace tagix::python
