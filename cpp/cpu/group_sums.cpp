#include "cpu/group_sums.h"

#include <algorithm>

#include "cpu/pieces.h"
#include "cpu/threads.h"

namespace tagix::cpu {
namespace {

/// Copies the padded sums of a weight, transposed or not, to the weight (out x in).
void write_weight(const PlannedAffine& affine, const float* sum, float* weight) {
  for (Index row = 0; row < affine.sum_rows; ++row, sum += affine.sum_stride) {
    if (affine.transposed) {
      for (Index col = 0; col < affine.sum_cols; ++col) {
        weight[col * affine.sum_rows + row] = sum[col];
      }
    } else {
      std::copy_n(sum, affine.sum_cols, weight + row * affine.sum_cols);
    }
  }
}

}  // namespace

void GroupSums::start(Index n_groups) {
  n_groups_ = n_groups;
  innovation_.resize(1, plan_.parameter_count);
  if (n_groups > 1) sums_.resize(n_groups * plan_.group_size);
}

SumTarget GroupSums::target(const PlannedAffine& affine, Index group, bool add) {
  if (n_groups_ > 1) {
    float* const sums = sums_.data() + group * plan_.group_size;
    return {sums + affine.sum.mean,
            sums + affine.sum.var,
            sums + affine.bias_sum.mean,
            sums + affine.bias_sum.var,
            affine.sum_stride,
            affine.transposed,
            add};
  }
  float* const mean = innovation_.view().mean + affine.parameters;
  float* const var = innovation_.view().var + affine.parameters;
  const Index bias = affine.shape.weight_size();
  return {mean, var, mean + bias, var + bias, affine.shape.in_features, false, add};
}

void GroupSums::finish() {
  if (n_groups_ <= 1) return;
  add_groups();
  write_innovation();
}

/// Adds the sums of all groups to those of the first, in their order.
void GroupSums::add_groups() {
  constexpr Index piece = 4096;
  const Index size = plan_.group_size;
  const double cost = 0.1 * static_cast<double>(size * (n_groups_ - 1));
  parallel_for(ceil_div(size, piece), cost, [&](Index i) {
    float* total = sums_.data() + i * piece;
    const Index count = std::min(piece, size - i * piece);
    for (Index group = 1; group < n_groups_; ++group) {
      kernels_.add(total + group * size, count, total);
    }
  });
}

/// Copies the sums of the first group to where the parameters have their innovations.
void GroupSums::write_innovation() {
  const MomentsView innovation = innovation_.view();
  const float* sums = sums_.data();
  for (Index i = 0; i < plan_.n_steps(); ++i) {
    const PlannedAffine* affine = plan_.affine_at(i);
    if (affine == nullptr) continue;
    const Index out = affine->shape.out_features;
    write_weight(*affine, sums + affine->sum.mean, innovation.mean + affine->parameters);
    write_weight(*affine, sums + affine->sum.var, innovation.var + affine->parameters);
    if (!affine->shape.bias) continue;
    const Index bias = affine->parameters + affine->shape.weight_size();
    std::copy_n(sums + affine->bias_sum.mean, out, innovation.mean + bias);
    std::copy_n(sums + affine->bias_sum.var, out, innovation.var + bias);
  }
}

}  // namespace tagix::cpu
