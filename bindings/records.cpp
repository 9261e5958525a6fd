#include "bindings.h"
#include "models/trainer.h"

namespace tagix::python {
namespace {

void bind_prediction_sums(py::module_& m) {
  py::class_<PredictionSums>(m, "PredictionSums", "Sums over observed targets.")
      .def_readonly("squared_error", &PredictionSums::squared_error)
      .def_readonly("var", &PredictionSums::var)
      .def_readonly("noise_var", &PredictionSums::noise_var)
      .def_readonly("chi_square", &PredictionSums::chi_square)
      .def_readonly("log_likelihood", &PredictionSums::log_likelihood)
      .def_readonly("n_observed", &PredictionSums::n_observed);
}

void bind_epoch_record(py::module_& m) {
  py::class_<EpochRecord>(
      m, "EpochRecord",
      "What one epoch of training gave, from the predictions made just before each update.")
      .def_readonly("epoch", &EpochRecord::epoch, "Epochs the model had been trained for before.")
      .def_readonly("n_rows", &EpochRecord::n_rows,
                    "Rows seen: all, unless a callback ended the epoch early.")
      .def_readonly("mse", &EpochRecord::mse, "Mean squared error.")
      .def_readonly("predicted_var", &EpochRecord::predicted_var,
                    "Mean predicted variance, observation noise left out.")
      .def_readonly("noise_var", &EpochRecord::noise_var,
                    "Mean noise variance of the targets, known or inferred.")
      .def_readonly("surprise", &EpochRecord::surprise,
                    "Mean of squared errors over their predicted variances, observation noise "
                    "included: 1 where variances are right.")
      .def_readonly("log_likelihood", &EpochRecord::log_likelihood,
                    "Mean log density of a target, observation noise included.")
      .def_readonly("seconds", &EpochRecord::seconds,
                    "Wall-clock duration of the epoch, validation left out.")
      .def_readonly("stopped", &EpochRecord::stopped,
                    "Whether a callback ended the epoch early; it does not count as trained then.");
}

}  // namespace

void bind_records(py::module_& m) {
  bind_prediction_sums(m);
  bind_epoch_record(m);
}

}  // namespace tagix::python
