#include "core/diffusion.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arguments.h"
#include "bindings.h"
#include "prediction.h"

namespace tagix::python {
namespace {

NoiseSchedule parse_schedule(const Argument<std::string>& schedule) {
  static constexpr Choice<NoiseSchedule> schedules[] = {{"cosine", NoiseSchedule::cosine},
                                                        {"linear", NoiseSchedule::linear}};
  return choose("schedule", schedule, schedules);
}

TimeFeatures parse_time_features(const Argument<std::string>& features) {
  static constexpr Choice<TimeFeatures> kinds[] = {{"cosine", TimeFeatures::cosine},
                                                   {"scalar", TimeFeatures::scalar},
                                                   {"sinusoidal", TimeFeatures::sinusoidal}};
  return choose("time_features", features, kinds);
}

}  // namespace

void bind_diffusion(py::module_& m) {
  py::class_<DiffusionProcess>(m, "DiffusionProcess",
                               "Schedule, time features and units of a diffusion model.")
      .def(py::init([](Index n_features, Index n_steps, const Argument<std::string>& schedule,
                       const Argument<std::string>& time_features,
                       const Argument<std::string>& device) {
             return std::make_unique<DiffusionProcess>(parse_backend(device), n_features, n_steps,
                                                       parse_schedule(schedule),
                                                       parse_time_features(time_features));
           }),
           py::arg("n_features"), py::arg("n_steps"), py::arg("schedule"), py::arg("time_features"),
           py::arg("device"))
      .def_property_readonly("n_features", &DiffusionProcess::n_features)
      .def_property_readonly("n_steps", &DiffusionProcess::n_steps)
      .def_property_readonly("network_inputs", &DiffusionProcess::network_inputs)
      .def_property_readonly("alpha_bar",
                             [](const DiffusionProcess& process) {
                               return py::array_t<double>(py::cast(process.signal_shares()));
                             })
      .def_property_readonly("shift", &DiffusionProcess::shift)
      .def_property_readonly("scale", &DiffusionProcess::scale)
      .def("set_standardization", &DiffusionProcess::set_standardization, py::arg("shift"),
           py::arg("scale"))
      .def(
          "standardize_by",
          [](DiffusionProcess& process, const Array& data) {
            require_matrix("X", data, process.n_features());
            process.standardize_by(data.data(), data.shape(0));
          },
          py::arg("data").noconvert())
      .def(
          "predict",
          [](const DiffusionProcess& process, const Model& network, const Array& noisy,
             const IndexArray& timesteps) {
            require_matrix("x_t", noisy, process.n_features());
            require(timesteps.ndim() == 1, "t: got an array of ", timesteps.ndim(),
                    " dimensions, needed 1");
            require_same_rows("t", timesteps, "x_t", noisy);
            PredictionOf<Array> prediction({noisy.shape(0), noisy.shape(1)},
                                           network.noise_head().exists());
            const PredictionArrays arrays = prediction.arrays();
            {
              const py::gil_scoped_release release;
              process.predict(network, noisy.data(), timesteps.data(), noisy.shape(0), arrays);
            }
            return prediction.tuple();
          },
          py::arg("network"), py::arg("x_t").noconvert(), py::arg("t").noconvert())
      .def(
          "sample",
          [](const DiffusionProcess& process, const Model& network, Index n_samples,
             std::uint64_t seed, bool trajectory, bool uncertainty, Index ensemble) {
            require(n_samples >= 0, "n_samples: got ", n_samples, ", needed at least 0");
            const Index cols = process.n_features();
            Array x = empty({n_samples, cols}), var = empty({n_samples, cols});
            py::object chain = py::none();
            float* chain_data = nullptr;
            if (trajectory) {
              Array array = empty({process.n_steps(), n_samples, cols});
              chain_data = array.mutable_data();
              chain = std::move(array);
            }
            py::object epistemic = py::none(), aleatoric = py::none(), score = py::none();
            SampleUncertainty arrays{};
            if (uncertainty) {
              Array of_network = empty({n_samples, cols, cols}),
                    of_data = empty({n_samples, cols, cols}), scores = empty({n_samples});
              arrays = {of_network.mutable_data(), of_data.mutable_data(), scores.mutable_data()};
              epistemic = std::move(of_network);
              aleatoric = std::move(of_data);
              score = std::move(scores);
            }
            float* x_data = x.mutable_data();
            float* var_data = var.mutable_data();
            {
              const py::gil_scoped_release release;
              const auto interrupted = [] {
                const py::gil_scoped_acquire gil;
                if (PyErr_CheckSignals() != 0) throw py::error_already_set();
                return false;
              };
              process.sample(network, n_samples, seed, x_data, var_data, chain_data, interrupted,
                             uncertainty ? &arrays : nullptr);
              if (ensemble > 0) {
                process.sample_draws(network, n_samples, seed, ensemble, arrays.epistemic,
                                     interrupted);
              }
            }
            return py::make_tuple(x, var, chain, epistemic, aleatoric, score);
          },
          py::arg("network"), py::arg("n_samples"), py::arg("seed"), py::arg("trajectory"),
          py::arg("uncertainty"), py::arg("ensemble"),
          "x, var, trajectory, epistemic, aleatoric and score; an ensemble needs uncertainty, 0 is "
          "none.");

  py::class_<DiffusionSource, BatchSource>(m, "DiffusionSource")
      .def(py::init([](const Model& model, const DiffusionProcess& process, const Array& data) {
             require_matrix("X", data, process.n_features());
             process.check_network(model);
             auto source = std::make_unique<DiffusionSource>(model.backend(), process, model.seed(),
                                                             data.data(), data.shape(0));
             source->set_noise_head(model.noise_head());
             return source;
           }),
           py::arg("model"), py::arg("process"), py::arg("data").noconvert(),
           py::keep_alive<1, 2>(), py::keep_alive<1, 3>())
      .def("set_noise_var", &DiffusionSource::set_noise_var, py::arg("noise_var"));
}

}  // namespace tagix::python
