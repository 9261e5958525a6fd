#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/host.h"
#include "core/index.h"

namespace tagix {

/// Joins anything printable into one string.
template <class... Parts>
std::string text(Parts&&... parts) {
  std::ostringstream stream;
  (stream << ... << std::forward<Parts>(parts));
  return stream.str();
}

/// Throws std::invalid_argument (ValueError in Python) with the joined parts unless `condition`.
template <class... Parts>
void require(bool condition, Parts&&... parts) {
  if (!condition) throw std::invalid_argument(text(std::forward<Parts>(parts)...));
}

/// Whether every one of the `size` values is finite.
bool all_finite(HostPointer<const float> values, Index size);

/// Throws unless every one of the `size` values is finite; `name` is the argument they came from.
void require_finite(const char* name, HostPointer<const float> values, Index size);

/// As require_finite, but NaN passes: a NaN target is a missing observation.
void require_finite_or_missing(const char* name, HostPointer<const float> values, Index size);

/// Throws unless every one of the `size` values is finite and not negative.
void require_variances(const char* name, HostPointer<const float> values, Index size);

/// Throws unless every one of the `size` values is finite and above zero.
void require_positive(const char* name, HostPointer<const float> values, Index size);

/// Throws unless every one of the weights of so many rows is finite and not negative.
void require_weights(HostPointer<const float> weight, Index rows);

}  // namespace tagix
