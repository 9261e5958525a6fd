#include "core/noise.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/require.h"

namespace tagix {

Homoscedastic::Homoscedastic(std::vector<float> std, float min_std, float decay)
    : std_(std::move(std)), min_std_(min_std), decay_(decay) {
  require(!std_.empty(), "std: got no value, needed 1 or 1 for each output");
  require_positive("std", std_.data(), static_cast<Index>(std_.size()));
  require(std::isfinite(min_std) && min_std >= 0, "min_std: got ", min_std,
          ", needed a finite number of at least 0");
  require(decay > 0 && decay <= 1, "decay: got ", decay, ", needed a number in (0, 1]");
}

std::vector<float> Homoscedastic::var(Index epoch) const {
  std::vector<float> var;
  const float factor = std::pow(decay_, static_cast<float>(epoch));
  for (float std : std_) {
    // A floor of 0 must not let a long run reach a variance of 0, which no observation has.
    const float now = std::max({min_std_, std * factor, 1e-6f});
    var.push_back(now * now);
  }
  return var;
}

}  // namespace tagix
