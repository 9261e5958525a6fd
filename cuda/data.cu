#include "kernels.h"
#include "launch.h"
#include "math/permutation.h"

namespace tagix::cuda {
namespace {

constexpr Index columns_each = 4;

__host__ __device__ Index n_groups(Index cols) { return (cols + columns_each - 1) / columns_each; }

__device__ Index row_of(RowSelection rows, Index i) {
  const Index at = rows.state->position + i;
  return rows.order == nullptr ? at : rows.order[at];
}

/// The standard normal numbers of four columns of a row.
struct Normals {
  float number[columns_each];

  __device__ Normals(std::uint64_t seed, math::RandomStream stream, std::uint64_t step, Index row,
                     Index group) {
    const math::Philox4 words = math::random_words(
        seed, stream, step, static_cast<std::uint64_t>(row), static_cast<std::uint32_t>(group));
    math::normal_pair(words.word[0], words.word[1], number);
    math::normal_pair(words.word[2], words.word[3], number + 2);
  }
};

struct Shuffle {
  math::Permutation permutation;
  Index* order;

  __device__ void operator()(Index i) const {
    order[i] = static_cast<Index>(permutation(static_cast<std::uint64_t>(i)));
  }
};

struct GatherRows {
  const float* source;
  Index cols;
  RowSelection rows;
  float* output;

  __device__ void operator()(Index i) const {
    output[i] = source[row_of(rows, i / cols) * cols + i % cols];
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
    const Normals normals(seed, stream, step, first_row + row, group);
    for (Index k = 0; k < columns_each; ++k) {
      const Index col = group * columns_each + k;
      if (col < cols) output[row * cols + col] = normals.number[k];
    }
  }
};

struct Diffuse {
  DiffusionTables tables;
  std::uint64_t seed;
  const float* clean;
  Index n_features;
  TrainingLabels labels;
  RowSelection rows;
  float* input;
  float* target;

  __host__ __device__ Index groups_of_row() const {
    return n_groups(n_features) + n_groups(tables.conditions.cols());
  }

  __device__ void operator()(Index i) const {
    const Index at = i / groups_of_row(), group = i % groups_of_row();
    const Index row = row_of(rows, at);
    const std::uint64_t epoch = rows.state->epoch, key = static_cast<std::uint64_t>(row);
    const Index t = math::drawn_timestep(seed, epoch, key, tables.first_step, tables.n_steps);
    float* input_row = input + at * (n_features + tables.conditions.cols());
    if (group >= n_groups(n_features)) {
      Index label = -1;
      if (labels.of_row != nullptr && !math::drops_label(seed, epoch, key, labels.dropped_below)) {
        label = labels.of_row[row];
      }
      for (Index k = 0; k < columns_each; ++k) {
        const Index col = (group - n_groups(n_features)) * columns_each + k;
        if (col >= tables.conditions.cols()) break;
        input_row[n_features + col] = tables.conditions.at(t, label, col);
      }
      return;
    }
    const Normals noise(seed, math::RandomStream::diffusion_noise, epoch, row, group);
    const math::NoiseLevel level = tables.levels[t];
    for (Index k = 0; k < columns_each; ++k) {
      const Index col = group * columns_each + k;
      if (col >= n_features) break;
      const float x = clean[row * n_features + col];
      input_row[col] = math::diffused(x, noise.number[k], level);
      target[at * n_features + col] = math::diffusion_target(x, noise.number[k], level);
    }
  }
};

struct AppendConditions {
  Conditions conditions;
  const float* noisy;
  Index n_features;
  const Index* timestep;
  const Index* labels;
  float* input;

  __device__ void operator()(Index i) const {
    const Index cols = n_features + conditions.cols();
    const Index row = i / cols, col = i % cols;
    if (col < n_features) {
      input[i] = noisy[row * n_features + col];
    } else {
      const Index label = labels == nullptr ? -1 : labels[row];
      input[i] = conditions.at(*timestep, label, col - n_features);
    }
  }
};

struct Denoise {
  const math::SamplerStage* stages;
  const Index* stage;
  ConstMomentsView prediction;
  Index cols;
  std::uint64_t seed;
  const Index* first_row;
  float* noisy;
  float* carry;
  float* var;

  __device__ void operator()(Index i) const {
    const Index row = i / n_groups(cols), group = i % n_groups(cols);
    const math::SamplerStage step = stages[*stage];
    const Normals normals(seed, math::RandomStream::sampler_noise,
                          static_cast<std::uint64_t>(*stage), *first_row + row, group);
    for (Index k = 0; k < columns_each; ++k) {
      const Index col = group * columns_each + k;
      if (col >= cols) break;
      const Index at = row * cols + col;
      const Index predicted = row * prediction.cols + col;
      const float x = noisy[at], mean = prediction.mean[predicted];
      noisy[at] =
          math::stage_result(x, mean, carry == nullptr ? 0.0f : carry[at], normals.number[k], step);
      if (carry != nullptr) carry[at] = math::stage_carry(x, mean, step);
      var[at] = math::stage_var(prediction.var[predicted], step);
    }
  }
};

struct Combine {
  const float* first;
  float first_weight;
  const float* second;
  float second_weight;
  float* output;

  __device__ void operator()(Index i) const {
    output[i] = first_weight * first[i] + second_weight * second[i];
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
  for_each("shuffle", n_rows, Shuffle{permutation, order});
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
  const Diffuse function{tables, seed, clean, n_features, labels, rows, input, target};
  for_each("diffuse", n_rows * function.groups_of_row(), function);
}

void append_conditions(const Conditions& conditions, const float* noisy, Index n_features,
                       const Index* timestep, const Index* labels, Index n_rows, float* input) {
  for_each("append_conditions", n_rows * (n_features + conditions.cols()),
           AppendConditions{conditions, noisy, n_features, timestep, labels, input});
}

void denoise(const math::SamplerStage* stages, const Index* stage, ConstMomentsView prediction,
             Index n_features, std::uint64_t seed, const Index* first_row, float* noisy,
             float* carry, float* var) {
  for_each("denoise", prediction.rows * n_groups(n_features),
           Denoise{stages, stage, prediction, n_features, seed, first_row, noisy, carry, var});
}

void combine(const float* first, float first_weight, const float* second, float second_weight,
             Index size, float* output) {
  for_each("combine", size, Combine{first, first_weight, second, second_weight, output});
}

void advance(Index* value, Index amount) { for_each("advance", 1, Advance{value, amount}); }

}  // namespace tagix::cuda
