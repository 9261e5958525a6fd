#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include "core/cuda.h"
#include "executor_problem.h"
#include "models/regression_source.h"
#include "models/trainer.h"

using namespace tagix;
using namespace tagix::test;

TEST_CASE("another library's choice of a device stays, and disturbs nothing") {
  tagix_emulator::set_device_count(2);
  REQUIRE_FALSE(cuda_why_not());
  const std::vector<float> x = uniform_floats(3 * 40, -1, 1, 1),
                           y = uniform_floats(2 * 40, -1, 1, 2);
  HostPair parameters[2];
  for (int device : {0, 1}) {
    REQUIRE(cudaSetDevice(device) == cudaSuccess);
    {
      Model model(relu_network({3, 20, 2}), UpdateRule{}, 5, cuda_backend());
      RegressionSource source(model.backend(), x, y, 40, 3, 2);
      source.set_noise_var({0.1f});
      Trainer trainer(model, source, 8, true);
      for (int epoch = 0; epoch < 3; ++epoch) trainer.run_epoch({});
      parameters[device] = parameters_of(model);
    }
    int current = -1;
    CHECK(cudaGetDevice(&current) == cudaSuccess);
    CHECK(current == device);
  }
  check_same(parameters[0], parameters[1]);
  REQUIRE(cudaSetDevice(0) == cudaSuccess);
  tagix_emulator::set_device_count(1);
}
