#include "affine_kernels.h"
#include "fused_activation.h"
#include "launch.h"
#include "product_choice.h"
#include "tiled_product.h"

namespace tagix::cuda {
namespace {

/// Calls queue(Tile{}) with the tile for a product: on tensor cores or not, and wide where that is
/// enough to fill a GPU, else narrow. Multiply-adds have thin tiles for a few columns.
template <class Queue>
void with_tile(Precision precision, Index rows, Index columns, Index depth, const Queue& queue) {
  const bool wide = takes_wide_tiles(wide_tiles(rows, columns));
  if (runs_on_tensor_cores(precision, rows, columns, depth)) {
    with_mma_tile(precision, wide, queue);
  } else if (columns <= ThinTile::columns) {
    queue(ThinTile{});
  } else if (wide) {
    queue(WideTile{});
  } else {
    queue(NarrowTile{});
  }
}

/// Queues a kernel with a block for each tile of a product.
template <class Product, class TileSizes, class Kernel, class... Arguments>
void launch_tiles(const char* operation, Kernel kernel, Index rows, Index columns,
                  const Arguments&... arguments) {
  const Index tiles = ceil_div(rows, TileSizes::rows) * ceil_div(columns, TileSizes::columns);
  if (tiles == 0) return;
  launch(operation, kernel,
         {dim3(static_cast<unsigned>(tiles)), dim3(TileSizes::threads), Product::shared_bytes()},
         arguments...);
}

/// The first row and column of this block's tile.
template <class TileSizes>
__device__ __forceinline__ void tile_origin(Index columns, Index& row, Index& column) {
  const Index column_tiles = (columns + TileSizes::columns - 1) / TileSizes::columns;
  row = blockIdx.x / column_tiles * TileSizes::rows;
  column = blockIdx.x % column_tiles * TileSizes::columns;
}

/// Adds the bias.
struct FinishAffine {
  ConstMomentsView bias;
  MomentsView output;

  __device__ __forceinline__ void operator()(Index row, Index column, float mean, float var) const {
    const Index at = row * output.cols + column;
    output.mean[at] = bias.mean == nullptr ? mean : mean + bias.mean[column];
    output.var[at] = bias.mean == nullptr ? var : var + bias.var[column];
  }
};

/// Adds the bias to the means, which are all there is.
struct FinishMeans {
  const float* bias;
  float* output;
  Index cols;

  __device__ __forceinline__ void operator()(Index row, Index column, float mean, float) const {
    output[row * cols + column] = bias == nullptr ? mean : mean + bias[column];
  }
};

/// Adds the bias and passes on the moments of the activation.
struct FinishActivation {
  ConstMomentsView bias;
  math::ActivationSpec activation;
  MomentsView output;
  float* jacobian;

  __device__ __forceinline__ void operator()(Index row, Index column, float mean, float var) const {
    const Index at = row * output.cols + column;
    if (bias.mean != nullptr) {
      mean += bias.mean[column];
      var += bias.var[column];
    }
    const math::ActivationMoments<float> moments = fused_moments(activation, mean, var);
    output.mean[at] = moments.mean;
    output.var[at] = moments.var;
    jacobian[at] = moments.jacobian;
  }
};

/// Passes an innovation below the activation whose Jacobian is given.
struct FinishBackward {
  const float* jacobian;
  MomentsView delta_input;

  __device__ __forceinline__ void operator()(Index row, Index column, float mean, float var) const {
    const Index at = row * delta_input.cols + column;
    math::Innovation<float> delta{mean, var};
    if (jacobian != nullptr) delta = math::through_jacobian(delta, jacobian[at]);
    delta_input.mean[at] = delta.delta_mean;
    delta_input.var[at] = delta.delta_var;
  }
};

// The weight (out x in) is contiguous along the depth on the way forward, along what becomes rows
// on the way back.
template <Terms terms, class TileSizes>
using ForwardProduct = TiledProduct<terms, TileSizes, Contiguous::depth, Contiguous::depth>;
template <class TileSizes>
using BackwardProduct =
    TiledProduct<Terms::squared, TileSizes, Contiguous::depth, Contiguous::rows>;

/// Moments of the output (batch x out), a tile for each block.
template <Terms terms, class TileSizes, class Finish>
__global__ void __launch_bounds__(TileSizes::threads, least_blocks<TileSizes>)
    affine_forward_kernel(ConstMomentsView input, ConstMomentsView weight, Finish finish) {
  Index row, column;
  tile_origin<TileSizes>(weight.rows, row, column);
  ForwardProduct<terms, TileSizes>::multiply(
      Factor{input.mean, input.var, input.cols}, Factor{weight.mean, weight.var, weight.cols},
      ProductShape{input.rows, weight.rows, 0, input.cols}, row, column, finish);
}

/// Innovations of the input (batch x in), a tile for each block.
template <class TileSizes>
__global__ void __launch_bounds__(TileSizes::threads, least_blocks<TileSizes>)
    affine_backward_kernel(ConstMomentsView delta, ConstMomentsView weight, FinishBackward finish) {
  Index row, column;
  tile_origin<TileSizes>(weight.cols, row, column);
  BackwardProduct<TileSizes>::multiply(
      Factor{delta.mean, delta.var, delta.cols}, Factor{weight.mean, nullptr, weight.cols},
      ProductShape{delta.rows, weight.cols, 0, delta.cols}, row, column, finish);
}

/// Queues the forward product of one kind with what finishes its outputs.
template <Terms terms, class Finish>
void queue_terms(const char* operation, Precision precision, ConstMomentsView input,
                 ConstMomentsView weight, const Finish& finish) {
  with_tile(precision, input.rows, weight.rows, input.cols, [&](auto tile) {
    using TileSizes = decltype(tile);
    launch_tiles<ForwardProduct<terms, TileSizes>, TileSizes>(
        operation, affine_forward_kernel<terms, TileSizes, Finish>, input.rows, weight.rows, input,
        weight, finish);
  });
}

/// The same of an input known exactly, or not.
template <class Finish>
void queue_forward(const char* operation, Precision precision, ConstMomentsView input,
                   ConstMomentsView weight, const Finish& finish) {
  if (input.var == nullptr) {
    queue_terms<Terms::known>(operation, precision, input, weight, finish);
  } else {
    queue_terms<Terms::both>(operation, precision, input, weight, finish);
  }
}

}  // namespace

void affine_forward(Precision precision, ConstMomentsView input, ConstMomentsView weight,
                    ConstMomentsView bias, const std::optional<Epilogue>& epilogue,
                    MomentsView output) {
  if (epilogue) {
    queue_forward("affine_activation_forward", precision, input, weight,
                  FinishActivation{bias, epilogue->activation, output, epilogue->jacobian});
  } else {
    queue_forward("affine_forward", precision, input, weight, FinishAffine{bias, output});
  }
}

void affine_means(Precision precision, ConstMomentsView input, ConstMomentsView weight,
                  ConstMomentsView bias, float* output) {
  queue_terms<Terms::means>("affine_means", precision, input, weight,
                            FinishMeans{bias.mean, output, weight.rows});
}

void affine_backward(Precision precision, ConstMomentsView delta, ConstMomentsView weight,
                     const float* jacobian, MomentsView delta_input) {
  with_tile(precision, delta.rows, weight.cols, delta.cols, [&](auto tile) {
    using TileSizes = decltype(tile);
    launch_tiles<BackwardProduct<TileSizes>, TileSizes>(
        "affine_backward", affine_backward_kernel<TileSizes>, delta.rows, weight.cols, delta,
        weight, FinishBackward{jacobian, delta_input});
  });
}

}  // namespace tagix::cuda
