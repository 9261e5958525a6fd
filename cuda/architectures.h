#pragma once

#include <string_view>
#include <vector>

// The code of the kernels in this build: machine code for some GPUs, and PTX, which the driver
// compiles for a GPU when it first runs there. A kernel's features are those of the architecture
// that its code was compiled for, not those of the GPU.

namespace tagix::cuda {

/// Compute capabilities, as 80 for 8.0.
struct Architectures {
  std::vector<int> machine_code;
  std::vector<int> ptx;

  bool empty() const { return machine_code.empty() && ptx.empty(); }
};

/// Reads a list as CMake has it, but with commas: "75-real,80", of which "80" is both.
Architectures parse_architectures(std::string_view list);

/// The architecture of the code that a GPU runs, by the driver's rules: the newest machine code of
/// its generation that is not newer than it, else the newest PTX that is not. 0 where it has none,
/// and the GPU's own where nothing is known of the code.
int code_for(const Architectures& architectures, int compute_capability);

/// Those of this build, unknown on the emulator.
const Architectures& compiled_architectures();

}  // namespace tagix::cuda
