#include "core/noise.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/require.h"

namespace tagix {
namespace {

// Their squares are normal numbers of float32.
constexpr double min_noise_std = 1e-18;
constexpr double max_noise_std = 1e18;
// Noise that follows the input is believed to be within a factor of e^2 of 1 in standard deviation,
// in 95 of 100 places.
constexpr double log_var_belief_std = 2;

}  // namespace

Homoscedastic::Homoscedastic(std::vector<double> std, double min_std, double decay, bool learn)
    : std_(std::move(std)), min_std_(min_std), decay_(decay), learn_(learn) {
  require(!std_.empty(), "std: got no value, needed 1 or 1 for each output");
  for (double value : std_) {
    require(value >= min_noise_std && value <= max_noise_std, "std: got ", value,
            ", needed a finite number above 0, in [", min_noise_std, ", ", max_noise_std, "]");
  }
  require(min_std >= 0 && min_std <= max_noise_std, "min_std: got ", min_std,
          ", needed a number in [0, ", max_noise_std, "]");
  require(decay > 0 && decay <= 1, "decay: got ", decay, ", needed a number in (0, 1]");
  require(!learn || (min_std == 0 && decay == 1), "learn: got true with min_std ", min_std,
          " and decay ", decay, ", needed neither: noise that is learned follows no schedule");
}

std::vector<float> Homoscedastic::var(Index epoch) const {
  std::vector<float> var;
  require(epoch >= 0, "epoch: got ", epoch, ", needed at least 0");
  const double factor = std::pow(decay_, static_cast<double>(epoch));
  for (double std : std_) {
    // A floor of 0 must not let a long run reach a variance of 0, which no observation has.
    const double now = std::max({min_std_, std * factor, min_noise_std});
    var.push_back(static_cast<float>(now * now));
  }
  return var;
}

LearnedNoise Homoscedastic::learned() const {
  return {math::NoiseLink::exp, /*depends_on_input=*/false, /*gain=*/1, std_,
          /*belief_precision=*/0};
}

Heteroscedastic::Heteroscedastic(math::NoiseLink link, double gain) : link_(link), gain_(gain) {
  require(gain >= 1e-6 && gain <= 1e6, "gain: got ", gain, ", needed a number in [1e-6, 1e6]");
}

LearnedNoise Heteroscedastic::learned() const {
  const double precision = 1 / (log_var_belief_std * log_var_belief_std);
  return {
      link_, /*depends_on_input=*/true, gain_, {}, link_ == math::NoiseLink::exp ? precision : 0};
}

}  // namespace tagix
