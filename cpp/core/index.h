#pragma once

#include <cstdint>

namespace tagix {

/// Counts of rows, columns and elements, everywhere.
using Index = std::int64_t;

}  // namespace tagix
