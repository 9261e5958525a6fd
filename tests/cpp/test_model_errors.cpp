#include <doctest/doctest.h>

#include <functional>
#include <memory>

#include "layers/activation.h"
#include "layers/linear.h"
#include "layers/sequential.h"
#include "models/model.h"
#include "test_helpers.h"

using namespace tagix;
using namespace tagix::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::shared_ptr<const Layer> network() {
  return std::make_shared<Sequential>(std::vector<std::shared_ptr<const Layer>>{
      std::make_shared<Linear>(3, 5, true, Linear::Init::he, 1.0, 1.0),
      std::make_shared<Activation>(
          math::ActivationSpec{math::ActivationKind::relu, math::MomentsForm::exact}),
      std::make_shared<Linear>(5, 2, true, Linear::Init::he, 1.0, 1.0)});
}

/// Arguments of an update of 4 rows, good until a test spoils one.
struct Arguments {
  std::vector<float> x = uniform_floats(12, -1, 1, 1), x_var = uniform_floats(12, 0, 1, 2);
  std::vector<float> y = uniform_floats(8, -1, 1, 3), noise_var = std::vector<float>(8, 0.1f);
  Index rows = 4, cols = 3;

  HostMoments input() const { return {x, x_var, rows, cols}; }
  HostNoise noise() const { return {noise_var, 2, 1}; }
};

bool same_parameters(const HostPair& a, const HostPair& b) {
  return a.mean == b.mean && a.var == b.var;
}

}  // namespace

TEST_CASE("a call with bad arguments is refused and leaves the parameters as they were") {
  struct Spoiled {
    std::function<void(Arguments&)> spoil;
    std::vector<std::string> message;
    bool target_only;  // predict does not look at it
  };
  const std::vector<Spoiled> table{
      {[](Arguments& a) { a.x[5] = infinity; }, {"x: got inf at flat position 5", "finite"}, false},
      {[](Arguments& a) { a.x[11] = missing; }, {"x: got nan at flat position 11"}, false},
      {[](Arguments& a) { a.x_var[0] = -1; }, {"x_var: got -1 at flat position 0"}, false},
      {[](Arguments& a) { a.x_var[3] = missing; }, {"x_var: got nan at flat position 3"}, false},
      {[](Arguments& a) { a.cols = 2; }, {"x: got 2 features", "needed 3"}, false},
      {[](Arguments& a) { a.y[7] = -infinity; }, {"y: got -inf at flat position 7"}, true},
      {[](Arguments& a) { a.noise_var[7] = 0; }, {"noise: got 0 at flat position 7"}, true},
      {[](Arguments& a) { a.noise_var[1] = -2; }, {"noise: got -2 at flat position 1"}, true},
      {[](Arguments& a) { a.noise_var[2] = missing; }, {"noise: got nan"}, true},
      {[](Arguments& a) { a.noise_var[2] = infinity; }, {"noise: got inf"}, true},
      {[](Arguments& a) { a.rows = 0; }, {"x: got 0 rows", "at least 1"}, true},
  };
  Model model(network(), {}, 1, cpu_backend());
  const HostPair before = parameters_of(model);
  std::vector<float> mean(8), var(8);
  for (const Spoiled& row : table) {
    Arguments arguments;
    row.spoil(arguments);
    const auto input = arguments.input();
    const auto noise = arguments.noise();
    const HostPointer<const float> y = arguments.y;
    check_refused([&] { model.update(input, y, noise, {mean, var}); }, row.message);
    check_refused([&] { model.innovations(input, y, noise); }, row.message);
    check_refused([&] { model.evaluate(input, y, noise); }, row.message);
    if (!row.target_only) {
      check_refused([&] { model.predict(input, {}, {mean, var}); }, row.message);
    }
    CHECK(same_parameters(parameters_of(model), before));
  }
  // The last column is read in the last row too, and nothing beyond it.
  const Arguments good;
  model.update(good.input(), good.y, good.noise(), {mean, var});
  CHECK_FALSE(same_parameters(parameters_of(model), before));
}

