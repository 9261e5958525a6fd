#include "core/forgetting.h"

#include <optional>

#include "arguments.h"
#include "bindings.h"
#include "constructors.h"
#include "value_class.h"

namespace tagix::python {
namespace {

py::dict forgetting_config(const Forgetting& forgetting) {
  py::dict dict;
  dict["process_noise"] = forgetting.process_noise();
  dict["drift_level"] =
      forgetting.tests_drift() ? py::object(py::float_(forgetting.drift_level())) : py::none();
  dict["window"] = forgetting.window();
  dict["inflation"] = forgetting.inflation();
  return dict;
}

}  // namespace

void bind_forgetting(py::module_& m) {
  py::class_<Forgetting> forgetting_class(m, "Forgetting",
                                          R"(How a network forgets, to follow a stream that changes.

After each update every parameter takes a step of a random walk, no further than its prior:

    var' = min(var + process_noise prior_var, max(var, prior_var))

and the targets' squared errors, divided by their predicted variances (noise included), are tested.
Their mean over about the last `window` targets (each has 1 - 1/window times the weight of the next
one) is 1 if the variances are right. If a chi-square test (Wilson & Hilferty, 1931) with a
false-alarm probability of drift_level finds that it is larger, the data have changed: all variances
are raised to at least inflation prior_var, and the test starts again. drift_level=None disables the
test.

Raises ValueError unless process_noise and inflation are in [0, 1], drift_level in (0, 1/2) and window
at least 1, TypeError for anything but a number.)");
  def_constructor(forgetting_class,
                  py::init([](const Argument<double>& process_noise,
                              const Argument<std::optional<double>>& drift_level,
                              const Argument<double>& window, const Argument<double>& inflation) {
                    const std::optional<double> level = drift_level.as("drift_level");
                    require(!level || *level > 0, "drift_level: got ", level.value_or(0),
                            ", needed a number in (0, 1/2), or None for no test");
                    return Forgetting{process_noise.as("process_noise"), level.value_or(0),
                                      window.as("window"), inflation.as("inflation")};
                  }),
                  py::arg("process_noise") = 1e-6, py::arg("drift_level") = 1e-6,
                  py::arg("window") = 100.0, py::arg("inflation") = 0.1);
  forgetting_class
      .def_property_readonly("config", &forgetting_config, "The constructor's arguments by name.")
      .def_property_readonly("process_noise", &Forgetting::process_noise,
                             "Variance gained after an update, in units of the prior's.")
      .def_property_readonly(
          "drift_level",
          [](const Forgetting& forgetting) {
            return forgetting.tests_drift() ? std::optional(forgetting.drift_level())
                                            : std::nullopt;
          },
          "Probability of a false alarm of a test; None where nothing is tested.")
      .def_property_readonly("window", &Forgetting::window, "Targets that a test remembers.")
      .def_property_readonly("inflation", &Forgetting::inflation,
                             "What variances are raised to on drift, in units of the prior's.");
  bind_as_value(forgetting_class);
}

}  // namespace tagix::python
