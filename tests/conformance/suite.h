#pragma once

#include <memory>
#include <string>
#include <vector>

#include "conformance/operation.h"
#include "core/backend.h"

namespace tagix::conformance {

/// A method of Backend with the operations that check it and those that time it.
struct Method {
  std::string name;
  Operations (*cases)();
  Operations (*benchmarks)();
};

/// Every method of Backend that computes.
const std::vector<Method>& methods();

/// Every backend of this machine: a CPU backend for each instruction set.
std::vector<std::shared_ptr<Backend>> backends();

}  // namespace tagix::conformance
