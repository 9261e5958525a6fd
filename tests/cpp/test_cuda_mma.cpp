#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/cuda.h"
#include "core/memory.h"
#include "cuda_is_there.h"
#include "mma_kernels.h"
#include "test_helpers.h"

using namespace tagix;
using namespace tagix::test;

namespace {

/// Whether there is a GPU with the instructions.
bool tensor_cores_are_there() {
  if (!cuda_is_there()) return false;
  if (cuda_has(Precision::bfloat16)) return true;
  MESSAGE("not run: " << cuda_device_name() << " has none of the instructions");
  return false;
}

enum class Ties { away, even };

/// The nearest number of so many significant bits.
double rounded(float x, int bits, Ties ties) {
  if (x == 0 || !std::isfinite(x)) return x;
  const int exponent = std::ilogb(x);
  const double scaled = std::ldexp(double{x}, bits - 1 - exponent);
  const double whole = ties == Ties::away ? std::round(scaled) : std::nearbyint(scaled);
  return std::ldexp(whole, exponent - bits + 1);
}

template <class T>
std::vector<T> to_host(const Buffer<T>& buffer, std::size_t count) {
  std::vector<T> values(count);
  cuda_backend()->download(buffer.data(), on_host(values), static_cast<Index>(count));
  return values;
}

/// c + a b by `multiply`, and how far it is from that of the rounded factors in float64 at most, in
/// units of 2^-24 sum |terms|.
template <class Multiply>
double worst_error(const Multiply& multiply, int depth, int bits, Ties ties,
                   const std::vector<float>& a, const std::vector<float>& b,
                   const std::vector<float>& c) {
  Buffer<float> a_there(*cuda_backend()), b_there(*cuda_backend()), c_there(*cuda_backend());
  a_there.assign(a);
  b_there.assign(b);
  c_there.assign(c);
  multiply(a_there.data(), b_there.data(), c_there.data());
  const std::vector<float> result = to_host(c_there, c.size());
  double worst = 0;
  for (int row = 0; row < mma_rows; ++row) {
    for (int column = 0; column < mma_columns; ++column) {
      const auto at = static_cast<std::size_t>(row * mma_columns + column);
      double sum = c[at], magnitude = std::fabs(sum);
      for (int k = 0; k < depth; ++k) {
        const double term =
            rounded(a[static_cast<std::size_t>(row * depth + k)], bits, ties) *
            rounded(b[static_cast<std::size_t>(k * mma_columns + column)], bits, ties);
        sum += term;
        magnitude += std::fabs(term);
      }
      const double error = std::fabs(result[at] - sum);
      if (!(error <= worst * 0x1p-24 * magnitude)) worst = error / (0x1p-24 * magnitude);
    }
  }
  return worst;
}

std::vector<float> small_integers(int count, unsigned seed) {
  std::vector<float> values = uniform_floats(static_cast<std::size_t>(count), -9, 9, seed);
  for (float& value : values) value = std::round(value);
  return values;
}

template <class Multiply>
void check_products(const Multiply& multiply, int depth, int bits, Ties ties) {
  const int a_size = mma_rows * depth, b_size = depth * mma_columns,
            c_size = mma_rows * mma_columns;
  // Every element in its place: what is exact must come out so.
  for (unsigned seed : {1u, 2u, 3u}) {
    CHECK(worst_error(multiply, depth, bits, ties, small_integers(a_size, seed),
                      small_integers(b_size, seed + 10), small_integers(c_size, seed + 20)) == 0);
  }
  double worst = 0;
  for (unsigned seed : {4u, 5u, 6u}) {
    const auto floats = [seed](int count, unsigned more) {
      return uniform_floats(static_cast<std::size_t>(count), -1, 1, seed + more);
    };
    worst = std::max(worst, worst_error(multiply, depth, bits, ties, floats(a_size, 0),
                                        floats(b_size, 10), floats(c_size, 20)));
  }
  // As many truncations as there are terms, each by less than the last bit of a float, 2^-23.
  CHECK(worst <= 2.0 * (depth + 1));
  MESSAGE("largest error ", worst, " 2^-24 sum |terms|");
}

}  // namespace

TEST_CASE("a warp's product of tf32 has every element in its place") {
  if (tensor_cores_are_there()) check_products(multiply_tf32, 8, 11, Ties::away);
}

TEST_CASE("a warp's product of bfloat16 has every element in its place") {
  if (tensor_cores_are_there()) check_products(multiply_bf16, 16, 8, Ties::even);
}

TEST_CASE("factors are rounded to the nearest") {
  if (!tensor_cores_are_there()) return;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> values{0.0f, 1.0f, 1e-30f, 1e38f, infinity, -infinity};
  for (float value : uniform_floats(2000, -3, 3, 1)) values.push_back(value);
  // Ties and their neighbours, with an even and an odd digit before them.
  for (int bits : {8, 11}) {
    const double last = std::ldexp(1.0, 1 - bits);
    for (double tie : {1 + last / 2, 1 + last * 3 / 2, 2 - last / 2}) {
      const auto middle = static_cast<float>(tie);
      for (float x : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 3.0f)}) {
        values.push_back(x);
        values.push_back(-x);
      }
    }
  }
  const auto count = static_cast<Index>(values.size());
  Buffer<float> x(*cuda_backend());
  Buffer<unsigned> tf32(*cuda_backend(), count), bf16(*cuda_backend(), count);
  x.assign(values);
  convert(x.data(), count, tf32.data(), bf16.data());
  const std::vector<unsigned> as_tf32 = to_host(tf32, values.size());
  const std::vector<unsigned> as_bf16 = to_host(bf16, values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    INFO(values[i]);
    // As a float: what is left of the number is taken from it.
    CHECK(std::bit_cast<float>(as_tf32[i]) == rounded(values[i], 11, Ties::away));
    CHECK(std::bit_cast<float>(as_bf16[i] << 16) == rounded(values[i], 8, Ties::even));
    CHECK(std::bit_cast<float>(as_bf16[i] & 0xffff0000u) == rounded(-values[i], 8, Ties::even));
  }
  const float missing = std::numeric_limits<float>::quiet_NaN();
  x.assign(std::vector<float>{missing});
  convert(x.data(), 1, tf32.data(), bf16.data());
  CHECK(std::isnan(std::bit_cast<float>(to_host(tf32, 1)[0])));
  CHECK(std::isnan(std::bit_cast<float>(to_host(bf16, 1)[0] << 16)));
}
