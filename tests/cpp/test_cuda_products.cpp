#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "conformance/affine_backward.h"
#include "conformance/affine_epilogue.h"
#include "conformance/affine_forward.h"
#include "conformance/affine_innovations.h"
#include "core/cuda.h"
#include "cuda/product_choice.h"
#include "cuda_is_there.h"
#include "executor_problem.h"

// The ways in which device "cuda" works out products, which it chooses between by their shape: here
// each of them on the same shapes.

using namespace tagix;
using namespace tagix::test;
using namespace tagix::conformance;
using cuda::Products;
using cuda::TileSize;

namespace {

struct Way {
  Products products;
  TileSize tiles;

  std::string name() const {
    return text(products == Products::tensor_cores ? "tensor cores" : "multiply-adds",
                tiles == TileSize::wide ? ", wide tiles" : ", narrow tiles");
  }
};

std::vector<Way> ways() {
  std::vector<Way> ways;
  for (const TileSize tiles : {TileSize::narrow, TileSize::wide}) {
    ways.push_back({Products::multiply_adds, tiles});
    if (cuda_has(Precision::bfloat16)) ways.push_back({Products::tensor_cores, tiles});
  }
  return ways;
}

/// Results of an operation that takes one way.
std::vector<std::vector<double>> run(const Operation& operation, const Way& way,
                                     Precision precision) {
  struct Restored {
    ~Restored() { cuda::use_products(Products::automatic); }
  } restored;
  cuda::use_products(way.products, way.tiles);
  Arrays arrays(*cuda_backend(precision));
  operation.prepare(arrays)();
  return arrays.results();
}

/// Errors of the elements of an output, in units of 2^-24 sum |terms|.
struct Errors {
  double largest = 0;  ///< of all: the c of |error| <= c 2^-24 sum |terms|
  double mean = 0;     ///< with its sign: bias

  Errors(const std::vector<double>& result, const Expected& expected) {
    REQUIRE(result.size() == expected.values.size());
    for (std::size_t i = 0; i < result.size(); ++i) {
      const Sum& truth = expected.values[i];
      if (truth.magnitude == 0) continue;  // not of the product
      const double error = (result[i] - truth.value) / (0x1p-24 * truth.magnitude);
      if (!(std::fabs(error) <= largest)) largest = std::fabs(error);
      mean += error / static_cast<double>(result.size());
    }
  }
};

Operations affine_operations(const AffineShape& shape, bool has_bias) {
  Operations operations;
  operations.push_back(std::make_unique<AffineForward>(shape, true, has_bias));
  operations.push_back(std::make_unique<AffineForward>(shape, false, !has_bias));
  operations.push_back(std::make_unique<AffineEpilogue>(
      shape, has_bias, has_bias, math::ActivationSpec{ActivationKind::relu, MomentsForm::exact}));
  operations.push_back(std::make_unique<AffineBackward>(shape, has_bias));
  operations.push_back(std::make_unique<AffineInnovations>(shape, has_bias, has_bias));
  return operations;
}

}  // namespace

TEST_CASE("errors are within c 2^-24 sum |terms|, up to sums of 4096 terms") {
  if (!cuda_is_there()) return;
  for (Index depth : {64, 512, 4096}) {
    Operations operations;
    operations.push_back(std::make_unique<AffineForward>(AffineShape{64, depth, 64}, true, true));
    operations.push_back(std::make_unique<AffineForward>(AffineShape{64, depth, 64}, false, true));
    operations.push_back(std::make_unique<AffineBackward>(AffineShape{64, 64, depth}));
    operations.push_back(
        std::make_unique<AffineInnovations>(AffineShape{depth, 64, 64}, false, true));
    for (const auto& operation : operations) {
      const std::vector<Expected> expected = operation->expected();
      for (const Way& way : ways()) {
        const auto results = run(*operation, way, Precision::float32);
        std::string line = operation->name() + ", " + way.name() + ":";
        for (std::size_t k = 0; k < results.size(); ++k) {
          const Errors errors(results[k], expected[k]);
          INFO(operation->name(), ", ", way.name(), ", ", expected[k].name);
          const bool on_tensor_cores = way.products == Products::tensor_cores && k < 2;
          // Twice what the emulator gives, as tensor cores may truncate more often than it does. If
          // they kept one sum over all of the depth, c would be some 800 at 4096.
          const double c = on_tensor_cores ? 24 : expected[k].c;
          CHECK(errors.largest <= (depth > 1024 ? 2 * c : c));
          // Of truncation, which a variance shows.
          if (on_tensor_cores) CHECK(std::fabs(errors.mean) <= 12);
          line += text("  ", expected[k].name, " c ", errors.largest, " bias ", errors.mean);
        }
        MESSAGE(line);
      }
    }
  }
}

