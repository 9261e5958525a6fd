#include <doctest/doctest.h>

#include <memory>

#include "core/noise.h"
#include "layers/linear.h"
#include "models/model.h"
#include "test_helpers.h"

using namespace tagix;
using namespace tagix::test;

namespace {

/// One weight on a known input of 1, and no bias: z ~ N(mean, var), one target.
struct OneWeight {
  Model model;

  OneWeight(const UpdateRule& rule, float mean, float var)
      : model(std::make_shared<Linear>(1, 1, false, Linear::Init::he, 1.0, 1.0), rule, 1,
              cpu_backend()) {
    model.set_parameters(on_host(&mean), on_host(&var));
  }
  /// Observes all targets in one batch; returns the posterior mean and variance.
  std::pair<double, double> observe(const std::vector<float>& y, float noise_var) {
    const std::vector<float> x(y.size(), 1.0f);
    std::vector<float> mean(y.size()), var(y.size());
    model.update({x, nullptr, static_cast<Index>(y.size()), 1}, y, {on_host(&noise_var), 0, 0},
                 {mean, var});
    const HostPair parameters = parameters_of(model);
    return {parameters.mean[0], parameters.var[0]};
  }
};

UpdateRule information(double share, double clip) {
  UpdateRule rule;
  rule.share = share;
  rule.clip = clip;
  return rule;
}

UpdateRule capped(double cap) {
  UpdateRule rule;
  rule.kind = UpdateRule::Kind::capped;
  rule.cap = cap;
  return rule;
}

doctest::Approx near(double value) { return doctest::Approx(value).epsilon(2e-6); }

}  // namespace

TEST_CASE("the spread grows with the batch for the information rule only") {
  CHECK(UpdateRule{}.spread(1) == 1.0f);
  CHECK(UpdateRule{}.spread(2) == near(1.01));
  CHECK(UpdateRule{}.spread(2048) == near(21.47));
  CHECK(information(0, 1).spread(2048) == 1.0f);
  CHECK(information(1, 1).spread(7) == 7.0f);
  CHECK(capped(0).spread(2048) == 1.0f);
}

TEST_CASE("the cap follows the batch unless it is given") {
  CHECK(capped(0).cap_for(1) == 0.1f);
  CHECK(capped(0).cap_for(2) == 2.0f);
  CHECK(capped(0).cap_for(255) == 2.0f);
  CHECK(capped(0).cap_for(256) == 3.0f);
  CHECK(capped(0).cap_for(100000) == 3.0f);
  CHECK(capped(0.7).cap_for(1) == 0.7f);
  CHECK(capped(0.7).cap_for(256) == 0.7f);
}

TEST_CASE("one observation of one weight gives the posterior of conjugate Gaussians") {
  // Prior N(1, 0.5), y = 2 with noise 0.25: precision 2 + 4, mean (1 * 2 + 2 * 4) / 6. One
  // information update with S = var + noise gives var' = var / (1 + var / S).
  const auto [mean, var] = OneWeight(information(0.01, 100), 1, 0.5f).observe({2}, 0.25f);
  const double total = 0.75, expected_var = 0.5 / (1 + 0.5 / total);
  CHECK(var == near(expected_var));
  CHECK(mean == near(1 + expected_var * (2 - 1) / total));
  // The capped rule, far from its bound, is the exact posterior.
  const auto [exact_mean, exact_var] = OneWeight(capped(0.1), 1, 0.5f).observe({2}, 0.25f);
  CHECK(exact_mean == near(10.0 / 6));
  CHECK(exact_var == near(1.0 / 6));
}

TEST_CASE("the information rule clips the mean and never the variance") {
  // y far away: the mean moves by exactly clip standard deviations of the prior, on either side.
  for (double sign : {1.0, -1.0}) {
    const auto [mean, var] = OneWeight(information(0, 1.0 / 3), 1, 0.25f)
                                 .observe({static_cast<float>(sign * 1e6)}, 0.1f);
    CHECK(mean == near(1 + sign * 0.5 / 3));
    CHECK(var == near(0.25 / (1 + 0.25 / 0.35)));
  }
  // A thousand observations: precisions add up, without a spread and with one.
  const std::vector<float> many(1000, 1.0f);
  for (double share : {0.0, 0.01, 1.0}) {
    const auto [mean, var] = OneWeight(information(share, 1.0 / 3), 1, 0.25f).observe(many, 0.1f);
    const double total = 0.25 * (1 + share * 999) + 0.1;
    CHECK(var == near(0.25 / (1 + 0.25 * 1000 / total)));
    CHECK(mean == near(1));
  }
}

