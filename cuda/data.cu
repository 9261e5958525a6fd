#include "launch.h"
#include "math/permutation.h"
#include "operations.h"
#include "ops/append_conditions.h"
#include "ops/combine.h"
#include "ops/denoise.h"
#include "ops/diffuse.h"
#include "ops/shuffle.h"

namespace tagix::cuda {
namespace {

// Where a row draws random numbers, a thread takes as many columns as a block of them has.

constexpr Index columns_each = math::NormalRow::block_size;

__host__ __device__ Index n_groups(Index cols) { return (cols + columns_each - 1) / columns_each; }

/// The columns of a group, of so many: calls use(column, its place in the group).
template <class Use>
__device__ __forceinline__ void for_columns(Index group, Index cols, const Use& use) {
  for (Index k = 0; k < columns_each; ++k) {
    const Index col = group * columns_each + k;
    if (col < cols) use(col, k);
  }
}

struct GatherRows {
  const float* source;
  Index cols;
  RowSelection rows;
  float* output;

  __device__ void operator()(Index i) const {
    output[i] = source[rows.row(i / cols) * cols + i % cols];
  }
};

struct Normal {
  std::uint64_t seed;
  math::RandomStream stream;
  std::uint64_t step;
  Index first_row, cols;
  float* output;

  __device__ void operator()(Index i) const {
    const Index row = i / n_groups(cols), group = i % n_groups(cols);
    const math::NormalRow numbers{seed, stream, step, static_cast<std::uint64_t>(first_row + row)};
    float number[columns_each];
    numbers.draw(group, number);
    for_columns(group, cols, [&](Index col, Index k) { output[row * cols + col] = number[k]; });
  }
};

/// Groups of a row's values, then groups of its conditions.
struct Diffuse {
  ops::Diffuse op;

  __host__ __device__ Index groups_of_row() const {
    return n_groups(op.n_features) + n_groups(op.tables.conditions.cols());
  }

  __device__ void operator()(Index i) const {
    const Index group = i % groups_of_row(), value_groups = n_groups(op.n_features);
    const ops::Diffuse::Row row = op.row(i / groups_of_row());
    if (group >= value_groups) {
      const Index label = op.label(row);
      for_columns(group - value_groups, op.tables.conditions.cols(),
                  [&](Index col, Index) { op.write_condition(row, label, col); });
      return;
    }
    float noise[columns_each];
    op.noise(row).draw(group, noise);
    const math::NoiseLevel level = op.tables.levels[row.timestep];
    for_columns(group, op.n_features,
                [&](Index col, Index k) { op.write_value(row, level, col, noise[k]); });
  }
};

struct AppendConditions {
  ops::AppendConditions op;

  __device__ void operator()(Index i) const {
    const Index row = i / op.cols(), col = i % op.cols();
    if (col < op.n_features) {
      op.write_value(row, col);
    } else {
      op.write_condition(row, op.label(row), col - op.n_features);
    }
  }
};

struct Denoise {
  ops::Denoise op;

  __device__ void operator()(Index i) const {
    const Index row = i / n_groups(op.cols), group = i % n_groups(op.cols);
    const math::SamplerStage step = op.stages[*op.stage];
    float noise[columns_each];
    op.noise(row).draw(group, noise);
    for_columns(group, op.cols, [&](Index col, Index k) { op(step, row, col, noise[k]); });
  }
};

struct Advance {
  Index* value;
  Index amount;

  __device__ void operator()(Index) const { *value += amount; }
};

}  // namespace

void shuffle(std::uint64_t seed, std::uint64_t epoch, Index n_rows, Index* order) {
  const math::Permutation permutation(seed, epoch, static_cast<std::uint64_t>(n_rows));
  for_each("shuffle", n_rows, ops::Shuffle{permutation, order});
}

void gather_rows(const float* source, Index cols, RowSelection rows, Index n_rows, float* output) {
  for_each("gather_rows", n_rows * cols, GatherRows{source, cols, rows, output});
}

void normal(std::uint64_t seed, math::RandomStream stream, std::uint64_t step, Index first_row,
            Index n_rows, Index cols, float* output) {
  for_each("normal", n_rows * n_groups(cols), Normal{seed, stream, step, first_row, cols, output});
}

void diffuse(const DiffusionTables& tables, std::uint64_t seed, const float* clean,
             Index n_features, TrainingLabels labels, RowSelection rows, Index n_rows, float* input,
             float* target) {
  const Diffuse function{{tables, seed, clean, n_features, labels, rows, input, target}};
  for_each("diffuse", n_rows * function.groups_of_row(), function);
}

void append_conditions(const Conditions& conditions, const float* noisy, Index n_features,
                       const Index* timestep, const Index* labels, Index n_rows, float* input) {
  for_each("append_conditions", n_rows * (n_features + conditions.cols()),
           AppendConditions{{conditions, noisy, n_features, timestep, labels, input}});
}

void denoise(const math::SamplerStage* stages, const Index* stage, ConstMomentsView prediction,
             Index n_features, std::uint64_t seed, const Index* first_row, float* noisy,
             float* carry, float* var) {
  for_each("denoise", prediction.rows * n_groups(n_features),
           Denoise{{stages, stage, prediction, n_features, seed, first_row, noisy, carry, var}});
}

void combine(const float* first, float first_weight, const float* second, float second_weight,
             Index size, float* output) {
  for_each("combine", size, ops::Combine{first, first_weight, second, second_weight, output});
}

void advance(Index* value, Index amount) { for_each("advance", 1, Advance{value, amount}); }

}  // namespace tagix::cuda
