#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "math/permutation.h"

using tagix::math::Permutation;

namespace {

std::vector<std::uint64_t> order(std::uint64_t seed, std::uint64_t epoch, std::uint64_t size) {
  const Permutation permutation(seed, epoch, size);
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t i = 0; i < size; ++i) numbers.push_back(permutation(i));
  return numbers;
}

}  // namespace

TEST_CASE("every number comes once, whatever the size") {
  for (std::uint64_t size :
       {1, 2, 3, 4, 5, 63, 64, 65, 255, 256, 257, 1000, 65536, 65537, 100000}) {
    CAPTURE(size);
    std::vector<std::uint64_t> numbers = order(5, 2, size);
    std::sort(numbers.begin(), numbers.end());
    for (std::uint64_t i = 0; i < size; ++i) REQUIRE(numbers[i] == i);
  }
}

TEST_CASE("sizes beyond 32 bits of numbers work out single elements") {
  const std::uint64_t size = std::uint64_t{1} << 32;
  const Permutation permutation(1, 0, size);
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t i = 0; i < 1000; ++i) numbers.push_back(permutation(i * 4294967));
  CHECK(*std::max_element(numbers.begin(), numbers.end()) < size);
  std::sort(numbers.begin(), numbers.end());
  CHECK(std::adjacent_find(numbers.begin(), numbers.end()) == numbers.end());
}

TEST_CASE("all orders of a few rows are equally likely") {
  for (std::uint64_t size : {2, 3, 4, 5}) {
    std::map<std::vector<std::uint64_t>, double> counts;
    double n_orders = 1;
    for (std::uint64_t i = 2; i <= size; ++i) n_orders *= static_cast<double>(i);
    const int n_epochs = static_cast<int>(500 * n_orders);
    for (int epoch = 0; epoch < n_epochs; ++epoch) {
      ++counts[order(9, static_cast<std::uint64_t>(epoch), size)];
    }
    CHECK(static_cast<double>(counts.size()) == n_orders);
    // Chi squared with n_orders - 1 degrees of freedom: five standard deviations above its mean.
    double chi_squared = 0;
    for (const auto& [numbers, count] : counts) chi_squared += std::pow(count - 500, 2) / 500;
    CHECK(chi_squared < n_orders - 1 + 5 * std::sqrt(2 * n_orders) + 5);
  }
}

TEST_CASE("positions and neighbours of many rows are as in a uniform order") {
  constexpr std::uint64_t size = 1000;
  constexpr int n_epochs = 400;
  double lag = 0, drift = 0, matches = 0;
  std::vector<double> first(10);
  for (std::uint64_t epoch = 0; epoch < n_epochs; ++epoch) {
    const std::vector<std::uint64_t> numbers = order(3, epoch, size);
    const std::vector<std::uint64_t> next = order(3, epoch + 1, size);
    ++first[numbers[0] / 100];
    for (std::uint64_t i = 0; i + 1 < size; ++i) {
      const double a = static_cast<double>(numbers[i]) - 499.5;
      const double b = static_cast<double>(numbers[i + 1]) - 499.5;
      lag += a * b;
      drift += a * (static_cast<double>(i) - 499.5);
      matches += numbers[i] == next[i];
    }
  }
  // Products of two such numbers have mean about 0 and standard deviation 1000^2 / 12.
  const double five = 5 * 1e6 / 12 * std::sqrt(n_epochs * 1000.0);
  CHECK(std::fabs(lag) < five + n_epochs * 1e6 / 12);
  CHECK(std::fabs(drift) < five);
  CHECK(std::fabs(matches - n_epochs) < 5 * std::sqrt(n_epochs));
  for (double count : first) CHECK(std::fabs(count - 40) < 5 * 6);
}
