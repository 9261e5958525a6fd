#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "arguments.h"
#include "bindings.h"
#include "layers/activation.h"
#include "layers/class_embedding.h"
#include "layers/gated.h"
#include "layers/linear.h"
#include "layers/sequential.h"
#include "python_layer.h"

namespace tagix::python {
namespace {

math::MomentsForm parse_form(const Argument<std::string>& moments) {
  static constexpr Choice<math::MomentsForm> forms[] = {
      {"exact", math::MomentsForm::exact}, {"first_order", math::MomentsForm::first_order}};
  return choose("moments", moments, forms);
}

Linear::Init parse_init(const Argument<std::string>& init) {
  static constexpr Choice<Linear::Init> inits[] = {{"he", Linear::Init::he},
                                                   {"xavier", Linear::Init::xavier}};
  return choose("init", init, inits);
}

/// A C++ type for each activation, so that each is a Python class of its own.
template <math::ActivationKind kind>
class ActivationOf final : public Activation {
 public:
  ActivationOf(math::MomentsForm form, float negative_slope)
      : Activation({kind, form, negative_slope}) {}
};

template <math::ActivationKind kind>
auto activation_class(py::module_& m, const std::string& doc) {
  using Class = ActivationOf<kind>;
  return py::class_<Class, Layer, std::shared_ptr<Class>>(m, math::activation_name(kind),
                                                          doc.c_str());
}

/// The docstring of an activation with both forms of moments.
std::string activation_doc(const std::string& formula, const std::string& exact) {
  return formula + R"(, element by element: (batch, features) in and out.

For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
Cov(z, f(z)) / Var z, )" +
         exact + R"(.
moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
cpp/math/activations.h.

Raises ValueError for other moments, TypeError for anything but a string.)";
}

constexpr const char* gated_doc = R"((W x + b) sigmoid(V x + c): a gated linear unit.

Takes (batch, in_features) to (batch, out_features). W, V (out_features, in_features) and b, c
(out_features,) are the parameters value.weight, gate.weight, value.bias and gate.bias, with the
priors of nn.Linear; the two factors count as independent. Source: Dauphin et al., Language modeling
with gated convolutional networks (ICML, 2017).

Raises ValueError for feature counts below 1, TypeError for counts that are not integers.)";

constexpr float no_slope = 0.0f;

template <math::ActivationKind kind>
void bind_activation(py::module_& m, const std::string& formula, const std::string& exact) {
  auto cls = activation_class<kind>(m, activation_doc(formula, exact));
  def_constructor(cls, py::init([](const Argument<std::string>& moments) {
                    return std::make_shared<ActivationOf<kind>>(parse_form(moments), no_slope);
                  }),
                  py::arg("moments") = "exact");
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

/// A pair of Python functions over float32 arrays.
class PythonFunction final : public ScalarFunction {
 public:
  PythonFunction(py::object value, py::object derivative)
      : value_(std::move(value)), derivative_(std::move(derivative)) {
    require_callable("value", value_);
    require_callable("derivative", derivative_);
  }
  PythonFunction(const PythonFunction&) = delete;
  PythonFunction& operator=(const PythonFunction&) = delete;
  ~PythonFunction() override {
    const py::gil_scoped_acquire gil;
    value_ = py::object();
    derivative_ = py::object();
  }

  const py::object& value() const { return value_; }
  const py::object& derivative() const { return derivative_; }

  void evaluate(const float* points, Index count, float* values,
                float* derivatives) const override {
    const py::gil_scoped_acquire gil;
    call("value", value_, points, count, values);
    call("derivative", derivative_, points, count, derivatives);
  }

 private:
  static void require_callable(const char* name, const py::object& object) {
    if (!PyCallable_Check(object.ptr())) {
      throw_wrong_type(name, object, "a function of a float32 array");
    }
  }

  /// Each call gets a copy of the points of its own: a function may work in place, or keep its
  /// argument, and nothing else changes by it.
  static void call(const char* name, const py::object& function, const float* points, Index count,
                   float* out) {
    const auto result = py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(
        function(Array(count, points)));
    if (!result) {
      PyErr_Clear();
      throw py::type_error(text(name, ": the function returned something that is not an array of ",
                                "numbers, needed an array of the shape it was given"));
    }
    require(result.ndim() == 1 && result.shape(0) == count, name,
            ": the function returned an array of ", result.ndim(), " dimensions and ",
            result.size(), " values, needed the shape it was given, (", count, ",)");
    std::copy(result.data(), result.data() + count, out);
    for (Index i = 0; i < count; ++i) {
      // Points that have overflowed themselves are not the function's fault.
      if (std::isfinite(out[i]) || !std::isfinite(points[i])) continue;
      const float shown = std::isnan(out[i]) ? std::abs(out[i]) : out[i];  // a NaN has a sign, too
      throw std::invalid_argument(text(name, ": the function ", shown_name(function),
                                       " of nn.Activation returned ", shown, " at ", points[i],
                                       ", needed finite numbers"));
    }
  }

  static std::string shown_name(const py::object& function) {
    return py::str(py::getattr(function, "__name__", py::repr(function)));
  }

  py::object value_;
  py::object derivative_;
};

py::dict config_dict(const Layer& layer) {
  py::dict dict;
  for (const auto& [key, value] : layer.config()) dict[py::str(key)] = py::cast(value);
  return dict;
}

}  // namespace

