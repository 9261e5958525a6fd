#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include "conformance/affine_backward.h"
#include "conformance/affine_epilogue.h"
#include "conformance/affine_forward.h"
#include "conformance/affine_innovations.h"
#include "core/cuda.h"
#include "cuda/product_choice.h"
#include "test_helpers.h"

using namespace tagix;
using namespace tagix::conformance;

TEST_CASE("a GPU without the tensor cores has float32 alone, by multiply-adds") {
  tagix_emulator::set_compute_capability(7, 5);
  REQUIRE_FALSE(cuda_why_not());
  CHECK(cuda_has(Precision::float32));
  for (const Precision precision : {Precision::mixed, Precision::bfloat16}) {
    CHECK_FALSE(cuda_has(precision));
    test::check_refused([&] { cuda_backend(precision); },
                        {"precision: got", "needed 'float32'", "bfloat16"});
  }
  Operations operations;
  const AffineShape shape{130, 70, 100};
  operations.push_back(std::make_unique<AffineForward>(shape, false, true));
  operations.push_back(std::make_unique<AffineBackward>(shape));
  operations.push_back(std::make_unique<AffineEpilogue>(
      shape, false, true,
      math::ActivationSpec{math::ActivationKind::relu, math::MomentsForm::exact}));
  operations.push_back(std::make_unique<AffineInnovations>(shape, true, true));
  const auto results_of = [](const Operation& operation, cuda::Products products) {
    cuda::use_products(products);
    Arrays arrays(*cuda_backend());
    operation.prepare(arrays)();
    cuda::use_products(cuda::Products::automatic);
    return arrays.results();
  };
  for (const auto& operation : operations) {
    INFO(operation->name());
    const auto results = results_of(*operation, cuda::Products::multiply_adds);
    const Verdict verdict = compare(results, operation->expected(), Precision::float32);
    CHECK_MESSAGE(verdict.passed, verdict.message);
    CHECK(results_of(*operation, cuda::Products::automatic) == results);
    CHECK(results_of(*operation, cuda::Products::tensor_cores) == results);
  }
}
