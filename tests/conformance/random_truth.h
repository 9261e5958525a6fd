#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

#include "conformance/operation.h"
#include "math/philox.h"

namespace tagix::conformance {

/// Word `word` of block `block` of (seed; stream, step, row). That math::philox is Philox4x32-10 is
/// known from the published vectors (test_random.cpp).
inline std::uint32_t random_word(std::uint64_t seed, math::RandomStream stream, std::uint64_t step,
                                 Index row, Index block, int word) {
  const math::Philox4 words =
      math::philox(seed, {{static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(step),
                           static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(stream)}});
  return words.word[word];
}

/// The standard normal number at `col` of a row, by Box & Muller in float64:
///
///   sqrt(-2 log u1) cos(2 pi u2) or sin, u = (word + 1/2) / 2^32
///
/// Its magnitude counts what a rounding of u1, of the radius and of the angle changes.
inline Sum normal_number(std::uint64_t seed, math::RandomStream stream, std::uint64_t step,
                         Index row, Index col) {
  const int pair = static_cast<int>(col % 4) / 2 * 2;
  const auto uniform = [&](int word) {
    return (random_word(seed, stream, step, row, col / 4, word) + 0.5) * 0x1p-32;
  };
  const double radius = std::sqrt(-2 * std::log(uniform(pair)));
  const double angle = 2 * std::numbers::pi * uniform(pair + 1);
  return {radius * (col % 2 == 0 ? std::cos(angle) : std::sin(angle)),
          radius * (1 + angle) + 1 / radius};
}

}  // namespace tagix::conformance
