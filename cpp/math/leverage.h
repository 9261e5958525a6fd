#pragma once

#include <cmath>

namespace tagix::math {

/// Standard deviations up to which a standardized input is what it is.
inline constexpr double linear_reach = 6;

/// A standardized input z with bounded leverage: z itself where |z| <= L = linear_reach, and beyond
///
///   sign(z) L (1 + log(|z| / L))
///
/// which goes on with the same slope, keeps the order, and is below 4300 for any finite z. What one
/// row can do to a network grows with the square of its inputs: the one row in 20 000 that has a
/// flag is at z = 141, a sentinel or a sum of money farther out.
inline double bounded_leverage(double z) {
  const double distance = std::fabs(z);
  if (!(distance > linear_reach)) return z;  // NaN as well
  return std::copysign(linear_reach * (1 + std::log(distance / linear_reach)), z);
}

/// The derivative of `bounded_leverage`: 1, and L / |z| beyond L.
inline double leverage_slope(double z) {
  const double distance = std::fabs(z);
  return distance > linear_reach ? linear_reach / distance : 1;
}

}  // namespace tagix::math
