#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace tagix::python {

namespace py = pybind11;

/// The module's classes and functions, by topic. Signatures in docstrings name what has been bound
/// before: PYBIND11_MODULE has the order.
void bind_threads(py::module_& m);
void bind_devices(py::module_& m);
void bind_cuda_array(py::module_& m);
void bind_cuda_argument(py::module_& m);
void bind_layers(py::module_& m);
void bind_activations(py::module_& m);
void bind_image_layers(py::module_& m);
void bind_joining_layers(py::module_& m);
void bind_noise(py::module_& m);
void bind_graph_builder(py::module_& m);
void bind_topology(py::module_& m);
void bind_likelihood(py::module_& m);
void bind_update_rules(py::module_& m);
void bind_forgetting(py::module_& m);
void bind_records(py::module_& m);
void bind_model(py::module_& m);
void bind_sources(py::module_& m);
void bind_trainer(py::module_& m);
void bind_diffusion(py::module_& m);
void bind_encoding(py::module_& m);
void bind_stream(py::module_& m);

}  // namespace tagix::python