TEST_CASE("the capped rule bounds both changes and resets a variance that is gone") {
  // sd = 0.5: with cap 2 a change is at most 0.25. For 100 observations -var^2 H is far below.
  const std::vector<float> many(100, 5.0f);
  const auto [mean, var] = OneWeight(capped(0), 1, 0.25f).observe(many, 0.1f);
  CHECK(mean == near(1.25));
  CHECK(var == near(1e-5));  // 0.25 - 0.25 is not positive
  // With cap 4 the bound is 0.125, and the variance stays positive.
  const auto [bounded_mean, bounded_var] = OneWeight(capped(4), 1, 0.25f).observe(many, 0.1f);
  CHECK(bounded_mean == near(1.125));
  CHECK(bounded_var == near(0.125));
  // A batch of 256 has cap 3.
  const auto [large_mean, large_var] =
      OneWeight(capped(0), 1, 0.25f).observe(std::vector<float>(256, 5.0f), 0.1f);
  CHECK(large_mean == near(1 + 0.5 / 3));
  CHECK(large_var == near(0.25 - 0.5 / 3));
}

TEST_CASE("a parameter known exactly stays as it is under both rules") {
  for (const UpdateRule& rule : {information(0.01, 1.0 / 3), capped(0)}) {
    const auto [mean, var] = OneWeight(rule, 2, 0).observe({5, 6}, 0.1f);
    CHECK(mean == 2);
    CHECK(var == 0);
  }
}

TEST_CASE("noise decays by epoch to its floor") {
  const Homoscedastic noise({2.0, 0.4}, 0.1, 0.99);
  for (Index epoch : {0, 1, 10, 137, 138, 139, 298, 299, 1000}) {
    const std::vector<float> var = noise.var(epoch);
    REQUIRE(var.size() == 2);
    double first = 2.0, second = 0.4;
    for (Index e = 0; e < epoch; ++e) {
      first *= 0.99;
      second *= 0.99;
    }
    CHECK(var[0] == near(std::pow(std::max(first, 0.1), 2)));
    CHECK(var[1] == near(std::pow(std::max(second, 0.1), 2)));
  }
  CHECK(Homoscedastic({0.3}, 0, 1).var(5000).front() == near(0.09));
  CHECK(Homoscedastic({0.3}, 0, 0.5).var(5000).front() > 0.0f);

  check_refused([] { Homoscedastic({}, 0, 1); }, {"std", "got no value"});
  check_refused([] { Homoscedastic({1.0}, 0.1, 1, true); }, {"learn", "min_std 0.1"});
  check_refused([] { Homoscedastic({1.0}, 0, 0.9, true); }, {"learn", "decay 0.9"});
  check_refused([] { Heteroscedastic(math::NoiseLink::exp, 0); }, {"gain", "got 0"});
  check_refused([] { Homoscedastic({0.0}, 0, 1); }, {"std", "got 0"});
  check_refused([] { Homoscedastic({1.0, -1.0}, 0, 1); }, {"std", "got -1"});
  check_refused([] { Homoscedastic({std::nan("")}, 0, 1); }, {"std", "got nan"});
  check_refused([] { Homoscedastic({1e19}, 0, 1); }, {"std", "got 1e+19"});
  check_refused([] { Homoscedastic({1.0}, 1e19, 1); }, {"min_std", "got 1e+19"});
  check_refused([&] { noise.var(-1); }, {"epoch: got -1"});
  check_refused([] { Homoscedastic({1.0}, -0.1, 1); }, {"min_std", "got -0.1"});
  check_refused([] { Homoscedastic({1.0}, 0, 0); }, {"decay", "got 0"});
  check_refused([] { Homoscedastic({1.0}, 0, 1.01); }, {"decay", "got 1.01"});
}
