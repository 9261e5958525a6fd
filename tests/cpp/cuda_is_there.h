#pragma once

#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "core/cuda.h"

namespace tagix::test {

/// Whether tests of device "cuda" can run; says why not.
inline bool cuda_is_there() {
  const std::optional<std::string> why_not = cuda_why_not();
  if (why_not) MESSAGE("not run: " << *why_not);
  return !why_not;
}

}  // namespace tagix::test
