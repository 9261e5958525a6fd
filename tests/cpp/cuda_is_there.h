#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "core/cuda.h"

namespace tagix::test {

/// Whether tests of device "cuda" can run; says why not. Where the environment variable
/// TAGIX_REQUIRE_CUDA is set they have to, and the test fails.
inline bool cuda_is_there() {
  const std::optional<std::string> why_not = cuda_why_not();
  const std::string reason = "not run: " + why_not.value_or("");
  if (why_not && std::getenv("TAGIX_REQUIRE_CUDA") != nullptr) FAIL(reason);
  if (why_not) MESSAGE(reason);
  return !why_not;
}

}  // namespace tagix::test
