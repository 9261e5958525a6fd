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

/// Copies four time features to their place in a row of network inputs.
__device__ void copy_time_features(const DiffusionTables& tables, Index t, Index group,
                                   float* target) {
  for (Index k = 0; k < columns_each; ++k) {
    const Index col = group * columns_each + k;
    if (col < tables.n_time_features) {
      target[col] = tables.time_features[t * tables.n_time_features + col];
    }
  }
}

struct Diffuse {
  DiffusionTables tables;
  std::uint64_t seed;
  const float* clean;
  Index n_features;
  RowSelection rows;
  float* input;
  float* target;

  __host__ __device__ Index groups_of_row() const {
    return n_groups(n_features) + n_groups(tables.n_time_features);
  }

  __device__ void operator()(Index i) const {
    const Index at = i / groups_of_row(), group = i % groups_of_row();
    const Index row = row_of(rows, at);
    const std::uint64_t epoch = rows.state->epoch;
    const Index t = math::drawn_timestep(seed, epoch, static_cast<std::uint64_t>(row),
                                         tables.first_step, tables.n_steps);
    float* input_row = input + at * (n_features + tables.n_time_features);
    if (group >= n_groups(n_features)) {
      copy_time_features(tables, t, group - n_groups(n_features), input_row + n_features);
      return;
    }
    const Normals noise(seed, math::RandomStream::diffusion_noise, epoch, row, group);
    for (Index k = 0; k < columns_each; ++k) {
      const Index col = group * columns_each + k;
      if (col >= n_features) break;
      target[at * n_features + col] = noise.number[k];
      input_row[col] = math::diffused(clean[row * n_features + col], noise.number[k],
                                      tables.signal_scale[t], tables.noise_scale[t]);
    }
  }
};

struct EmbedTimesteps {
  DiffusionTables tables;
  const float* noisy;
  Index n_features;
  const Index* timesteps;
  Index timestep_stride;
  float* input;

  __device__ void operator()(Index i) const {
    const Index cols = n_features + tables.n_time_features;
    const Index row = i / cols, col = i % cols;
    const Index t = timesteps[row * timestep_stride];
    input[i] = col < n_features
                   ? noisy[row * n_features + col]
                   : tables.time_features[t * tables.n_time_features + col - n_features];
  }
};

struct Denoise {
  const math::ReverseStep* reverse_steps;
  const Index* timestep;
  ConstMomentsView prediction;
  Index cols;
  std::uint64_t seed;
  const Index* first_row;
  float* noisy;
  float* var;

  __device__ void operator()(Index i) const {
    const Index row = i / n_groups(cols), group = i % n_groups(cols);
    const math::ReverseStep step = reverse_steps[*timestep];
    const Normals normals(seed, math::RandomStream::sampler_noise,
                          static_cast<std::uint64_t>(*timestep), *first_row + row, group);
    for (Index k = 0; k < columns_each; ++k) {
      const Index col = group * columns_each + k;
      if (col >= cols) break;
      const Index at = row * cols + col;
      const Index predicted = row * prediction.cols + col;
      noisy[at] = math::denoised(noisy[at], prediction.mean[predicted], normals.number[k], step);
      var[at] = math::denoised_var(prediction.var[predicted], step);
    }
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
             Index n_features, RowSelection rows, Index n_rows, float* input, float* target) {
  const Diffuse function{tables, seed, clean, n_features, rows, input, target};
  for_each("diffuse", n_rows * function.groups_of_row(), function);
}

void embed_timesteps(const DiffusionTables& tables, const float* noisy, Index n_features,
                     const Index* timesteps, Index timestep_stride, Index n_rows, float* input) {
  for_each("embed_timesteps", n_rows * (n_features + tables.n_time_features),
           EmbedTimesteps{tables, noisy, n_features, timesteps, timestep_stride, input});
}

void denoise(const DiffusionTables& tables, const Index* timestep, ConstMomentsView prediction,
             Index n_features, std::uint64_t seed, const Index* first_row, float* noisy,
             float* var) {
  for_each(
      "denoise", prediction.rows * n_groups(n_features),
      Denoise{tables.reverse_steps, timestep, prediction, n_features, seed, first_row, noisy, var});
}

void advance(Index* value, Index amount) { for_each("advance", 1, Advance{value, amount}); }

}  // namespace tagix::cuda
