#include "launch.h"
#include "operations.h"
#include "ops/gather.h"
#include "ops/largest.h"
#include "ops/mix.h"
#include "ops/product.h"
#include "ops/residual_activation.h"

namespace tagix::cuda {
namespace {

struct CopyColumns {
  ConstColumnsView values;
  ColumnsView target;

  __device__ void operator()(Index row, Index col) const {
    const Index from = row * values.stride + col, to = row * target.stride + col;
    target.mean[to] = values.mean[from];
    if (target.var != nullptr) target.var[to] = values.var == nullptr ? 0.0f : values.var[from];
  }
};

struct AddColumns {
  ConstColumnsView values;
  ColumnsView sum;

  __device__ void operator()(Index row, Index col) const {
    const Index from = row * values.stride + col, to = row * sum.stride + col;
    sum.mean[to] += values.mean[from];
    if (sum.var != nullptr && values.var != nullptr) sum.var[to] += values.var[from];
  }
};

struct ClearColumns {
  ColumnsView target;

  __device__ void operator()(Index row, Index col) const {
    const Index to = row * target.stride + col;
    target.mean[to] = 0;
    if (target.var != nullptr) target.var[to] = 0;
  }
};

/// op(row, col) for element i of a matrix of so many columns.
template <class Op>
struct Cells {
  Op op;
  Index cols;

  __device__ void operator()(Index i) const { op(i / cols, i % cols); }
};

/// Queues op(row, col) for every element of a matrix.
template <class Op>
void for_cells(const char* operation, Index rows, Index cols, const Op& op) {
  for_each(operation, rows * cols, Cells<Op>{op, cols});
}

}  // namespace

void copy_columns(ConstColumnsView values, ColumnsView target) {
  for_cells("copy_columns", target.rows, target.cols, CopyColumns{values, target});
}

void add_columns(ConstColumnsView values, ColumnsView sum) {
  for_cells("add_columns", sum.rows, sum.cols, AddColumns{values, sum});
}

void clear_columns(ColumnsView target) {
  for_cells("clear_columns", target.rows, target.cols, ClearColumns{target});
}

void mix(ConstMomentsView input, const TapsView& taps, bool add, MomentsView output) {
  for_cells("mix", output.rows, output.cols, ops::Mix{input, taps, add, output});
}

void gather(const float* input, Index channels, const PositionsView& positions, Index first_row,
            Index rows, float* output) {
  const ops::Gather op{input, channels, positions, first_row, output};
  for_cells("gather", rows, op.cols(), op);
}

void largest(ConstMomentsView input, const PositionsView& windows, MomentsView output,
             float* choice) {
  for_each("largest", output.size(), ops::Largest{input, windows, output, choice});
}

void largest_backward(ConstMomentsView delta, const float* choice, Index n_choices,
                      const PositionsView& readers, bool add, MomentsView below) {
  for_each("largest_backward", below.size(),
           ops::LargestBackward{delta, choice, n_choices, readers, add, below});
}

void product(ConstMomentsView a, ConstMomentsView b, MomentsView output) {
  for_each("product", output.size(), ops::Product{a, b, output});
}

void product_slopes(ConstMomentsView a, ConstMomentsView b, SlopesView slopes) {
  for_each("product_slopes", a.size(), ops::ProductSlopes{a, b, slopes});
}

void scale_deltas_to(const float* jacobian, ConstMomentsView delta, bool add, MomentsView below) {
  for_each("scale_deltas_to", below.size(), ops::ScaleDeltasTo{jacobian, delta, add, below});
}

void residual_activation(ConstMomentsView input, MomentsView output, float* jacobian) {
  for_each("residual_activation", output.size(), ops::ResidualActivation{input, output, jacobian});
}

}  // namespace tagix::cuda
