#include <limits>

#include "arguments.h"
#include "bindings.h"
#include "core/backend.h"
#include "core/cuda.h"
#include "cpu/instruction_set.h"
#include "cpu/threads.h"

namespace py = pybind11;
using tagix::python::Argument;
using tagix::python::parse_precision;

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "The compiled core of tagix. Use it through the package.";
  m.attr("__version__") = TAGIX_VERSION;

  m.def(
      "set_num_threads",
      [](const Argument<tagix::Index>& n) {
        // Beyond int the core would see another number.
        constexpr tagix::Index most = std::numeric_limits<int>::max();
        const tagix::Index count = n.as("n");
        tagix::require(count <= most, "n: got ", count, ", needed at most ", most);
        const py::gil_scoped_release release;
        tagix::cpu::set_thread_count(static_cast<int>(count));
      },
      py::arg("n"),
      R"(Set how many threads a call may use, the calling one included.

Holds for the whole process, from the next call on; results do not depend on it. Raises ValueError
for less than 1, TypeError for anything but an integer; the number is then as it was.)");
  m.def("get_num_threads", &tagix::cpu::thread_count,
        "How many threads a call may use; at first, the processors this process may run on.");
  m.def(
      "instruction_sets", &tagix::cpu::supported_instruction_sets,
      "The instruction sets that this build has kernels for and this processor runs, the best "
      "first. The environment variable TAGIX_INSTRUCTION_SET chooses one; it is read once, when "
      "the first network or diffusion model is made, which raises ValueError for an unknown name.");
  m.def(
      "backend_name",
      [](const Argument<std::string>& device, const Argument<std::string>& precision) {
        return tagix::python::parse_backend(device, parse_precision(precision))->name();
      },
      py::arg("device"), py::arg("precision") = "float32",
      "The device, what it runs on and its precision, as 'cpu (x86-64-v4, float32)'. Raises "
      "ValueError for a device or a precision that is not there, and says why not.");
  m.def(
      "peak_flops",
      [](const Argument<std::string>& precision) {
        const bool rounds = parse_precision(precision) == tagix::Precision::bfloat16;
        const tagix::cpu::Kernels& kernels = tagix::cpu::default_kernels();
        tagix::require(!rounds || kernels.has_bfloat16,
                       "precision: got 'bfloat16', needed "
                       "'float32': this processor has no products of bfloat16");
        const py::gil_scoped_release release;
        return tagix::cpu::peak_flops(
            kernels, rounds ? tagix::cpu::Format::bfloat16 : tagix::cpu::Format::float32);
      },
      py::arg("precision") = "float32",
      "The FLOP/s of multiply-adds in registers on one core: what no matrix product can beat.");
  m.def(
      "has_precision",
      [](const Argument<std::string>& precision, const Argument<std::string>& device) {
        static constexpr tagix::python::Choice<bool> devices[] = {{"cpu", false}, {"cuda", true}};
        const bool on_cuda = tagix::python::choose("device", device, devices);
        const tagix::Precision wanted = parse_precision(precision);
        return on_cuda ? tagix::cuda_has(wanted) : tagix::cpu_has(wanted);
      },
      py::arg("precision"), py::arg("device") = "cpu",
      "Whether this processor, or device 'cuda' wherever it can be used, has a precision.");
  m.def(
      "derive_seed",
      [](std::uint64_t seed, std::uint64_t count) {
        return tagix::math::derived_seed(seed, count);
      },
      py::arg("seed"), py::arg("count"), "The `count`-th seed, in [0, 2^63), derived from a seed.");

  tagix::python::bind_cuda(m);
  tagix::python::bind_layers(m);
  tagix::python::bind_noise(m);
  tagix::python::bind_graph(m);
  tagix::python::bind_likelihood(m);
  tagix::python::bind_model(m);
  tagix::python::bind_diffusion(m);
  tagix::python::bind_encoding(m);
  tagix::python::bind_stream(m);
}
