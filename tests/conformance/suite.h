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

/// An instruction set of this machine, in a precision that it has.
struct CpuVariant {
  std::string instruction_set;
  Precision precision;

  std::unique_ptr<Backend> make() const;
};

std::vector<CpuVariant> cpu_variants();

/// Every backend of this machine: the CPU's in all variants, and CUDA's where it can be used, in
/// the precisions that it has.
std::vector<std::shared_ptr<Backend>> backends();

/// Those of them that round nothing to less than float32.
std::vector<std::shared_ptr<Backend>> float32_backends();

/// One backend for each device: what a user gets who names it.
std::vector<std::shared_ptr<Backend>> devices();

}  // namespace tagix::conformance
