#include "noise_models.h"

#include <string>
#include <utility>
#include <vector>

#include "arguments.h"

namespace tagix::python {
namespace {

/// A number or a sequence of numbers, numpy's and torch's included.
std::vector<double> standard_deviations(const py::object& std) {
  const py::array array = py::array::ensure(std);
  if (!array || std::string("fiu").find(array.dtype().kind()) == std::string::npos) {
    PyErr_Clear();
    throw py::type_error(
        text("std: got ", std::string(py::repr(std)), ", needed a number or one for each output"));
  }
  require(array.ndim() <= 1, "std: got an array of ", array.ndim(),
          " dimensions, needed a number or one for each output");
  const py::array_t<double, py::array::c_style | py::array::forcecast> values(array);
  return {values.data(), values.data() + values.size()};
}

py::dict noise_config(const Homoscedastic& noise) {
  py::dict dict;
  dict["std"] = noise.std().size() == 1 ? py::cast(noise.std()[0]) : py::cast(noise.std());
  dict["min_std"] = noise.min_std();
  dict["decay"] = noise.decay();
  dict["learn"] = noise.learn();
  return dict;
}

constexpr Choice<math::NoiseLink> links[] = {{"exp", math::NoiseLink::exp},
                                             {"softplus", math::NoiseLink::softplus}};

py::dict heteroscedastic_config(const Heteroscedastic& noise) {
  py::dict dict;
  dict["link"] = links[noise.link() == math::NoiseLink::exp ? 0 : 1].name;
  dict["gain"] = noise.gain();
  return dict;
}

}  // namespace

std::optional<LearnedNoise> learned_noise(const py::object& noise) {
  if (py::isinstance<Heteroscedastic>(noise)) return noise.cast<Heteroscedastic>().learned();
  if (!py::isinstance<Homoscedastic>(noise)) return std::nullopt;
  const auto homoscedastic = noise.cast<Homoscedastic>();
  if (!homoscedastic.learn()) return std::nullopt;
  return homoscedastic.learned();
}

void bind_noise(py::module_& m) {
  py::class_<Homoscedastic> noise_class(m, "Homoscedastic",
                                        R"(Observation noise that is equal for all samples.

Known noise: std (a standard deviation in the unit of the targets, or one for each output) holds in
epoch 0 and is multiplied by `decay` after each epoch, down to `min_std`. Epochs are those of `fit`,
counted over the life of a model. `update` counts no epochs, so the noise does not change in a
stream of updates.

learn=True: a network made with this noise infers one noise variance v for each output together with
its weights. The prior is log-normal with E v = std^2 (1 by default, for targets of that scale).
Nothing has to be chosen. The inference is that of tagix.Heteroscedastic, with one w for all inputs.

Raises ValueError unless every std is in [1e-18, 1e18], min_std in [0, 1e18] and decay in (0, 1], and
for a schedule of noise that is learned; TypeError for anything but a number, and for no std where
it is not learned.)");
  def_constructor(
      noise_class,
      py::init([](const py::object& std, const Argument<double>& min_std,
                  const Argument<double>& decay, const Argument<bool>& learn) {
        const bool learned = learn.as("learn");
        std::vector<double> stds =
            learned && std.is_none() ? std::vector<double>{1.0} : standard_deviations(std);
        return Homoscedastic{std::move(stds), min_std.as("min_std"), decay.as("decay"), learned};
      }),
      py::arg("std") = py::none(), py::arg("min_std") = 0.0, py::arg("decay") = 1.0,
      py::arg("learn") = false);
  noise_class.def_property_readonly("config", &noise_config, "The constructor's arguments by name.")
      .def_property_readonly("std", &Homoscedastic::std,
                             "Standard deviations in epoch 0, or before anything was learned.")
      .def_property_readonly("learn", &Homoscedastic::learn,
                             "Whether a network infers them with its weights.")
      .def_property_readonly("min_std", &Homoscedastic::min_std,
                             "The standard deviation that decay ends at.")
      .def_property_readonly("decay", &Homoscedastic::decay,
                             "Factor on the standard deviations after each epoch, in (0, 1].")
      .def(
          "var",
          [](const Homoscedastic& noise, const Argument<Index>& epoch) {
            return noise.var(epoch.as("epoch"));
          },
          py::arg("epoch") = 0,
          "The noise variances in an epoch: one, or one for each output. Raises ValueError for an "
          "epoch below 0, TypeError for anything but an integer.");
  bind_as_value(noise_class);

  py::class_<Heteroscedastic> heteroscedastic_class(
      m, "Heteroscedastic",
      R"(Observation noise whose variance a network infers from the input, beside the values.

A network made with it has a noise head: a second output w for each target, with noise variance
v = link(w), "exp" or "softplus" (log(1 + exp(w))). Weights and biases of the head start with
standard deviations, and weights with means, `gain` times those of the last layer, biases with mean 0:
v is about 1 at first, for targets of that scale. With V = E v, rho = Var v / V^2,
j = Cov(w, v) / (Var w V), S the variance of a value, r its error, g = V / (V + S) and B rows at a
time, k the share of the update rule:

    value   delta_mean = r / (V + S s),              delta_var = -1 / (V + S s),  s = 1 + k (B - 1)
    head    delta_mean = j g (r^2 / (V + S) - 1)/D,  delta_var = -j^2 g^2 / D,    D = 2 + 3 rho s

For one row the means are those of AGVI (Deka, Nguyen & Goulet, Neurocomputing, 2024), and the
precision gained is the one that AGVI expects; with the rule tagix.Capped it is AGVI's own.

Where weights have learned little about an input, the tail of w ~ N(l, s) dominates exp(w), and its
mean exp(l + s / 2) overflows. So with "exp", unless the rule is tagix.Capped, the network's
Gaussian is multiplied by that of a belief that holds for any input, log v ~ N(0, 2^2):

    kappa = 1 / (1 + s / 4),   log v ~ N(kappa l, kappa s),   j = kappa

V is then finite for any input, and of the order of 1 where nothing was learned: targets are best
brought to a scale of about 1.

Raises ValueError unless gain is in [1e-6, 1e6], and for another link; TypeError for a gain that is
not a number and a link that is not a string.)");
  def_constructor(heteroscedastic_class,
                  py::init([](const Argument<std::string>& link, const Argument<double>& gain) {
                    return Heteroscedastic{choose("link", link, links), gain.as("gain")};
                  }),
                  py::arg("link") = "exp", py::arg("gain") = 0.1);
  heteroscedastic_class
      .def_property_readonly("config", &heteroscedastic_config,
                             "The constructor's arguments by name.")
      .def_property_readonly(
          "link",
          [](const Heteroscedastic& noise) {
            return links[noise.link() == math::NoiseLink::exp ? 0 : 1].name;
          },
          "How the head gives a noise variance, \"exp\" or \"softplus\".")
      .def_property_readonly("gain", &Heteroscedastic::gain,
                             "Factor on the priors of the noise head.");
  bind_as_value(heteroscedastic_class);
}

}  // namespace tagix::python
