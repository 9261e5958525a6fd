#pragma once

#include <string>
#include <vector>

#include "cpu/kernels.h"

namespace tagix::cpu {

/// The instruction sets that this build has kernels for and this processor runs, the best first.
std::vector<std::string> supported_instruction_sets();

/// The kernels of an instruction set. Throws std::invalid_argument, with the supported ones, for
/// any other name, which the message calls `argument`.
const Kernels& kernels_for(const std::string& instruction_set,
                           const std::string& argument = "instruction_set");

/// The kernels of the best instruction set, or of the one that the environment variable
/// TAGIX_INSTRUCTION_SET names.
const Kernels& default_kernels();

/// The FLOP/s of multiply-adds in registers on one core, the best of several runs of about a
/// millisecond: what no product of that format can beat. A product of two numbers and its addition
/// count as 2.
double peak_flops(const Kernels& kernels, Format format);

}  // namespace tagix::cpu
