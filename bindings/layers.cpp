#include <memory>
#include <string>
#include <vector>

#include "bindings.h"
#include "layers/activation.h"
#include "layers/linear.h"
#include "layers/sequential.h"

namespace tagix::python {
namespace {

math::MomentsForm parse_form(const std::string& moments) {
  require(moments == "exact" || moments == "first_order", "moments: got '", moments,
          "', needed 'exact' or 'first_order'");
  return moments == "exact" ? math::MomentsForm::exact : math::MomentsForm::first_order;
}

Linear::Init parse_init(const std::string& init) {
  require(init == "he" || init == "xavier", "init: got '", init, "', needed 'he' or 'xavier'");
  return init == "he" ? Linear::Init::he : Linear::Init::xavier;
}

/// A C++ type for each activation, so that each is a Python class of its own.
template <math::ActivationKind kind>
class ActivationOf final : public Activation {
 public:
  ActivationOf(math::MomentsForm form, float negative_slope)
      : Activation({kind, form, negative_slope}) {}
};

template <math::ActivationKind kind>
auto activation_class(py::module_& m, const char* doc) {
  using Class = ActivationOf<kind>;
  return py::class_<Class, Layer, std::shared_ptr<Class>>(m, math::activation_name(kind), doc);
}

constexpr float no_slope = 0.0f;

template <math::ActivationKind kind>
void bind_activation(py::module_& m, const char* doc) {
  activation_class<kind>(m, doc).def(py::init([](const std::string& moments) {
                                       return std::make_shared<ActivationOf<kind>>(
                                           parse_form(moments), no_slope);
                                     }),
                                     py::arg("moments") = "exact");
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
    const Array array(count, points);
    call("value", value_, array, count, values);
    call("derivative", derivative_, array, count, derivatives);
  }

 private:
  static void require_callable(const char* name, const py::object& object) {
    if (!PyCallable_Check(object.ptr())) {
      throw py::type_error(text(name, ": got ", std::string(py::str(py::type::of(object))),
                                ", needed a function of a float32 array"));
    }
  }

  static void call(const char* name, const py::object& function, const Array& points, Index count,
                   float* out) {
    const auto result =
        py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(function(points));
    if (!result) {
      PyErr_Clear();
      throw py::type_error(text(name, ": the function returned something that is not an array of ",
                                "numbers, needed an array of the shape it was given"));
    }
    require(result.ndim() == 1 && result.shape(0) == count, name,
            ": the function returned an array of ", result.ndim(), " dimensions and ",
            result.size(), " values, needed the shape it was given, (", count, ",)");
    std::copy(result.data(), result.data() + count, out);
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
                             "The number of input features, or None where any will do.");
  bind_as_value(layer_class);

  py::class_<Linear, Layer, std::shared_ptr<Linear>>(m, "Linear", R"(z = a W^T + b.

The weight (out_features, in_features) and the bias (out_features,) are independent Gaussians. Before
training their means are drawn from N(0, s^2) and their variances are s^2, with s = gain * scale and
scale = sqrt(1 / in_features) for init="he", sqrt(2 / (in_features + out_features)) for "xavier".

Raises ValueError for feature counts below 1, gains outside [1e-12, 1e12], or an unknown init.)")
      .def(py::init([](Index in_features, Index out_features, bool bias, const std::string& init,
                       double gain_weight, double gain_bias) {
             return std::make_shared<Linear>(in_features, out_features, bias, parse_init(init),
                                             gain_weight, gain_bias);
           }),
           py::arg("in_features"), py::arg("out_features"), py::arg("bias") = true, py::kw_only(),
           py::arg("init") = "he", py::arg("gain_weight") = 1.0, py::arg("gain_bias") = 1.0);

  activation_class<ActivationKind::identity>(m, "f(z) = z.").def(py::init([] {
    return std::make_shared<ActivationOf<ActivationKind::identity>>(math::MomentsForm::exact,
                                                                    no_slope);
  }));
  bind_activation<ActivationKind::relu>(
      m,
      "f(z) = max(z, 0). moments=\"exact\" integrates over the Gaussian z in closed form; "
      "\"first_order\" linearises at its mean, as the published TAGI results do, which is cheaper "
      "and gives variances that are several times too small.");
  activation_class<ActivationKind::leaky_relu>(
      m,
      "f(z) = max(z, 0) + negative_slope min(z, 0), with exact (closed form) or first-order "
      "moments.")
      .def(py::init([](double negative_slope, const std::string& moments) {
             return std::make_shared<ActivationOf<ActivationKind::leaky_relu>>(
                 parse_form(moments), static_cast<float>(negative_slope));
           }),
           py::arg("negative_slope") = 0.01, py::arg("moments") = "exact");
  bind_activation<ActivationKind::hardtanh>(
      m, "f(z) = min(max(z, -1), 1), with exact (closed form) or first-order moments.");
  bind_activation<ActivationKind::sigmoid>(
      m, "f(z) = 1 / (1 + exp(-z)), with exact (quadrature) or first-order moments.");
  bind_activation<ActivationKind::tanh>(
      m, "f(z) = tanh(z), with exact (quadrature) or first-order moments.");
  bind_activation<ActivationKind::softplus>(
      m, "f(z) = log(1 + exp(z)), with exact (quadrature) or first-order moments.");
  bind_activation<ActivationKind::silu>(
      m, "f(z) = z / (1 + exp(-z)), with exact (quadrature) or first-order moments.");
  bind_activation<ActivationKind::gelu>(
      m,
      "f(z) = z Phi(z), Phi the normal distribution, with exact (closed form, the variance by "
      "quadrature) or first-order moments.");
  bind_activation<ActivationKind::exp>(
      m, "f(z) = exp(z), with exact (log-normal, closed form) or first-order moments.");

  py::class_<FunctionActivation, Layer, std::shared_ptr<FunctionActivation>>(
      m, "Activation", R"(An activation of your own, from its value and its derivative.

Both are functions of a one-dimensional float32 array that return an array of the same shape, as
nn.Activation(np.sin, np.cos). moments="exact" integrates over the Gaussian input by quadrature,
"first_order" linearises at its mean. Raises TypeError if they are not functions.)")
      .def(py::init([](py::object value, py::object derivative, const std::string& moments) {
             return std::make_shared<FunctionActivation>(
                 std::make_shared<PythonFunction>(std::move(value), std::move(derivative)),
                 parse_form(moments));
           }),
           py::arg("value"), py::arg("derivative"), py::arg("moments") = "exact")
      .def_property_readonly("config", [](const FunctionActivation& self) {
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
}

}  // namespace tagix::python
