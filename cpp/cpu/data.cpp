#include "cpu/data.h"

#include <algorithm>

#include "cpu/pieces.h"
#include "cpu/scratch.h"
#include "math/permutation.h"
#include "ops/append_conditions.h"
#include "ops/combine.h"
#include "ops/denoise.h"
#include "ops/denoise_covariance.h"
#include "ops/diffuse.h"
#include "ops/shuffle.h"

namespace tagix::cpu {
namespace {

struct SlopeMatrix {};

/// A rough cost of a random number, which decides whether other threads are woken.
constexpr double random_ns = 10;

/// Calls body(row) for rows that each draw so many random numbers.
template <class Body>
void for_random_rows(Index n_rows, Index numbers, Body&& body) {
  for_rows(n_rows, static_cast<double>(numbers) * random_ns, body);
}

}  // namespace

void shuffle(std::uint64_t seed, std::uint64_t epoch, Index n_rows, Index* order) {
  const math::Permutation permutation(seed, epoch, static_cast<std::uint64_t>(n_rows));
  for_elements(n_rows, ops::Shuffle{permutation, order}, random_ns);
}

void gather_rows(const float* source, Index cols, RowSelection rows, Index n_rows, float* output) {
  for (Index i = 0; i < n_rows; ++i) {
    std::copy_n(source + rows.row(i) * cols, cols, output + i * cols);
  }
}

void normal(std::uint64_t seed, math::RandomStream stream, std::uint64_t step, Index first_row,
            Index n_rows, Index cols, float* output) {
  for_random_rows(n_rows, cols, [&](Index row) {
    const math::NormalRow numbers{seed, stream, step, static_cast<std::uint64_t>(first_row + row)};
    numbers.write(cols, output + row * cols);
  });
}

void diffuse(const DiffusionTables& tables, std::uint64_t seed, const float* clean,
             Index n_features, TrainingLabels labels, RowSelection rows, Index n_rows, float* input,
             float* target) {
  const ops::Diffuse op{tables, seed, clean, n_features, labels, rows, input, target};
  for_random_rows(n_rows, n_features, [&](Index i) {
    const ops::Diffuse::Row row = op.row(i);
    const math::NoiseLevel level = tables.levels[row.timestep];
    float* const noise = target + i * n_features;  // until it is replaced by the target
    op.noise(row).write(n_features, noise);
    for (Index k = 0; k < n_features; ++k) op.write_value(row, level, k, noise[k]);
    const Index label = op.label(row);
    for (Index k = 0; k < tables.conditions.cols(); ++k) op.write_condition(row, label, k);
  });
}

void append_conditions(const Conditions& conditions, const float* noisy, Index n_features,
                       const Index* timestep, const Index* labels, Index n_rows, float* input) {
  const ops::AppendConditions op{conditions, noisy, n_features, timestep, labels, input};
  for (Index row = 0; row < n_rows; ++row) {
    std::copy_n(noisy + row * n_features, n_features, input + row * op.cols());
    const Index label = op.label(row);
    for (Index k = 0; k < conditions.cols(); ++k) op.write_condition(row, label, k);
  }
}

void denoise(const math::SamplerStage* stages, const Index* stage, ConstMomentsView prediction,
             Index n_features, std::uint64_t seed, const Index* first_row, float* noisy,
             float* carry, float* var) {
  const Index cols = n_features;
  const ops::Denoise op{stages, stage, prediction, cols, seed, first_row, noisy, carry, var};
  const math::SamplerStage step = stages[*stage];
  for_random_rows(prediction.rows, cols, [&](Index row) {
    // The variances of this row are written last: until then they hold its random numbers.
    float* const numbers = var + row * cols;
    if (step.noise_std != 0) {
      op.noise(row).write(cols, numbers);
    } else {
      std::fill_n(numbers, cols, 0.0f);
    }
    for (Index k = 0; k < cols; ++k) op(step, row, k, numbers[k]);
  });
}

void denoise_covariance(const math::SamplerStage* stages, const Index* stage, const float* jacobian,
                        const float* prediction_covariance, Index n_rows, Index n_features,
                        float* epistemic, float* aleatoric) {
  const Index n = n_features;
  const ops::DenoiseCovariance op{stages, stage,     jacobian, prediction_covariance,
                                  n,      epistemic, aleatoric};
  const double row_cost = 2.0 * static_cast<double>(n * n * (n + 2)) * element_ns;
  for_pieces(n_rows, 256, row_cost, [&](Index first, Index count) {
    const math::SamplerStage step = stages[*stage];
    float* const slopes = scratch<SlopeMatrix>(n * n);
    const auto slope = [slopes, n](Index i, Index k) { return slopes[i * n + k]; };
    for (Index row = first; row < first + count; ++row) {
      const Index matrix = row * n * n;
      for (Index i = 0; i < n; ++i) {
        for (Index k = 0; k < n; ++k) slopes[i * n + k] = op.slope(step, matrix, i, k);
      }
      for (Index i = 0; i < n; ++i) {
        for (Index k = 0; k < n; ++k) op.times_slopes(slope, matrix, i, k);
      }
      for (Index i = 0; i < n; ++i) {
        for (Index k = i; k < n; ++k) op.times_transposed_slopes(step, slope, matrix, i, k);
      }
      for (Index i = 0; i < n; ++i) {
        for (Index k = 0; k < n; ++k) op.tweedie(step, matrix, i, k);
      }
    }
  });
}

void combine(const float* first, float first_weight, const float* second, float second_weight,
             Index size, float* output) {
  for_elements(size, ops::Combine{first, first_weight, second, second_weight, output});
}

}  // namespace tagix::cpu
