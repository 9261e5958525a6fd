#include "devices.h"

#include <optional>
#include <string>

#include "bindings.h"
#include "core/cuda.h"
#include "cpu/instruction_set.h"

namespace tagix::python {
namespace {

void bind_cpu(py::module_& m) {
  m.def(
      "instruction_sets", &cpu::supported_instruction_sets,
      "The instruction sets that this build has kernels for and this processor runs, the best "
      "first. The environment variable TAGIX_INSTRUCTION_SET chooses one; it is read once, when "
      "the first network or diffusion model is made, which raises ValueError for an unknown name.");
  m.def(
      "peak_flops",
      [](const Argument<std::string>& precision) {
        const bool rounds = parse_precision(precision) == Precision::bfloat16;
        const cpu::Kernels& kernels = cpu::default_kernels();
        require(!rounds || kernels.has_bfloat16,
                "precision: got 'bfloat16', needed "
                "'float32': this processor has no products of bfloat16");
        const py::gil_scoped_release release;
        return cpu::peak_flops(kernels, rounds ? cpu::Format::bfloat16 : cpu::Format::float32);
      },
      py::arg("precision") = "float32",
      "The FLOP/s of multiply-adds in registers on one core: what no matrix product can beat.");
}

void bind_cuda(py::module_& m) {
  m.def("cuda_is_built", &cuda_is_built, "Whether this build has CUDA kernels.");
  m.def("cuda_architectures", &cuda_architectures,
        "What GPUs the kernels of this build were compiled for.");
  m.def("cuda_why_not", &cuda_why_not, "Why device 'cuda' cannot be used, or None where it can.");
  m.def("cuda_device_name", &cuda_device_name,
        "The name of the GPU. Raises ValueError where CUDA cannot be used.");
}

}  // namespace

Precision parse_precision(const Argument<std::string>& precision) {
  static constexpr Choice<Precision> precisions[] = {{"float32", Precision::float32},
                                                     {"mixed", Precision::mixed},
                                                     {"bfloat16", Precision::bfloat16}};
  return choose("precision", precision, precisions);
}

std::shared_ptr<Backend> parse_backend(const Argument<std::string>& device, Precision precision) {
  const std::string name = device.as("device");
  if (name == "cuda") {
    const std::optional<std::string> why_not = cuda_why_not();
    require(!why_not, "device: got 'cuda', needed 'cpu': ", why_not.value_or(""));
  }
  return backend_for(name, precision);
}

void bind_devices(py::module_& m) {
  bind_cpu(m);
  bind_cuda(m);
  m.def(
      "backend_name",
      [](const Argument<std::string>& device, const Argument<std::string>& precision) {
        return parse_backend(device, parse_precision(precision))->name();
      },
      py::arg("device"), py::arg("precision") = "float32",
      "The device, what it runs on and its precision, as 'cpu (x86-64-v4, float32)'. Raises "
      "ValueError for a device or a precision that is not there, and says why not.");
  m.def(
      "has_precision",
      [](const Argument<std::string>& precision, const Argument<std::string>& device) {
        static constexpr Choice<bool> devices[] = {{"cpu", false}, {"cuda", true}};
        const bool on_cuda = choose("device", device, devices);
        const Precision wanted = parse_precision(precision);
        return on_cuda ? cuda_has(wanted) : cpu_has(wanted);
      },
      py::arg("precision"), py::arg("device") = "cpu",
      "Whether this processor, or device 'cuda' wherever it can be used, has a precision.");
}

}  // namespace tagix::python
