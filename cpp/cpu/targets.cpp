#include "cpu/targets.h"

#include <algorithm>
#include <limits>

#include "cpu/pieces.h"
#include "cpu/scratch.h"
#include "ops/batch_sums.h"
#include "ops/observe_classes.h"
#include "ops/weigh_rows.h"

namespace tagix::cpu {
namespace {

struct RepeatedNoise {};
struct NoisyColumns {};
struct NoiseVariances {};
struct TreeNodes {};
struct ClassProbabilities {};

/// Rough nanoseconds for an output of a row, which decide whether other threads are woken.
double cost_of(const math::ClassHead& classes) {
  return classes.link == math::ClassLink::softmax ? 4 * element_ns : 20;
}

/// Copies `cols` columns between matrices of so many columns each.
void copy_block(const float* source, Index source_cols, float* target, Index target_cols,
                Index rows, Index cols) {
  for (Index row = 0; row < rows; ++row) {
    std::copy_n(source + row * source_cols, cols, target + row * target_cols);
  }
}

/// The known noise variances of some rows, each side by side.
void copy_known_vars(const NoiseView& noise, Index first, Index rows, Index n, float* noise_var) {
  for (Index row = 0; row < rows; ++row, noise_var += n) {
    const float* const own = noise.data + (first + row) * noise.row_stride;
    if (noise.col_stride == 0) {
      std::fill_n(noise_var, n, *own);
    } else {
      for (Index col = 0; col < n; ++col) noise_var[col] = own[col * noise.col_stride];
    }
  }
}

/// Calls body(first row, rows, their noise variances: rows x n) for all the rows of a prediction.
template <class Body>
void for_noise_variances(const Kernels& kernels, ConstMomentsView prediction,
                         const NoiseView& noise, Body&& body) {
  const Index cols = prediction.cols, n = noise.n_targets(cols);
  const Index block = std::max<Index>(1, elementwise_piece / (4 * n));
  float* const noise_var = scratch<NoiseVariances>(3 * block * n);
  for (Index first = 0; first < prediction.rows; first += block) {
    const Index rows = std::min(block, prediction.rows - first);
    if (noise.head.exists()) {
      float *const mean = noise_var + block * n, *const var = mean + block * n;
      copy_block(prediction.mean + first * cols + n, cols, mean, n, rows, n);
      copy_block(prediction.var + first * cols + n, cols, var, n, rows, n);
      kernels.infer_noise(noise.head, mean, var, rows * n, noise_var);
    } else {
      copy_known_vars(noise, first, rows, n, noise_var);
    }
    body(first, rows, noise_var);
  }
}

/// `observe` with a noise head. Rows may be narrower than a vector, so some at a time are sorted by
/// columns of values and of the head.
void observe_noisy(const Kernels& kernels, ConstMomentsView prediction, const float* target,
                   const math::NoiseHead& head, float spread, MomentsView delta) {
  const Index cols = prediction.cols, n = head.n_targets(cols);
  const Index block = std::max<Index>(1, elementwise_piece / (8 * n));
  float* const planes = scratch<NoisyColumns>(8 * block * n);
  for (Index first = 0; first < prediction.rows; first += block) {
    const Index rows = std::min(block, prediction.rows - first), size = rows * n;
    const auto plane = [&](Index i) { return planes + i * size; };
    const auto take = [&](const float* source, Index column, float* part) {
      copy_block(source + first * cols + column, cols, part, n, rows, n);
    };
    take(prediction.mean, 0, plane(0));
    take(prediction.var, 0, plane(1));
    take(prediction.mean, n, plane(2));
    take(prediction.var, n, plane(3));
    kernels.observe_noisy(head,
                          {plane(0), plane(1), plane(2), plane(3), target + first * n, plane(4),
                           plane(5), plane(6), plane(7)},
                          spread, size);
    const auto give = [&](const float* part, float* result, Index column) {
      copy_block(part, n, result + first * cols + column, cols, rows, n);
    };
    give(plane(4), delta.mean, 0);
    give(plane(5), delta.var, 0);
    give(plane(6), delta.mean, n);
    give(plane(7), delta.var, n);
  }
}

/// `observe` with known noise.
void observe_numbers(const Kernels& kernels, ConstMomentsView prediction, const float* target,
                     const NoiseView& noise, float spread, MomentsView delta) {
  const Index cols = prediction.cols;
  const auto observe_part = [&](Index first, Index count, const float* var, Index stride) {
    kernels.observe(prediction.mean + first, prediction.var + first, target + first, var, stride,
                    spread, count, delta.mean + first, delta.var + first);
  };
  const bool uniform = noise.row_stride == 0 && noise.col_stride == 0;
  const bool dense = noise.row_stride == cols && noise.col_stride == 1;
  if (uniform || dense) {
    const Index stride = noise.col_stride;
    for_element_pieces(prediction.size(), [&](Index first, Index count) {
      observe_part(first, count, noise.data + first * stride, stride);
    });
    return;
  }
  // Rows may be narrower than a vector, so noise that repeats is written out for some at a time.
  const Index block = std::max<Index>(1, elementwise_piece / cols);
  float* const repeated = scratch<RepeatedNoise>(block * cols);
  for (Index first = 0; first < prediction.rows; first += block) {
    const Index rows = std::min(block, prediction.rows - first);
    copy_known_vars(noise, first, rows, cols, repeated);
    observe_part(first * cols, rows * cols, repeated, 1);
  }
}

/// `observe` of classes. In the tree no output has an innovation but those on the class's path.
void observe_classes(const Kernels& kernels, ConstMomentsView prediction, const float* target,
                     const math::ClassHead& classes, float spread, MomentsView delta) {
  using math::ClassLink;
  const Index n = prediction.cols;
  const ops::ObserveClasses op{prediction, target, classes, spread, delta};
  const bool by_path = classes.link == ClassLink::tree;
  const double row_ns = static_cast<double>(n) * (by_path ? element_ns : cost_of(classes));
  for_rows(prediction.rows, row_ns, [&](Index row) {
    const Index first = row * n, label = op.label(row);
    const float *const mean = prediction.mean + first, *const var = prediction.var + first;
    if (label < 0 || by_path) {
      for (Index i = 0; i < n; ++i) op.clear(first + i);
    }
    if (label < 0) return;
    if (classes.link == ClassLink::softmax) {
      kernels.observe_softmax(mean, var, n, label, spread, delta.mean + first, delta.var + first);
    } else if (by_path) {
      for (Index node = classes.n_classes + label; node > 1; node >>= 1) {
        op.tree(first + (node >> 1) - 1, node % 2 == 1 ? 1.0f : -1.0f);
      }
    } else if (classes.link == ClassLink::one_vs_rest) {
      for (Index i = 0; i < n; ++i) op.one_vs_rest(first + i, i == label);
    } else {
      const math::RemaxTotals totals = math::remax_totals(mean, var, n);
      for (Index i = 0; i < n; ++i) op.remax(first + i, totals, i == label);
    }
  });
}

/// What was predicted of numbers.
ops::BatchSums sum_numbers(const Kernels& kernels, ConstMomentsView prediction, const float* target,
                           const NoiseView& noise) {
  ops::BatchSums found;
  const Index cols = prediction.cols, n = noise.n_targets(cols);
  for_noise_variances(kernels, prediction, noise,
                      [&](Index first, Index rows, const float* noise_var) {
                        for (Index row = first; row < first + rows; ++row, noise_var += n) {
                          const float* const mean = prediction.mean + row * cols;
                          const float* const var = prediction.var + row * cols;
                          for (Index i = 0; i < n; ++i) {
                            found.add_number(target[row * n + i], mean[i], var[i], noise_var[i]);
                          }
                        }
                      });
  return found;
}

/// math::class_probability by a function of its own: where sums of rows are in registers there are
/// too few left for it.
[[gnu::noinline]] double probability_of(const math::ClassHead& classes, const float* mean,
                                        const float* var, Index label) {
  return math::class_probability(classes, mean, var, label);
}

/// The same of classes.
ops::BatchSums sum_classes(const Kernels& kernels, ConstMomentsView prediction, const float* target,
                           const math::ClassHead& classes) {
  ops::BatchSums found;
  const Index n = prediction.cols;
  const bool is_softmax = classes.link == math::ClassLink::softmax;
  float* const of_class = is_softmax ? scratch<ClassProbabilities>(n) : nullptr;
  for (Index row = 0; row < prediction.rows; ++row) {
    const float *const mean = prediction.mean + row * n, *const var = prediction.var + row * n;
    found.add_class(classes, mean, var, n, target[row], [&](Index label) {
      if (is_softmax) {
        kernels.softmax_probabilities(mean, var, n, of_class);
        return static_cast<double>(of_class[label]);
      }
      return probability_of(classes, mean, var, label);
    });
  }
  return found;
}

}  // namespace

void observe(const Kernels& kernels, ConstMomentsView prediction, const float* target,
             const NoiseView& noise, float spread, MomentsView delta) {
  if (noise.head.exists()) {
    observe_noisy(kernels, prediction, target, noise.head, spread, delta);
  } else if (noise.classes.exists()) {
    observe_classes(kernels, prediction, target, noise.classes, spread, delta);
  } else {
    observe_numbers(kernels, prediction, target, noise, spread, delta);
  }
  if (noise.weight != nullptr) for_elements(delta.size(), ops::WeighRows{noise.weight, delta});
}

void split_prediction(const Kernels& kernels, ConstMomentsView prediction, const NoiseView& noise,
                      MomentsView values, float* noise_var, float* total_var) {
  const Index cols = values.cols;
  for_noise_variances(kernels, prediction, noise, [&](Index first, Index rows, const float* block) {
    const Index from = first * prediction.cols, to = first * cols, size = rows * cols;
    copy_block(prediction.mean + from, prediction.cols, values.mean + to, cols, rows, cols);
    copy_block(prediction.var + from, prediction.cols, values.var + to, cols, rows, cols);
    std::copy_n(block, size, noise_var + to);
    std::copy_n(block, size, total_var + to);
    kernels.add(values.var + to, size, total_var + to);
  });
}

void class_probabilities(const Kernels& kernels, ConstMomentsView prediction,
                         const math::ClassHead& classes, float* probabilities) {
  const Index n = prediction.cols, n_classes = classes.n_classes;
  for_rows(prediction.rows, static_cast<double>(n) * cost_of(classes), [&](Index row) {
    const float *const mean = prediction.mean + row * n, *const var = prediction.var + row * n;
    float* const of_class = probabilities + row * n_classes;
    if (classes.link == math::ClassLink::softmax) {
      kernels.softmax_probabilities(mean, var, n, of_class);
      return;
    }
    if (classes.link == math::ClassLink::tree) {
      // From the root down: node i, whose probability is nodes[i], has the children 2 i, 2 i + 1.
      float* const nodes = scratch<TreeNodes>(2 * n_classes);
      nodes[1] = 1;
      for (Index node = 1; node < n_classes; ++node) {
        const auto branch = math::branch_probabilities(mean[node - 1], var[node - 1]);
        nodes[2 * node] = nodes[node] * branch.left;
        nodes[2 * node + 1] = nodes[node] * branch.right;
      }
      std::copy_n(nodes + n_classes, n_classes, of_class);
      return;
    }
    if (classes.link == math::ClassLink::one_vs_rest) {
      float top = -std::numeric_limits<float>::infinity();
      for (Index i = 0; i < n; ++i) {
        of_class[i] = math::one_vs_rest_log_weight(classes, mean[i], var[i]);
        top = std::max(top, of_class[i]);
      }
      double total = 0;
      for (Index i = 0; i < n; ++i) total += of_class[i] = math::exp(of_class[i] - top);
      for (Index i = 0; i < n; ++i) of_class[i] = static_cast<float>(of_class[i] / total);
      return;
    }
    const math::RemaxTotals totals = math::remax_totals(mean, var, n);
    double sum = 0;
    for (Index i = 0; i < n; ++i) {
      of_class[i] = math::remax_weight(mean[i], var[i], totals);
      sum += static_cast<double>(of_class[i]);
    }
    for (Index i = 0; i < n; ++i) of_class[i] = static_cast<float>(of_class[i] / sum);
  });
}

void sum_predictions(const Kernels& kernels, ConstMomentsView prediction, const float* target,
                     const NoiseView& noise, TrainingState* state) {
  if (state->failure != Failure::none) return;
  const ops::BatchSums found = noise.classes.exists()
                                   ? sum_classes(kernels, prediction, target, noise.classes)
                                   : sum_numbers(kernels, prediction, target, noise);
  if (found.overflows) {
    state->failure = Failure::prediction;
    return;
  }
  state->sums += found.sums;
  state->position += prediction.rows;
}

}  // namespace tagix::cpu
