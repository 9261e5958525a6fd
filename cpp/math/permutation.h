#pragma once

#include <cstdint>

#include "math/philox.h"
#include "math/target.h"

namespace tagix::math {

/// A random order of 0 .. size - 1 of which every element can be worked out by itself: a Feistel
/// network (Luby & Rackoff, 1988) is a bijection of the numbers of 2 h bits; a number that leads to
/// one of `size` or more is sent through it again, until one below comes out ("cycle walking",
/// Black & Rogaway, CT-RSA 2002). With 2 h the least even number of bits, 8 or more, that holds
/// size - 1, that takes less than 4 passes on average beyond 64 numbers.
///
/// The keys of the 8 rounds are words of (seed; shuffle, epoch), so every epoch has its own order.
class Permutation {
 public:
  /// For 1 <= size <= 2^32.
  TAGIX_HD TAGIX_INLINE Permutation(std::uint64_t seed, std::uint64_t epoch, std::uint64_t size)
      : size_(size) {
    while ((std::uint64_t{1} << (2 * half_bits_)) < size) ++half_bits_;
    for (std::uint32_t block = 0; block < n_rounds / 4; ++block) {
      const Philox4 words = random_words(seed, RandomStream::shuffle, epoch, 0, block);
      for (std::uint32_t i = 0; i < 4; ++i) key_[4 * block + i] = words.word[i];
    }
  }

  /// The number at `position` < size.
  TAGIX_HD TAGIX_INLINE std::uint64_t operator()(std::uint64_t position) const {
    std::uint64_t number = position;
    do {
      number = pass(number);
    } while (number >= size_);
    return number;
  }

 private:
  static constexpr std::uint32_t n_rounds = 8;

  TAGIX_HD TAGIX_INLINE std::uint64_t pass(std::uint64_t number) const {
    const std::uint32_t mask = static_cast<std::uint32_t>((std::uint64_t{1} << half_bits_) - 1);
    std::uint32_t left = static_cast<std::uint32_t>(number >> half_bits_);
    std::uint32_t right = static_cast<std::uint32_t>(number) & mask;
    for (std::uint32_t round = 0; round < n_rounds; ++round) {
      const std::uint32_t next = left ^ (mixed(right ^ key_[round]) & mask);
      left = right;
      right = next;
    }
    return (std::uint64_t{left} << half_bits_) | right;
  }

  /// The finalizer of MurmurHash3: every bit of the result depends on every bit of x.
  TAGIX_HD TAGIX_INLINE static std::uint32_t mixed(std::uint32_t x) {
    x = (x ^ (x >> 16)) * 0x85ebca6bu;
    x = (x ^ (x >> 13)) * 0xc2b2ae35u;
    return x ^ (x >> 16);
  }

  std::uint64_t size_;
  std::uint32_t half_bits_ =
      4;  // at least, since the orders of a few bits are not all equally likely
  std::uint32_t key_[n_rounds];
};

}  // namespace tagix::math
