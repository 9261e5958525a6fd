#include "models/model.h"

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "arguments.h"
#include "bindings.h"
#include "cuda_array.h"
#include "graph/topology.h"
#include "likelihood.h"
#include "models/batch_source.h"
#include "models/regression_source.h"
#include "models/trainer.h"
#include "noise_models.h"
#include "prediction.h"

namespace tagix::python {
namespace {

HostMoments host_moments(const Array& x, const std::optional<Array>& x_var) {
  require_matrix("x", x);
  if (x_var) {
    require_matrix("x_var", *x_var, x.shape(1));
    require_same_rows("x_var", *x_var, "x", x);
  }
  return {values_of(x), x_var ? values_of(*x_var) : nullptr, x.shape(0), x.shape(1)};
}

/// What a call with targets needs, checked: the shapes of y and of the noise variances.
struct Observation {
  HostMoments input;
  HostPointer<const float> target;
  HostNoise noise;
  Index outputs;
};

/// One noise variance, one for each output, or one for each target; none where the network infers
/// them, or nobody asks.
HostNoise host_noise(const std::optional<Array>& noise_var, Index rows, Index outputs) {
  if (!noise_var) return {};
  if (noise_var->ndim() == 2) {
    require_matrix("noise", *noise_var, outputs);
    require(noise_var->shape(0) == rows, "noise: got ", noise_var->shape(0), " rows, needed ", rows,
            " as in x");
    return {values_of(*noise_var), outputs, 1};
  }
  require(noise_var->size() == 1 || noise_var->size() == outputs, "noise: got ", noise_var->size(),
          " standard deviations, needed 1 or 1 for each of the ", outputs, " outputs");
  return {values_of(*noise_var), 0, noise_var->size() == 1 ? 0 : 1};
}

void require_weight_of_rows(const Array& weight, Index rows) {
  require(weight.ndim() == 1 && weight.size() == rows, "sample_weight: got ", weight.size(),
          " values, needed ", rows, ", one for each row");
}

/// The same with the weights of rows.
HostNoise host_noise(const std::optional<Array>& noise_var, const std::optional<Array>& weight,
                     Index rows, Index outputs) {
  HostNoise noise = host_noise(noise_var, rows, outputs);
  if (!weight) return noise;
  require_weight_of_rows(*weight, rows);
  noise.weight = values_of(*weight);
  return noise;
}

Observation observation(const Model& model, const Array& x, const std::optional<Array>& x_var,
                        const Array& y, const std::optional<Array>& noise_var,
                        const std::optional<Array>& weight = {}) {
  const HostMoments input = host_moments(x, x_var);
  const Index outputs = model.output_features(input.cols);
  require_matrix("y", y, model.target_features(input.cols));
  require_same_rows("y", y, "x", x);
  return {input, values_of(y), host_noise(noise_var, weight, input.rows, outputs), outputs};
}

Array to_array(const std::vector<float>& values, Index rows) {
  const Index cols = static_cast<Index>(values.size()) / (2 * rows);
  Array array = empty({2, rows, cols});
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

/// One plane of a parameter as an array that shares the model's memory and keeps it alive; or, of
/// memory that the CPU does not see, a copy that cannot be written to.
Array parameter_plane(py::object self, Index index, bool variances) {
  Model& model = self.cast<Model&>();
  const auto count = static_cast<Index>(model.parameters().size());
  require(index >= 0 && index < count, "index: got ", index, ", needed 0 to ", count - 1);
  Index offset = 0;
  for (Index i = 0; i < index; ++i) {
    offset += model.parameters()[static_cast<std::size_t>(i)].size();
  }
  const ParameterSpec& spec = model.parameters().at(static_cast<std::size_t>(index));
  if (model.backend().reads_host_memory()) {
    const MomentsView view = model.parameter_view();
    return Array(spec.shape, (variances ? view.var : view.mean) + offset, self);
  }
  Array copy(spec.shape);
  const HostPointer<float> values = new_values_of(copy);
  {
    const py::gil_scoped_release release;
    model.read_parameters([&](ConstMomentsView view) {
      model.backend().download((variances ? view.var : view.mean) + offset, values, spec.size());
    });
  }
  py::detail::array_proxy(copy.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return copy;
}

void require_on_device(const Model& model) {
  require(!model.backend().reads_host_memory(),
          "x: got an array on device cuda, needed one on the "
          "CPU, where the network is");
}

/// x with its variances on the GPU, checked as host_moments does.
ConstMomentsView device_moments(const CudaArgument& x, const std::optional<CudaArgument>& x_var) {
  require(x.shape().size() == 2, "x: got an array of shape ", shape_text(x.shape()),
          ", needed two dimensions (rows, features)");
  require(!x_var || x_var->shape() == x.shape(), "x_var: got an array of shape ",
          shape_text(x_var ? x_var->shape() : x.shape()), ", needed ", shape_text(x.shape()),
          " as x has");
  return {x.data(), x_var ? x_var->data() : nullptr, x.shape()[0], x.shape()[1]};
}

/// Throws unless targets on the GPU have the shape (rows, outputs), or (rows,) for one output.
void require_target_shape(const CudaArgument& y, Index rows, Index outputs) {
  const std::vector<Index> shape{rows, outputs};
  require(y.shape() == shape || (outputs == 1 && y.shape() == std::vector<Index>{rows}),
          "y: got an array of shape ", shape_text(y.shape()), ", needed ", shape_text(shape),
          ", (rows, outputs)");
}

/// The rules as Python classes of their own.
struct Information : UpdateRule {
  Information(double share, double clip)
      : UpdateRule{UpdateRule::Kind::information, share, clip, /*cap=*/0} {
    require(std::isfinite(share) && share >= 0, "share: got ", share,
            ", needed a finite number of at least 0");
    require(clip > 0, "clip: got ", clip, ", needed a number above 0");
  }
};

struct Capped : UpdateRule {
  explicit Capped(std::optional<double> cap)
      : UpdateRule{UpdateRule::Kind::capped, /*share=*/0, /*clip=*/0, cap.value_or(0)} {
    require(!cap || (std::isfinite(*cap) && *cap > 0), "cap: got ", cap.value_or(0),
            ", needed a finite number above 0, or None");
  }
};

py::dict forgetting_config(const Forgetting& forgetting) {
  py::dict dict;
  dict["process_noise"] = forgetting.process_noise();
  dict["drift_level"] =
      forgetting.tests_drift() ? py::object(py::float_(forgetting.drift_level())) : py::none();
  dict["window"] = forgetting.window();
  dict["inflation"] = forgetting.inflation();
  return dict;
}

py::dict rule_config(const UpdateRule& rule) {
  py::dict dict;
  if (rule.kind == UpdateRule::Kind::information) {
    dict["share"] = rule.share;
    dict["clip"] = rule.clip;
  } else {
    dict["cap"] = rule.cap > 0 ? py::object(py::float_(rule.cap)) : py::none();
  }
  return dict;
}

}  // namespace

void bind_model(py::module_& m) {
  py::class_<UpdateRule> rule_class(m, "UpdateRule", "How observations change the parameters.");
  rule_class.def_property_readonly("config", &rule_config, "The constructor's arguments by name.");
  bind_as_value(rule_class);
  py::class_<Information, UpdateRule> information_class(
      m, "Information",
      R"(The information form of the update, the default: stable at any batch size.

With G and H >= 0 the summed innovations of mean and precision of a batch,
var' = var / (1 + var H) and mean' = mean + min(max(var' G, -b), b), b = clip sqrt(var).
`share` is the part of their uncertainty that the observations of a batch have in common: the
predictive variance counts 1 + share (batch_size - 1) times in an innovation. Raises ValueError
unless share >= 0 and clip > 0, TypeError for anything but a number.)");
  def_constructor(information_class,
                  py::init([](const Argument<double>& share, const Argument<double>& clip) {
                    return Information{share.as("share"), clip.as("clip")};
                  }),
                  py::arg("share") = 0.01, py::arg("clip") = 1.0 / 3.0);
  py::class_<Capped, UpdateRule> capped_class(
      m, "Capped", R"(The capped update of cuTAGI, for comparisons with published results.

mean' = mean + var G and var' = var - var^2 H, both changes bounded by sqrt(var) / cap; a variance
that would not be positive becomes 1e-5, but one of 0 stays. cap=None takes 0.1 for batches of 1, 2
below 256, and 3 from 256 on. Raises ValueError unless cap is None or positive, TypeError for
anything but a number.)");
  def_constructor(capped_class, py::init([](const Argument<std::optional<double>>& cap) {
                    return Capped(cap.as("cap"));
                  }),
                  py::arg("cap") = py::none());

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

  py::class_<PredictionSums>(m, "PredictionSums", "Sums over observed targets.")
      .def_readonly("squared_error", &PredictionSums::squared_error)
      .def_readonly("var", &PredictionSums::var)
      .def_readonly("noise_var", &PredictionSums::noise_var)
      .def_readonly("chi_square", &PredictionSums::chi_square)
      .def_readonly("log_likelihood", &PredictionSums::log_likelihood)
      .def_readonly("n_observed", &PredictionSums::n_observed);

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

  py::class_<Model, std::shared_ptr<Model>>(
      m, "Model", "A network with its parameters; tagix.nn.Sequential is its public face.")
      .def(py::init([](std::shared_ptr<Topology> topology, UpdateRule rule, std::uint64_t seed,
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
      .def_property(
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
      .def_property("epochs_trained", &Model::epochs_trained, &Model::set_epochs_trained)
      .def_property_readonly(
          "parameter_layout",
          [](const Model& model) {
            py::list layout;
            Index start = 0, number = 0;
            for (const auto& spec : model.parameters()) {
              if (!spec.is_fixed()) {
                layout.append(
                    py::make_tuple(number, spec.name, py::tuple(py::cast(spec.shape)), start));
              }
              ++number;
              start += spec.size();
            }
            return layout;
          },
          "(number, name, shape, start in get_parameters()) of each array that "
          "can be learned.")
      .def_property_readonly(
          "prior_std",
          [](const Model& model) {
            py::dict stds;
            for (const auto& spec : model.parameters()) {
              if (!spec.is_fixed()) stds[py::str(spec.name)] = spec.prior_std;
            }
            return stds;
          },
          "The standard deviation of each array before any data, by its name.")
      .def("parameter_mean",
           [](py::object self, Index i) { return parameter_plane(std::move(self), i, false); })
      .def("parameter_var",
           [](py::object self, Index i) { return parameter_plane(std::move(self), i, true); })
      .def("get_parameters",
           [](const Model& model) {
             Array mean = empty({model.parameter_count()}), var = empty({model.parameter_count()});
             const HostPointer<float> means = new_values_of(mean), variances = new_values_of(var);
             {
               const py::gil_scoped_release release;
               model.get_parameters(means, variances);
             }
             return std::make_pair(mean, var);
           })
      .def(
          "set_parameters",
          [](Model& model, const Array& mean, const Array& var) {
            require(mean.size() == model.parameter_count() && var.size() == mean.size(),
                    "parameters: got ", mean.size(), " means and ", var.size(),
                    " variances, needed ", model.parameter_count(), " each");
            const HostPointer<const float> means = values_of(mean), variances = values_of(var);
            const py::gil_scoped_release release;
            model.set_parameters(means, variances);
          },
          py::arg("mean").noconvert(), py::arg("var").noconvert())
      .def(
          "predict",
          [](const Model& model, const Array& x, const std::optional<Array>& x_var,
             const std::optional<Array>& noise_var) {
            const HostMoments input = host_moments(x, x_var);
            const Index outputs = model.output_features(input.cols);
            const HostNoise noise = host_noise(noise_var, input.rows, outputs);
            PredictionOf<Array> prediction({input.rows, outputs},
                                           noise_var || model.noise_head().exists());
            const auto arrays = prediction.arrays();
            {
              const py::gil_scoped_release release;
              model.predict(input, noise, arrays);
            }
            return prediction.tuple();
          },
          py::arg("x").noconvert(), py::arg("x_var").noconvert() = py::none(),
          py::arg("noise_var").noconvert() = py::none(),
          "mean, var, and, with noise variances or where the network infers them, the noise "
          "variances and the sums of both.")
      .def(
          "predict_proba",
          [](const Model& model, const Array& x, const std::optional<Array>& x_var) {
            const HostMoments input = host_moments(x, x_var);
            Array probabilities = empty({input.rows, model.class_head().n_classes});
            const HostPointer<float> data = new_values_of(probabilities);
            {
              const py::gil_scoped_release release;
              model.predict_proba(input, data);
            }
            return probabilities;
          },
          py::arg("x").noconvert(), py::arg("x_var").noconvert() = py::none(),
          "The probabilities of classes, for a network that has them.")
      .def(
          "jacobian",
          [](const Model& model, const Array& x, const std::optional<Array>& x_var,
             std::optional<Index> n_first) {
            const HostMoments input = host_moments(x, x_var);
            const Index n_inputs = n_first.value_or(input.cols);
            require(n_inputs >= 0 && n_inputs <= input.cols, "n_inputs: got ", n_inputs,
                    ", needed 0 to ", input.cols);
            Array jacobian = empty({input.rows, model.output_features(input.cols), n_inputs});
            const HostPointer<float> data = new_values_of(jacobian);
            {
              const py::gil_scoped_release release;
              model.jacobian(input, n_inputs, data);
            }
            return jacobian;
          },
          py::arg("x").noconvert(), py::arg("x_var").noconvert() = py::none(),
          py::arg("n_inputs") = py::none())
      .def(
          "covariance",
          [](const Model& model, const Array& x, const std::optional<Array>& x_var) {
            const HostMoments input = host_moments(x, x_var);
            const Index outputs = model.output_features(input.cols);
            Array covariance = empty({input.rows, outputs, outputs});
            const HostPointer<float> data = new_values_of(covariance);
            {
              const py::gil_scoped_release release;
              model.covariance(input, data);
            }
            return covariance;
          },
          py::arg("x").noconvert(), py::arg("x_var").noconvert() = py::none())
      .def(
          "draw",
          [](const Model& model, std::uint64_t seed) {
            const py::gil_scoped_release release;
            return model.draw(seed);
          },
          py::arg("seed"), "The network with means drawn from the posterior and variances of 0.")
      .def(
          "update",
          [](Model& model, const Array& x, const Array& y, const std::optional<Array>& noise_var,
             const std::optional<Array>& x_var, const std::optional<Array>& weight) {
            const Observation seen = observation(model, x, x_var, y, noise_var, weight);
            PredictionOf<Array> prediction({seen.input.rows, seen.outputs},
                                           !model.class_head().exists());
            const auto arrays = prediction.arrays();
            {
              const py::gil_scoped_release release;
              model.update(seen.input, seen.target, seen.noise, arrays);
            }
            return prediction.tuple();
          },
          py::arg("x").noconvert(), py::arg("y").noconvert(), py::arg("noise_var").noconvert(),
          py::arg("x_var").noconvert() = py::none(), py::arg("weight").noconvert() = py::none(),
          "The prediction made before, as predict.")
      .def(
          "predict_on_device",
          [](const Model& model, const CudaArgument& x, const std::optional<CudaArgument>& x_var,
             const std::optional<Array>& noise_var) {
            require_on_device(model);
            const ConstMomentsView input = device_moments(x, x_var);
            const Index outputs = model.output_features(input.cols);
            const HostNoise noise = host_noise(noise_var, input.rows, outputs);
            PredictionOf<CudaArray> prediction({input.rows, outputs},
                                               noise_var || model.noise_head().exists());
            const auto arrays = prediction.arrays();
            {
              const py::gil_scoped_release release;
              model.predict(input, noise, arrays);
            }
            return prediction.tuple();
          },
          py::arg("x"), py::arg("x_var") = py::none(),
          py::arg("noise_var").noconvert() = py::none(),
          "predict for arrays on the GPU, except noise_var.")
      .def(
          "update_on_device",
          [](Model& model, const CudaArgument& x, const CudaArgument& y,
             const std::optional<Array>& noise_var, const std::optional<CudaArgument>& x_var,
             const std::optional<Array>& weight) {
            require_on_device(model);
            const ConstMomentsView input = device_moments(x, x_var);
            const Index outputs = model.output_features(input.cols);
            require_target_shape(y, input.rows, model.target_features(input.cols));
            const HostNoise noise = host_noise(noise_var, weight, input.rows, outputs);
            PredictionOf<CudaArray> prediction({input.rows, outputs}, !model.class_head().exists());
            const auto arrays = prediction.arrays();
            {
              const py::gil_scoped_release release;
              model.update(input, y.data(), noise, arrays);
            }
            return prediction.tuple();
          },
          py::arg("x"), py::arg("y"), py::arg("noise_var").noconvert(),
          py::arg("x_var") = py::none(), py::arg("weight").noconvert() = py::none(),
          "update for arrays on the GPU, except noise_var and weight.")
      .def(
          "innovations",
          [](const Model& model, const Array& x, const Array& y,
             const std::optional<Array>& noise_var, const std::optional<Array>& x_var) {
            const Observation seen = observation(model, x, x_var, y, noise_var);
            Innovations result;
            {
              const py::gil_scoped_release release;
              result = model.innovations(seen.input, seen.target, seen.noise);
            }
            py::dict dict;
            dict["output"] = to_array(result.output, seen.input.rows);
            dict["input"] = to_array(result.input, seen.input.rows);
            dict["parameters"] = to_array(result.parameters, 1);
            return dict;
          },
          py::arg("x").noconvert(), py::arg("y").noconvert(), py::arg("noise_var").noconvert(),
          py::arg("x_var").noconvert() = py::none(),
          "delta_mean and delta_var (first axis) of outputs, inputs and parameters for a batch, "
          "without an update.")
      .def(
          "evaluate",
          [](const Model& model, const Array& x, const Array& y,
             const std::optional<Array>& noise_var) {
            const Observation seen = observation(model, x, std::nullopt, y, noise_var);
            const py::gil_scoped_release release;
            return model.evaluate(seen.input, seen.target, seen.noise);
          },
          py::arg("x").noconvert(), py::arg("y").noconvert(), py::arg("noise_var").noconvert());

  py::class_<BatchSource>(m, "BatchSource", "Rows to train on.")
      .def_property_readonly("n_rows", &BatchSource::n_rows);

  py::class_<RegressionSource, BatchSource>(m, "RegressionSource")
      .def(py::init([](const Model& model, const Array& x, const Array& y) {
             require_matrix("x", x, model.input_features().value_or(-1));
             require_matrix("y", y, model.target_features(x.shape(1)));
             require_same_rows("y", y, "x", x);
             require_targets(model.class_head(), values_of(y), y.shape(0), y.shape(1));
             auto source = std::make_unique<RegressionSource>(
                 model.backend(), values_of(x), values_of(y), x.shape(0), x.shape(1), y.shape(1));
             source->set_heads(model.noise_head(), model.class_head());
             return source;
           }),
           py::arg("model"), py::arg("x").noconvert(), py::arg("y").noconvert(),
           py::keep_alive<1, 2>())
      .def(py::init([](const Model& model, const CudaArgument& x, const CudaArgument& y) {
             require_on_device(model);
             const ConstMomentsView input = device_moments(x, std::nullopt);
             const Index outputs = model.target_features(input.cols);
             require_target_shape(y, input.rows, outputs);
             // The arguments, and so their owners, live as long as the source.
             auto owner = std::make_shared<std::pair<CudaArgument, CudaArgument>>(x, y);
             auto source =
                 std::make_unique<RegressionSource>(model.backend(), x.data(), y.data(), input.rows,
                                                    input.cols, outputs, std::move(owner));
             source->set_heads(model.noise_head(), model.class_head());
             return source;
           }),
           py::arg("model"), py::arg("x"), py::arg("y"), py::keep_alive<1, 2>(),
           "Rows that lie on the GPU, which stay there.")
      .def(
          "set_x_var",
          [](RegressionSource& source, const Array& x_var) {
            require_matrix("x_var", x_var, source.in_features());
            require(x_var.shape(0) == source.n_rows(), "x_var: got ", x_var.shape(0),
                    " rows, needed ", source.n_rows());
            source.set_x_var(values_of(x_var));
          },
          py::arg("x_var").noconvert())
      .def("set_noise_var", &RegressionSource::set_noise_var, py::arg("noise_var"))
      .def(
          "set_noise_var_per_target",
          [](RegressionSource& source, const Array& noise_var) {
            require_matrix("noise", noise_var, source.out_features());
            require(noise_var.shape(0) == source.n_rows(), "noise: got ", noise_var.shape(0),
                    " rows, needed ", source.n_rows());
            source.set_noise_var_per_target(values_of(noise_var));
          },
          py::arg("noise_var").noconvert())
      .def(
          "set_weight",
          [](RegressionSource& source, const Array& weight) {
            require_weight_of_rows(weight, source.n_rows());
            source.set_weight(values_of(weight));
          },
          py::arg("weight").noconvert());

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
