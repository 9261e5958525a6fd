#pragma once

#include <algorithm>
#include <cmath>

namespace tagix::math {

/// A function that is linear between `n` rising knots, at least two, and goes on beyond both ends
/// by `slope`. It does not own its numbers.
struct PiecewiseLinear {
  const double* knots;
  const double* values;
  int n;
  double slope;

  double operator()(double z) const {
    if (z <= knots[0]) return values[0] + slope * (z - knots[0]);
    if (z >= knots[n - 1]) return values[n - 1] + slope * (z - knots[n - 1]);
    const double* const next = std::upper_bound(knots, knots + n, z);
    const auto i = next - knots - 1;
    return values[i] + inner_slope(static_cast<int>(i)) * (z - knots[i]);
  }

  /// The derivative, at a knot the mean of those on both sides.
  double derivative(double z) const {
    const auto left = std::lower_bound(knots, knots + n, z) - knots;
    const auto right = std::upper_bound(knots, knots + n, z) - knots;
    return 0.5 * (segment_slope(static_cast<int>(left)) + segment_slope(static_cast<int>(right)));
  }

  struct Moments {
    double mean;
    double var;
  };

  /// Mean and variance of the function f of a Gaussian with mean m and a variance above 0. With
  /// t = z - m, and a + b t the line of a segment less f(m),
  ///
  ///   E f - f(m) = sum a P + b M,   E (f - f(m))^2 = sum a^2 P + 2 a b M + b^2 S
  ///
  /// where P, M and S are the integrals of 1, t and t^2 over the segment.
  Moments moments(double mean, double var) const {
    const double std = std::sqrt(var), at_mean = (*this)(mean);
    double first = 0, second = 0;
    double below = 0, density_below = 0, tail_below = 0;  // of the segment's lower end
    for (int segment = 0; segment <= n; ++segment) {
      double above = 1, density = 0, tail = 0;
      if (segment < n) {
        const double end = (knots[segment] - mean) / std;
        above = 0.5 * std::erfc(-end * std::sqrt(0.5));
        density = 0.3989422804014327 * std::exp(-0.5 * end * end);
        tail = end * density;
      }
      const int anchor = std::min(segment, n - 1);
      const double b = segment_slope(segment);
      const double a = values[anchor] - at_mean + b * (mean - knots[anchor]);
      const double p = above - below;
      const double m = -std * (density - density_below);
      const double s = var * (p - (tail - tail_below));
      first += a * p + b * m;
      second += a * a * p + 2 * a * b * m + b * b * s;
      below = above, density_below = density, tail_below = tail;
    }
    return {at_mean + first, std::max(second - first * first, 0.0)};
  }

 private:
  double inner_slope(int i) const {
    return (values[i + 1] - values[i]) / (knots[i + 1] - knots[i]);
  }
  /// Segment i ends at knot i; the last one, n, nowhere.
  double segment_slope(int i) const { return i == 0 || i == n ? slope : inner_slope(i - 1); }
};

}  // namespace tagix::math
