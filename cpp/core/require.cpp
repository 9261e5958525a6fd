#include "core/require.h"

#include <bit>
#include <cstdint>

namespace tagix {
namespace {

constexpr std::uint32_t infinity_bits = 0x7f800000;
constexpr std::uint32_t minus_zero_bits = 0x80000000;

std::uint32_t magnitude(std::uint32_t bits) { return bits & ~minus_zero_bits; }

constexpr auto is_finite = [](std::uint32_t bits) { return magnitude(bits) < infinity_bits; };

constexpr auto is_finite_and_not_negative = [](std::uint32_t bits) {
  return bits < infinity_bits || bits == minus_zero_bits;
};

/// Whether the bits of all values are accepted. It looks at each, without a branch, so that the
/// loop runs on vectors: a user's arrays are checked on every call.
template <class Accept>
bool all_accepted(HostPointer<const float> values, Index size, Accept accept) {
  std::uint32_t refused = 0;
  for (Index i = 0; i < size; ++i) {
    refused |= accept(std::bit_cast<std::uint32_t>(values[i])) ? 0 : 1;
  }
  return refused == 0;
}

/// Throws for the first value whose bits are not accepted.
template <class Accept>
void require_each(const char* name, HostPointer<const float> values, Index size, const char* needed,
                  Accept accept) {
  if (all_accepted(values, size, accept)) return;
  for (Index i = 0; i < size; ++i) {
    require(accept(std::bit_cast<std::uint32_t>(values[i])), name, ": got ", values[i],
            " at flat position ", i, ", needed ", needed);
  }
}

}  // namespace

bool all_finite(HostPointer<const float> values, Index size) {
  return all_accepted(values, size, is_finite);
}

void require_finite(const char* name, HostPointer<const float> values, Index size) {
  require_each(name, values, size, "finite float32 values (no NaN, no infinity)", is_finite);
}

void require_finite_or_missing(const char* name, HostPointer<const float> values, Index size) {
  require_each(name, values, size, "finite float32 values, or NaN for a missing observation",
               [](std::uint32_t bits) { return magnitude(bits) != infinity_bits; });
}

void require_variances(const char* name, HostPointer<const float> values, Index size) {
  require_each(name, values, size, "finite variances of at least 0", is_finite_and_not_negative);
}

void require_weights(HostPointer<const float> weight, Index rows) {
  require_each("sample_weight", weight, rows, "finite numbers of at least 0",
               is_finite_and_not_negative);
}

void require_positive(const char* name, HostPointer<const float> values, Index size) {
  require_each(name, values, size, "finite values above 0",
               [](std::uint32_t bits) { return bits - 1 < infinity_bits - 1; });
}

}  // namespace tagix
