#include "core/require.h"

#include <cmath>

namespace tagix {
namespace {

template <class Accept>
void require_each(const char* name, const float* values, Index size, const char* needed,
                  Accept accept) {
  for (Index i = 0; i < size; ++i) {
    require(accept(values[i]), name, ": got ", values[i], " at flat position ", i, ", needed ",
            needed);
  }
}

}  // namespace

void require_finite(const char* name, const float* values, Index size) {
  require_each(name, values, size, "finite float32 values (no NaN, no infinity)",
               [](float value) { return std::isfinite(value); });
}

void require_finite_or_missing(const char* name, const float* values, Index size) {
  require_each(name, values, size, "finite float32 values, or NaN for a missing observation",
               [](float value) { return !std::isinf(value); });
}

void require_variances(const char* name, const float* values, Index size) {
  require_each(name, values, size, "finite variances of at least 0",
               [](float value) { return std::isfinite(value) && value >= 0; });
}

void require_positive(const char* name, const float* values, Index size) {
  require_each(name, values, size, "finite values above 0",
               [](float value) { return std::isfinite(value) && value > 0; });
}

}  // namespace tagix
