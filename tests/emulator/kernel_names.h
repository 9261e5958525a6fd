#pragma once

#include <string>

#include "host_side.h"

namespace tagix_emulator {

/// The name of the kernel, or else its signature.
std::string name_of(const Launch& launch);

}  // namespace tagix_emulator