TEST_CASE("no rows give no prediction") {
  const Model model(network(), {}, 1, cpu_backend());
  const auto predict = [&](const auto& input) { model.predict(input, {}, {nullptr, nullptr}); };
  predict(HostMoments{nullptr, nullptr, 0, 3});
  predict(ConstMomentsView{nullptr, nullptr, 0, 3});
  check_refused([&] { predict(HostMoments{nullptr, nullptr, 0, 4}); }, {"x: got 4 features"});
  check_refused([&] { predict(ConstMomentsView{nullptr, nullptr, 0, 4}); }, {"x: got 4 features"});
}

TEST_CASE("parameters that no network can have are refused") {
  Model model(network(), {}, 1, cpu_backend());
  const HostPair before = parameters_of(model);
  HostPair bad = before;
  bad.mean[3] = missing;
  check_refused([&] { model.set_parameters(bad.mean, bad.var); },
                {"mean: got nan at flat position 3"});
  bad = before;
  bad.var[4] = -1e-3f;
  check_refused([&] { model.set_parameters(bad.mean, bad.var); },
                {"var: got -0.001 at flat position 4"});
  CHECK(same_parameters(parameters_of(model), before));
}

TEST_CASE("an update whose prediction overflows is refused and changes nothing") {
  Model model(network(), {}, 1, cpu_backend());
  const HostPair before = parameters_of(model);
  Arguments arguments;
  arguments.x[7] = 1e30f;
  std::vector<float> mean(8), var(8);
  check_refused(
      [&] { model.update(arguments.input(), arguments.y, arguments.noise(), {mean, var}); },
      {"x", "overflows float32"});
  CHECK(same_parameters(parameters_of(model), before));
}

TEST_CASE("an update whose innovations overflow is refused and changes nothing") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  Model model(network(), {}, 1, backend);
  // Parameters of so little variance that predictions have next to none.
  HostPair parameters = parameters_of(model);
  std::fill(parameters.var.begin(), parameters.var.end(), 1e-20f);
  model.set_parameters(parameters.mean, parameters.var);
  Arguments arguments;
  arguments.y[3] = 3e38f;
  std::fill(arguments.noise_var.begin(), arguments.noise_var.end(), 1e-20f);
  std::vector<float> mean(8), var(8);
  check_refused(
      [&] {
        model.update({arguments.x, nullptr, 4, 3}, arguments.y, arguments.noise(), {mean, var});
      },
      {"y", "overflow float32"});
  CHECK(same_parameters(parameters_of(model), parameters));
  Buffer<float> x(*backend), y(*backend), noise_var(*backend);
  x.assign(arguments.x);
  y.assign(arguments.y);
  noise_var.assign(arguments.noise_var);
  CHECK_THROWS_AS(
      TrainingSteps(model).step({{x.data(), nullptr, 4, 3}, y.data(), {noise_var.data(), 2, 1}}),
      std::invalid_argument);
  CHECK(same_parameters(parameters_of(model), parameters));
}

TEST_CASE("a training step whose prediction overflows throws and changes nothing") {
  const std::shared_ptr<Backend> backend = cpu_backend();
  for (bool observed : {true, false}) {
    CAPTURE(observed);
    Model model(network(), {}, 1, backend);
    const HostPair before = parameters_of(model);
    Arguments arguments;
    arguments.x[7] = 1e30f;  // in row 2
    if (!observed) arguments.y[4] = arguments.y[5] = missing;
    Buffer<float> x(*backend), y(*backend), noise_var(*backend);
    x.assign(arguments.x);
    y.assign(arguments.y);
    noise_var.assign(arguments.noise_var);
    CHECK_THROWS_AS(
        TrainingSteps(model).step({{x.data(), nullptr, 4, 3}, y.data(), {noise_var.data(), 2, 1}}),
        std::invalid_argument);
    CHECK(same_parameters(parameters_of(model), before));
  }
}

TEST_CASE("a number of epochs below 0 is refused") {
  Model model(network(), {}, 1, cpu_backend());
  model.set_epochs_trained(3);
  check_refused([&] { model.set_epochs_trained(-1); }, {"epochs_trained: got -1", "at least 0"});
  CHECK(model.epochs_trained() == 3);
}

TEST_CASE("devices that are not there are refused") {
  CHECK(contains(backend_for("cpu")->name(), "cpu"));
  check_refused([] { backend_for("abacus"); }, {"device", "'abacus'", "'cpu'"});
}
