#include "core/forgetting.h"

#include <cmath>
#include <numbers>

#include "core/require.h"

namespace tagix {
namespace {

/// z with P(Z > z) = probability for a standard normal Z.
double upper_quantile(double probability) {
  double low = 0, high = 40;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    const double beyond = 0.5 * std::erfc(middle / std::numbers::sqrt2);
    (beyond > probability ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace

Forgetting::Forgetting(double process_noise, double drift_level, double window, double inflation)
    : process_noise_(process_noise),
      drift_level_(drift_level),
      window_(window),
      inflation_(inflation),
      threshold_(upper_quantile(drift_level)) {
  require(process_noise >= 0 && process_noise <= 1, "process_noise: got ", process_noise,
          ", needed a number in [0, 1]");
  require(drift_level >= 0 && drift_level < 0.5, "drift_level: got ", drift_level,
          ", needed a number in (0, 1/2), or None for no test");
  require(window >= 1 && window <= 1e12, "window: got ", window, ", needed a number in [1, 1e12]");
  require(inflation >= 0 && inflation <= 1, "inflation: got ", inflation,
          ", needed a number in [0, 1]");
}

}  // namespace tagix