void bind_layers(py::module_& m) {
  using math::ActivationKind;

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

  auto identity_class = activation_class<ActivationKind::identity>(
      m, "f(z) = z, element by element: (batch, features) in and out, moments unchanged.");
  def_constructor(identity_class, py::init([] {
                    return std::make_shared<ActivationOf<ActivationKind::identity>>(
                        math::MomentsForm::exact, no_slope);
                  }));
  const std::string quadrature = "by a trapezoid rule of 30 nodes (cpp/math/quadrature.h)";
  bind_activation<ActivationKind::relu>(m, "f(z) = max(z, 0)", "in closed form");
  auto leaky_relu_class = activation_class<ActivationKind::leaky_relu>(
      m, activation_doc("f(z) = max(z, 0) + negative_slope min(z, 0)", "in closed form") +
             "\nValueError for a slope that is not finite, too.");
  def_constructor(
      leaky_relu_class,
      py::init([](const Argument<double>& negative_slope, const Argument<std::string>& moments) {
        return std::make_shared<ActivationOf<ActivationKind::leaky_relu>>(
            parse_form(moments), static_cast<float>(negative_slope.as("negative_slope")));
      }),
      py::arg("negative_slope") = 0.01, py::arg("moments") = "exact");
  bind_activation<ActivationKind::hardtanh>(m, "f(z) = min(max(z, -1), 1)", "in closed form");
  bind_activation<ActivationKind::sigmoid>(m, "f(z) = 1 / (1 + exp(-z))", quadrature);
  bind_activation<ActivationKind::tanh>(m, "f(z) = tanh(z)", quadrature);
  bind_activation<ActivationKind::softplus>(m, "f(z) = log(1 + exp(z))", quadrature);
  bind_activation<ActivationKind::silu>(m, "f(z) = z / (1 + exp(-z))", quadrature);
  bind_activation<ActivationKind::gelu>(
      m, "f(z) = z Phi(z), Phi the standard normal distribution",
      "in closed form, the variance by a trapezoid rule of 30 nodes "
      "(cpp/math/quadrature.h)");
  bind_activation<ActivationKind::exp>(m, "f(z) = exp(z)", "in closed form, as f(z) is log-normal");

  py::class_<FunctionActivation, Layer, std::shared_ptr<FunctionActivation>> function_class(
      m, "Activation", R"(An activation of your own, from its value and its derivative.

Both are functions of a one-dimensional float32 array that return an array of the same shape, as
nn.Activation(np.sin, np.cos). Each call gets an array of its own, which a function may overwrite.
moments="exact" integrates over the Gaussian input by a trapezoid rule of 30 nodes
(cpp/math/quadrature.h), "first_order" linearises at its mean (Goulet, Nguyen & Amiri, JMLR 22, 2021).

Raises TypeError if they are not functions, ValueError for other moments. A function that returns
another shape, NaN or infinity makes the call of the network a ValueError that names it; what a
function raises itself passes through.)");
  def_constructor(
      function_class,
      py::init([](py::object value, py::object derivative, const Argument<std::string>& moments) {
        return std::make_shared<FunctionActivation>(
            std::make_shared<PythonFunction>(std::move(value), std::move(derivative)),
            parse_form(moments));
      }),
      py::arg("value"), py::arg("derivative"), py::arg("moments") = "exact");
  function_class.def_property_readonly("config", [](const FunctionActivation& self) {
    py::dict dict = config_dict(self);
    const auto& function = dynamic_cast<const PythonFunction&>(self.function());
    dict["value"] = function.value();
    dict["derivative"] = function.derivative();
    return dict;
  });

  py::class_<Sequential, Layer, std::shared_ptr<Sequential>>(
      m, "Container", "Layers one after the other, as tagix.nn.Sequential describes them.")
      .def(py::init([](const std::vector<std::shared_ptr<Layer>>& layers) {
             return std::make_shared<Sequential>(
                 std::vector<std::shared_ptr<const Layer>>(layers.begin(), layers.end()));
           }),
           py::arg("layers"));

  py::class_<PythonLayer, Layer, std::shared_ptr<PythonLayer>>(m, "PythonLayer",
                                                               "A module of tagix.nn as a layer.")
      .def(py::init<std::string, py::object>(), py::arg("name"), py::arg("write"));
  bind_joining_layers(m);
  bind_two_counts<Gated>(m, "Gated", gated_doc);
}

}  // namespace tagix::python