TEST_CASE("every way fits every shape, and repeats itself to the bit") {
  if (!cuda_is_there()) return;
  // Around the sizes of tiles, slices and of what is copied at a time.
  const std::vector<AffineShape> shapes{{1, 1, 1},   {2, 3, 5},    {3, 16, 7},    {17, 17, 15},
                                        {16, 64, 8}, {31, 33, 32}, {33, 5, 31},   {64, 48, 64},
                                        {65, 4, 65}, {63, 31, 66}, {130, 20, 68}, {129, 100, 67}};
  bool has_bias = false;
  for (const AffineShape& shape : shapes) {
    has_bias = !has_bias;
    for (const auto& operation : affine_operations(shape, has_bias)) {
      const std::vector<Expected> expected = operation->expected();
      for (const Precision precision :
           {Precision::float32, Precision::mixed, Precision::bfloat16}) {
        if (!cuda_has(precision)) continue;
        for (const Way& way : ways()) {
          if (way.products == Products::multiply_adds && precision != Precision::float32) continue;
          INFO(operation->name(), ", ", way.name(), ", ", precision_name(precision));
          const auto results = run(*operation, way, precision);
          const Verdict verdict = compare(results, expected, precision);
          CHECK_MESSAGE(verdict.passed, verdict.message);
          CHECK(run(*operation, way, precision) == results);
        }
      }
    }
  }
}

TEST_CASE("factors that are not aligned for copies of 16 bytes give the same bits") {
  if (!cuda_is_there()) return;
  struct Restored {
    ~Restored() { cuda::use_products(Products::automatic); }
  } restored;
  const std::shared_ptr<Backend> backend = cuda_backend();
  const Index rows = 40, in = 36, out = 48;
  const std::vector<float> values = uniform_floats(5000, 0.1, 1, 3);
  for (const Way& way : ways()) {
    INFO(way.name());
    cuda::use_products(way.products, way.tiles);
    std::vector<std::vector<std::vector<double>>> results;
    for (Index offset : {0, 1}) {
      Arrays arrays(*backend);
      const auto shifted = [&](Index size) {
        std::vector<float> host(values.begin(), values.begin() + size);
        host.insert(host.begin(), static_cast<std::size_t>(offset), 0.0f);
        return arrays.input(host) + offset;
      };
      const auto moments = [&](Index n_rows, Index n_cols) {
        return ConstMomentsView{shifted(n_rows * n_cols), shifted(n_rows * n_cols), n_rows, n_cols};
      };
      const ConstMomentsView a = moments(rows, in), weight = moments(out, in),
                             delta = moments(rows, out);
      backend->affine_forward(a, weight, {}, std::nullopt, arrays.output(rows, out));
      backend->affine_backward(delta, weight, nullptr, arrays.output(rows, in));
      const std::vector<AffinePass> passes{{a, delta, 0, out * in}};
      Buffer<float> scratch(*backend, backend->innovation_scratch(passes));
      backend->affine_innovations(passes, arrays.output(1, out * (in + 1)), scratch.data());
      results.push_back(arrays.results());
    }
    CHECK(results[0] == results[1]);
  }
}

TEST_CASE("an executor runs products in the backend's precision") {
  if (!cuda_is_there()) return;
  const std::vector<Index> widths{70, 128, 64, 3};
  const LayerPointer network = relu_network(widths);
  const Problem problem(*network, 200, 70, true, 5);
  std::vector<std::vector<double>> truth;
  float64_truth(problem, widths, 2, truth);
  for (const Precision precision : {Precision::float32, Precision::mixed, Precision::bfloat16}) {
    if (!cuda_has(precision)) continue;
    const std::shared_ptr<Backend> backend = cuda_backend(precision);
    INFO(backend->name());
    CHECK(backend->precision() == precision);
    const Result fused = learn(*backend, *fuse(*backend, network), problem, 2);
    const Result by_graph = learn(*backend, *graph_executor(*backend, network), problem, 2);
    const bool exact = precision == Precision::float32;
    for (const Result& result : {fused, by_graph}) {
      // A variance differs from float64 by the rounding of two factors in every layer.
      check_close(result.prediction, truth[0], truth[1], exact ? 2e-5 : 0.02);
      check_close(result.innovation, truth[2], truth[3], exact ? 2e-5 : 0.05);
      check_close(result.input_delta, truth[4], truth[5], exact ? 2e-5 : 0.05);
    }
    // The same factors are rounded, of which few lie so near to a tie that they differ.
    check_close(fused.innovation, doubles(by_graph.innovation.mean),
                doubles(by_graph.innovation.var), exact ? 2e-5 : 2e-3);
    if (!exact && cuda_has(precision)) {
      CHECK_FALSE(same_bits(
          fused.prediction.var,
          learn(*cuda_backend(), *fuse(*cuda_backend(), network), problem, 2).prediction.var));
    }
  }
}
