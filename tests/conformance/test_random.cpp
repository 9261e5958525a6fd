#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <vector>

#include "conformance/arrays.h"
#include "conformance/suite.h"
#include "math/philox.h"

using namespace tagix;
using namespace tagix::conformance;

namespace {

std::vector<float> normal_numbers(Backend& backend, std::uint64_t seed, math::RandomStream stream,
                                  std::uint64_t step, Index first_row, Index rows, Index cols) {
  Arrays arrays(backend);
  float* numbers = arrays.output(rows * cols);
  backend.normal(seed, stream, step, first_row, rows, cols, numbers);
  const std::vector<double> results = arrays.results().front();
  return {results.begin(), results.end()};
}

}  // namespace

TEST_CASE("Philox4x32-10 gives the published words") {
  // kat_vectors of Random123 (Salmon et al., SC 2011).
  struct KnownAnswer {
    std::uint64_t key;
    math::Philox4 counter, words;
  };
  const KnownAnswer answers[] = {
      {0, {{0, 0, 0, 0}}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
      {0xffffffffffffffff,
       {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
       {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
      {0x299f31d0a4093822,
       {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
       {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}}};
  for (const KnownAnswer& answer : answers) {
    const math::Philox4 words = math::philox(answer.key, answer.counter);
    for (int i = 0; i < 4; ++i) CHECK(words.word[i] == answer.words.word[i]);
  }
}

TEST_CASE("uniform numbers lie in (0, 1] and bounded ones below their bound") {
  CHECK(math::uniform(0) > 0.0f);
  CHECK(math::uniform(0xffffffff) <= 1.0f);
  CHECK(math::uniform(0x80000000) == doctest::Approx(0.5));
  for (std::uint32_t bound : {1u, 2u, 39u, 1000u}) {
    CHECK(math::bounded(0, bound) == 0);
    CHECK(math::bounded(0xffffffff, bound) == bound - 1);
  }
}

TEST_CASE("normal numbers have the moments of N(0, 1) and are independent") {
  constexpr Index rows = 20000, cols = 7;
  constexpr double n = static_cast<double>(rows * cols);
  for (const std::shared_ptr<Backend>& backend : backends()) {
    const std::vector<float> numbers =
        normal_numbers(*backend, 3, math::RandomStream::diffusion_noise, 5, 0, rows, cols);
    double power[5] = {}, below = 0, next_col = 0, next_row = 0;
    for (Index i = 0; i < rows * cols; ++i) {
      const double x = numbers[static_cast<std::size_t>(i)];
      for (int k = 1; k <= 4; ++k) power[k] += std::pow(x, k) / n;
      below += (x < -1) / n;
      if (i % cols + 1 < cols) next_col += x * numbers[static_cast<std::size_t>(i + 1)] / n;
      if (i + cols < rows * cols) next_row += x * numbers[static_cast<std::size_t>(i + cols)] / n;
    }
    // Five standard errors: Var x^k is 1, 2, 15 and 96.
    const double five = 5 / std::sqrt(n);
    CHECK(std::fabs(power[1]) < five);
    CHECK(std::fabs(power[2] - 1) < five * std::sqrt(2));
    CHECK(std::fabs(power[3]) < five * std::sqrt(15));
    CHECK(std::fabs(power[4] - 3) < five * std::sqrt(96));
    CHECK(std::fabs(below - 0.15865525) < five * 0.3654);
    CHECK(std::fabs(next_col) < five);
    CHECK(std::fabs(next_row) < five);
  }
}

TEST_CASE("a row's numbers depend on seed, stream, step and row, and on nothing else") {
  using enum math::RandomStream;
  for (const std::shared_ptr<Backend>& backend : backends()) {
    const std::vector<float> all = normal_numbers(*backend, 3, sampler_noise, 5, 0, 40, 6);
    const std::vector<float> part = normal_numbers(*backend, 3, sampler_noise, 5, 17, 4, 6);
    CHECK(std::memcmp(part.data(), all.data() + 17 * 6, part.size() * sizeof(float)) == 0);

    // The same first number twice would be a chance of 2^-32 a pair.
    std::set<float> first;
    int n_sets = 0;
    for (std::uint64_t seed : {std::uint64_t{3}, std::uint64_t{4}, std::uint64_t{3} << 32}) {
      for (math::RandomStream stream :
           {parameters, diffusion_noise, sampler_start, sampler_noise}) {
        for (std::uint64_t step : {0, 5}) {
          for (Index row : {0, 17}) {
            first.insert(normal_numbers(*backend, seed, stream, step, row, 1, 1).front());
            ++n_sets;
          }
        }
      }
    }
    CHECK(first.size() == static_cast<std::size_t>(n_sets));
  }
}
