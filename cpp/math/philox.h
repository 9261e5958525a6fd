#pragma once

#include <cstdint>

#include "math/scalar.h"
#include "math/target.h"

namespace tagix::math {

/// Four 32-bit words: a counter of the generator, or one block of its output.
struct Philox4 {
  std::uint32_t word[4];
};

/// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror & Shaw, "Parallel random
/// numbers: as easy as 1, 2, 3" (SC 2011): ten rounds of a keyed bijection of the counter. Equal
/// (key, counter) give equal words on every device and in any order.
TAGIX_HD TAGIX_INLINE Philox4 philox(std::uint64_t key, Philox4 counter) {
  std::uint32_t key_low = static_cast<std::uint32_t>(key);
  std::uint32_t key_high = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product_0 = std::uint64_t{0xD2511F53u} * counter.word[0];
    const std::uint64_t product_1 = std::uint64_t{0xCD9E8D57u} * counter.word[2];
    counter = {{static_cast<std::uint32_t>(product_1 >> 32) ^ counter.word[1] ^ key_low,
                static_cast<std::uint32_t>(product_1),
                static_cast<std::uint32_t>(product_0 >> 32) ^ counter.word[3] ^ key_high,
                static_cast<std::uint32_t>(product_0)}};
    key_low += 0x9E3779B9u;
    key_high += 0xBB67AE85u;
  }
  return counter;
}

/// What a random number is for. Numbers of different streams never coincide.
enum class RandomStream : std::uint32_t {
  parameters = 1,
  shuffle = 2,
  timestep = 3,
  diffusion_noise = 4,
  sampler_start = 5,
  sampler_noise = 6,
  weight_draw = 7,
};

/// The words of (seed; stream, step, row, block): every row of every step has its own numbers,
/// whatever batch it falls into and whichever thread asks. `row` and `step` count up to 2^32.
TAGIX_HD TAGIX_INLINE Philox4 random_words(std::uint64_t seed, RandomStream stream,
                                           std::uint64_t step, std::uint64_t row,
                                           std::uint32_t block) {
  return philox(seed, {{static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(step), block,
                        static_cast<std::uint32_t>(stream)}});
}

/// The `count`-th seed, in [0, 2^63), derived from a seed.
TAGIX_HD TAGIX_INLINE std::uint64_t derived_seed(std::uint64_t seed, std::uint64_t count) {
  const Philox4 words = philox(
      seed, {{static_cast<std::uint32_t>(count), static_cast<std::uint32_t>(count >> 32), 0, 0}});
  return (std::uint64_t{words.word[0]} << 32 | words.word[1]) >> 1;
}

/// A 32-bit word as a number in (0, 1].
TAGIX_HD TAGIX_INLINE float uniform(std::uint32_t word) {
  return (static_cast<float>(word) + 0.5f) * 2.3283064365386963e-10f;
}

/// A word as an integer in [0, bound), by the high half of the product; the bias is below
/// bound / 2^32.
TAGIX_HD TAGIX_INLINE std::uint32_t bounded(std::uint32_t word, std::uint32_t bound) {
  return static_cast<std::uint32_t>((std::uint64_t{word} * bound) >> 32);
}

/// Two independent standard normal numbers from two words (Box & Muller, 1958).
TAGIX_HD inline void normal_pair(std::uint32_t first, std::uint32_t second, float out[2]) {
  const float radius = sqrt(-2.0f * log(uniform(first)));
  const SineCosine<float> direction = sincos_of_turns(uniform(second));
  out[0] = radius * direction.cosine;
  out[1] = radius * direction.sine;
}

/// The standard normal numbers of (seed; stream, step, row), as `random_words` counts them.
struct NormalRow {
  static constexpr std::int64_t block_size = 4;  ///< numbers that are drawn together

  std::uint64_t seed;
  RandomStream stream;
  std::uint64_t step;
  std::uint64_t row;

  /// The numbers of a block.
  TAGIX_HD TAGIX_INLINE void draw(std::int64_t block, float out[block_size]) const {
    const Philox4 words = random_words(seed, stream, step, row, static_cast<std::uint32_t>(block));
    normal_pair(words.word[0], words.word[1], out);
    normal_pair(words.word[2], words.word[3], out + 2);
  }

  /// The first `count` numbers.
  TAGIX_HD inline void write(std::int64_t count, float* out) const {
    for (std::int64_t start = 0; start < count; start += block_size) {
      float numbers[block_size];
      draw(start / block_size, numbers);
      for (std::int64_t i = 0; i < block_size && start + i < count; ++i) {
        out[start + i] = numbers[i];
      }
    }
  }
};

}  // namespace tagix::math
