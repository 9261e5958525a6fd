#include <memory>
#include <string>
#include <utility>

#include "arguments.h"
#include "bindings.h"
#include "constructors.h"
#include "layer_objects.h"
#include "layers/activation.h"
#include "python_function.h"

namespace tagix::python {
namespace {

math::MomentsForm parse_form(const Argument<std::string>& moments) {
  static constexpr Choice<math::MomentsForm> forms[] = {
      {"exact", math::MomentsForm::exact}, {"first_order", math::MomentsForm::first_order}};
  return choose("moments", moments, forms);
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

constexpr float no_slope = 0.0f;

/// An activation with both forms of moments and no other argument.
template <math::ActivationKind kind>
void bind_activation(py::module_& m, const std::string& formula, const std::string& exact) {
  auto cls = activation_class<kind>(m, activation_doc(formula, exact));
  def_constructor(cls, py::init([](const Argument<std::string>& moments) {
                    return std::make_shared<ActivationOf<kind>>(parse_form(moments), no_slope);
                  }),
                  py::arg("moments") = "exact");
}

void bind_identity(py::module_& m) {
  auto identity_class = activation_class<math::ActivationKind::identity>(
      m, "f(z) = z, element by element: (batch, features) in and out, moments unchanged.");
  def_constructor(identity_class, py::init([] {
                    return std::make_shared<ActivationOf<math::ActivationKind::identity>>(
                        math::MomentsForm::exact, no_slope);
                  }));
}

void bind_leaky_relu(py::module_& m) {
  auto leaky_relu_class = activation_class<math::ActivationKind::leaky_relu>(
      m, activation_doc("f(z) = max(z, 0) + negative_slope min(z, 0)", "in closed form") +
             "\nValueError for a slope that is not finite, too.");
  def_constructor(
      leaky_relu_class,
      py::init([](const Argument<double>& negative_slope, const Argument<std::string>& moments) {
        return std::make_shared<ActivationOf<math::ActivationKind::leaky_relu>>(
            parse_form(moments), static_cast<float>(negative_slope.as("negative_slope")));
      }),
      py::arg("negative_slope") = 0.01, py::arg("moments") = "exact");
}

/// The activation made of functions of Python's.
void bind_function_activation(py::module_& m) {
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
}

}  // namespace

void bind_activations(py::module_& m) {
  using math::ActivationKind;
  const std::string mixture =
      "of a mixture of normals in place of the sigmoid (cpp/math/logistic_moments.h)";
  bind_identity(m);
  bind_activation<ActivationKind::relu>(m, "f(z) = max(z, 0)", "in closed form");
  bind_leaky_relu(m);
  bind_activation<ActivationKind::hardtanh>(m, "f(z) = min(max(z, -1), 1)", "in closed form");
  bind_activation<ActivationKind::sigmoid>(m, "f(z) = 1 / (1 + exp(-z))", mixture);
  bind_activation<ActivationKind::tanh>(m, "f(z) = tanh(z)", mixture);
  bind_activation<ActivationKind::softplus>(
      m, "f(z) = log(1 + exp(z))", "by quadrature with 12 or 30 nodes (cpp/math/quadrature.h)");
  bind_activation<ActivationKind::silu>(m, "f(z) = z / (1 + exp(-z))", mixture);
  bind_activation<ActivationKind::gelu>(
      m, "f(z) = z Phi(z), Phi the standard normal distribution",
      "in closed form, the variance with an integral by 5 nodes (cpp/math/smooth_activations.h)");
  bind_activation<ActivationKind::exp>(m, "f(z) = exp(z)", "in closed form, as f(z) is log-normal");
  bind_function_activation(m);
}

}  // namespace tagix::python
