#include <utility>

#include "arrays.h"
#include "model_class.h"

namespace tagix::python {
namespace {

/// The bytes from one element to the next along each axis.
std::vector<py::ssize_t> strides_of(const ParameterSpec& spec) {
  std::vector<py::ssize_t> strides(spec.shape.size());
  auto stride = static_cast<py::ssize_t>(sizeof(float));
  for (std::size_t i = strides.size(); i-- > 0;) {
    const auto axis = static_cast<std::size_t>(spec.axis_in_memory(i));
    strides[axis] = stride;
    stride *= static_cast<py::ssize_t>(spec.shape[axis]);
  }
  return strides;
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
    return Array(spec.shape, strides_of(spec), (variances ? view.var : view.mean) + offset, self);
  }
  Array copy(spec.shape, strides_of(spec));
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

std::vector<Index> memory_axes_of(const ParameterSpec& spec) {
  std::vector<Index> axes;
  for (std::size_t i = 0; i < spec.shape.size(); ++i) axes.push_back(spec.axis_in_memory(i));
  return axes;
}

}  // namespace

void bind_parameters(ModelClass& cls) {
  cls.def_property_readonly(
         "parameter_layout",
         [](const Model& model) {
           py::list layout;
           Index start = 0, number = 0;
           for (const auto& spec : model.parameters()) {
             if (!spec.is_fixed()) {
               layout.append(py::make_tuple(number, spec.name, py::tuple(py::cast(spec.shape)),
                                            start, py::tuple(py::cast(memory_axes_of(spec)))));
             }
             ++number;
             start += spec.size();
           }
           return layout;
         },
         "(number, name, shape, start in get_parameters(), axes in their order there) of each "
         "array that can be learned.")
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
          py::arg("mean").noconvert(), py::arg("var").noconvert());
}

}  // namespace tagix::python
