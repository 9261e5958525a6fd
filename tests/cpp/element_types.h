#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "math/scalar.h"

namespace tagix::test {

// Vectors wider than the registers of the instruction set in force are part of the test: compile
// with -Wno-psabi.

typedef float Float4 __attribute__((vector_size(16)));
typedef float Float8 __attribute__((vector_size(32)));
typedef float Float16 __attribute__((vector_size(64)));

/// The types that every formula is tested for.
#define TAGIX_ELEMENT_TYPES double, float, Float4, Float8, Float16

template <class T>
inline constexpr bool is_double = std::is_same_v<T, double>;

/// A tolerance for T: the first for float and vectors of floats, the second for double.
template <class T>
constexpr double tolerance(double single, double twice) {
  return is_double<T> ? twice : single;
}

template <class T>
using Scalar = math::scalar_of_t<T>;

/// Lane `i` of x.
template <class T>
Scalar<T> lane(const T& x, std::size_t i) {
  return reinterpret_cast<const Scalar<T>*>(&x)[i];
}

template <class T>
constexpr std::size_t n_lanes = sizeof(T) / sizeof(Scalar<T>);

/// n points from low to high, both included, that are exact in float.
inline std::vector<double> linspace(double low, double high, int n) {
  std::vector<double> points;
  for (int i = 0; i < n; ++i) {
    points.push_back(static_cast<float>(low + (high - low) * i / (n - 1)));
  }
  return points;
}

/// `points` as Ts: as many to a T as it has lanes, the last repeated to fill.
template <class T>
std::vector<T> packed(const std::vector<double>& points) {
  std::vector<T> result((points.size() + n_lanes<T> - 1) / n_lanes<T>);
  for (std::size_t i = 0; i < result.size() * n_lanes<T>; ++i) {
    const double point = points[i < points.size() ? i : points.size() - 1];
    reinterpret_cast<Scalar<T>*>(&result[i / n_lanes<T>])[i % n_lanes<T>] =
        static_cast<Scalar<T>>(point);
  }
  return result;
}

/// function(point) for each point, computed on Ts.
template <class T, class Function>
std::vector<double> evaluate(const Function& function, const std::vector<double>& points) {
  std::vector<double> result;
  for (const T& x : packed<T>(points)) {
    const T y = function(x);
    for (std::size_t i = 0; i < n_lanes<T> && result.size() < points.size(); ++i) {
      result.push_back(static_cast<double>(lane(y, i)));
    }
  }
  return result;
}

inline double relative_error(long double got, long double truth) {
  return static_cast<double>(std::fabs(got - truth) / std::fabs(truth));
}

/// The largest relative error of function(T) over the points, where truth is not 0.
template <class T, class Function, class Truth>
double largest_relative_error(const Function& function, const Truth& truth,
                              const std::vector<double>& points) {
  const std::vector<double> got = evaluate<T>(function, points);
  double largest = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double error = relative_error(got[i], truth(static_cast<long double>(points[i])));
    if (!(error <= largest)) largest = error;  // a NaN counts as largest
  }
  return largest;
}

}  // namespace tagix::test
