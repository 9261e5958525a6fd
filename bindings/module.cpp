#include "bindings.h"
#include "core/backend.h"
#include "cpu/instruction_set.h"
#include "cpu/threads.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "The compiled core of tagix. Use it through the package.";
  m.attr("__version__") = TAGIX_VERSION;

  m.def("set_num_threads", &tagix::cpu::set_thread_count, py::arg("n"),
        py::call_guard<py::gil_scoped_release>(),
        "Set how many threads a call may use, the calling one included (at least 1).");
  m.def("get_num_threads", &tagix::cpu::thread_count,
        "How many threads a call may use; at first, the processors this process may run on.");
  m.def("instruction_sets", &tagix::cpu::supported_instruction_sets,
        "The instruction sets that this build has kernels for and this processor runs, the best "
        "first. The environment variable TAGIX_INSTRUCTION_SET chooses one at import.");
  m.def(
      "backend_name", [](const std::string& device) { return tagix::backend_for(device)->name(); },
      py::arg("device"), "The device and what it runs on, as 'cpu (x86-64-v4)'.");
  m.def(
      "derive_seed",
      [](std::uint64_t seed, std::uint64_t count) {
        const tagix::math::Philox4 words = tagix::math::philox(
            seed,
            {{static_cast<std::uint32_t>(count), static_cast<std::uint32_t>(count >> 32), 0, 0}});
        return (std::uint64_t{words.word[0]} << 32 | words.word[1]) >> 1;
      },
      py::arg("seed"), py::arg("count"), "The `count`-th seed, in [0, 2^63), derived from a seed.");

  tagix::python::bind_layers(m);
  tagix::python::bind_model(m);
  tagix::python::bind_diffusion(m);
}
