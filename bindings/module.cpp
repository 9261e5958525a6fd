#include <cstdint>

#include "bindings.h"
#include "core/index.h"
#include "math/philox.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "The compiled core of tagix. Use it through the package.";
  m.attr("__version__") = TAGIX_VERSION;

  using namespace tagix::python;
  bind_threads(m);
  bind_devices(m);
  m.def(
      "derive_seed",
      [](std::uint64_t seed, std::uint64_t count) {
        return tagix::math::derived_seed(seed, count);
      },
      py::arg("seed"), py::arg("count"), "The `count`-th seed, in [0, 2^63), derived from a seed.");

  bind_cuda_array(m);
  bind_cuda_argument(m);
  bind_layers(m);
  bind_noise(m);
  bind_graph_builder(m);
  bind_topology(m);
  bind_likelihood(m);
  bind_update_rules(m);
  bind_forgetting(m);
  bind_records(m);
  bind_model(m);
  bind_sources(m);
  bind_trainer(m);
  bind_diffusion(m);
  bind_encoding(m);
  bind_stream(m);
}
