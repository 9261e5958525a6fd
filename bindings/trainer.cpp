#include "models/trainer.h"

#include "bindings.h"

namespace tagix::python {

void bind_trainer(py::module_& m) {
  py::class_<Trainer>(m, "Trainer", "Trains a model on the rows of a source, epoch by epoch.")
      .def(py::init<Model&, BatchSource&, Index, bool>(), py::arg("model"), py::arg("source"),
           py::arg("batch_size"), py::arg("shuffle"), py::keep_alive<1, 2>(),
           py::keep_alive<1, 3>())
      .def(
          "run_epoch",
          [](Trainer& trainer, const py::object& progress) {
            const ProgressCallback callback = [&progress](Index rows_done) {
              const py::gil_scoped_acquire gil;
              if (PyErr_CheckSignals() != 0) throw py::error_already_set();
              if (progress.is_none()) return false;
              return py::bool_(progress(rows_done)).cast<bool>();
            };
            const py::gil_scoped_release release;
            return trainer.run_epoch(callback);
          },
          py::arg("progress"),
          "Train for one pass over the source, without returning to Python in between except to "
          "call progress(rows_done) some 20 times a second; true ends the epoch.");
}

}  // namespace tagix::python
