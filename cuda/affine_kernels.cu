#include <algorithm>
#include <atomic>
#include <cfloat>
#include <iterator>
#include <limits>
#include <type_traits>

#include "affine_kernels.h"
#include "failure.h"
#include "fused_activation.h"
#include "launch.h"
#include "mma_product.h"
#include "product_tiles.h"
#include "runtime.h"

namespace tagix::cuda {
namespace {

Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

std::atomic<Products> products = Products::automatic;
std::atomic<TileSize> tile_size = TileSize::automatic;

template <class T>
concept OnTensorCores = requires { T::precision; };

/// Whether a product should run on tensor cores, where it may.
///
/// Three products of tf32 pay where tensor cores have several times the rate of multiply-adds: on
/// the GPUs of data centres (compute capability 8.0, 9.0 and 10.x), for which NVIDIA's data sheets
/// state 7 times or more for tf32, and not on the others, where they state 1 to 2 times. Mixed
/// products do not either: their mean takes three of tf32. One product of bfloat16 pays on all.
///
/// Tiles of tensor cores are filled with zeros beyond the edges, and read in whole slices: below 64
/// in any dimension much of the work would be on zeros, and what is left of it takes less time than
/// the kernel's first loads.
bool runs_on_tensor_cores(Precision precision, Index rows, Index columns, Index depth) {
  const Products choice = products;
  if (choice == Products::multiply_adds || compute_capability() < 80) return false;
  if (choice == Products::tensor_cores) return true;
  const int major = compute_capability() / 10, minor = compute_capability() % 10;
  const bool fast_tf32 = (major == 8 && minor == 0) || major == 9 || major == 10;
  constexpr Index least = 64;
  return (fast_tf32 || precision == Precision::bfloat16) && rows >= least && columns >= least &&
         depth >= least;
}

/// Whether a product has enough wide tiles to fill a GPU.
bool takes_wide_tiles(Index wide_tiles) {
  constexpr Index enough = 96;
  const TileSize choice = tile_size;
  return choice == TileSize::automatic ? wide_tiles >= enough : choice == TileSize::wide;
}

static_assert(WideTile::rows == WideMmaTile<Precision::float32>::rows &&
              WideTile::columns == WideMmaTile<Precision::float32>::columns);
Index wide_tiles(Index rows, Index columns) {
  return ceil_div(rows, WideTile::rows) * ceil_div(columns, WideTile::columns);
}

/// Calls queue(Tile{}) with the tile of tensor cores for a precision.
template <class Queue>
void with_mma_tile(Precision precision, bool wide, const Queue& queue) {
  const auto with_precision = [&](auto constant) {
    constexpr Precision of = decltype(constant)::value;
    if (wide) {
      queue(WideMmaTile<of>{});
    } else {
      queue(NarrowMmaTile<of>{});
    }
  };
  using enum Precision;
  switch (precision) {
    case float32:
      return with_precision(std::integral_constant<Precision, float32>{});
    case mixed:
      return with_precision(std::integral_constant<Precision, mixed>{});
    case bfloat16:
      return with_precision(std::integral_constant<Precision, bfloat16>{});
  }
}

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

/// Blocks for which a multiprocessor must have the registers. Unless it is told that one is enough,
/// ptxas spills those of some kernels on tensor cores to make room for a second one.
template <class TileSizes>
constexpr int least_blocks = OnTensorCores<TileSizes> ? 1 : 0;

/// One product by tiles of one kind.
template <Terms terms, class TileSizes, Contiguous a_contiguous, Contiguous b_contiguous>
struct TiledProduct {
  static constexpr std::size_t shared_bytes() {
    if constexpr (OnTensorCores<TileSizes>) {
      return mma_shared_floats<terms, TileSizes, a_contiguous, b_contiguous>() * sizeof(float);
    } else {
      return TileSizes::shared_floats * sizeof(float);
    }
  }

  /// Works out the block's tile.
  template <class Finish>
  __device__ static __forceinline__ void multiply(const Factor& a, const Factor& b,
                                                  const ProductShape& shape, Index first_row,
                                                  Index first_column, const Finish& finish) {
    if constexpr (OnTensorCores<TileSizes>) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
      __trap();  // the host launches none of it
#else
      multiply_tile_mma<terms, TileSizes, a_contiguous, b_contiguous>(a, b, shape, first_row,
                                                                      first_column, finish);
#endif
    } else {
      multiply_tile<terms, TileSizes, a_contiguous, b_contiguous>(a, b, shape, first_row,
                                                                  first_column, finish);
    }
  }
};

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

template <Terms terms, class TileSizes>
using ForwardProduct = TiledProduct<terms, TileSizes, Contiguous::depth, Contiguous::depth>;
template <class TileSizes>
using BackwardProduct =
    TiledProduct<Terms::squared, TileSizes, Contiguous::depth, Contiguous::rows>;
template <class TileSizes>
using OuterProduct = TiledProduct<Terms::outer, TileSizes, Contiguous::rows, Contiguous::rows>;

template <Terms terms, class TileSizes, class Finish>
__global__ void __launch_bounds__(TileSizes::threads, least_blocks<TileSizes>)
    affine_forward_kernel(ConstMomentsView input, ConstMomentsView weight, Finish finish) {
  Index row, column;
  tile_origin<TileSizes>(weight.rows, row, column);
  ForwardProduct<terms, TileSizes>::multiply(
      Factor{input.mean, input.var, input.cols}, Factor{weight.mean, weight.var, weight.cols},
      ProductShape{input.rows, weight.rows, 0, input.cols}, row, column, finish);
}

template <class TileSizes>
__global__ void __launch_bounds__(TileSizes::threads, least_blocks<TileSizes>)
    affine_backward_kernel(ConstMomentsView delta, ConstMomentsView weight, FinishBackward finish) {
  Index row, column;
  tile_origin<TileSizes>(weight.cols, row, column);
  BackwardProduct<TileSizes>::multiply(
      Factor{delta.mean, delta.var, delta.cols}, Factor{weight.mean, nullptr, weight.cols},
      ProductShape{delta.rows, weight.cols, 0, delta.cols}, row, column, finish);
}

template <class Finish>
void queue_forward(const char* operation, Precision precision, ConstMomentsView input,
                   ConstMomentsView weight, const Finish& finish) {
  with_tile(precision, input.rows, weight.rows, input.cols, [&](auto tile) {
    using TileSizes = decltype(tile);
    if (input.var == nullptr) {
      launch_tiles<ForwardProduct<Terms::known, TileSizes>, TileSizes>(
          operation, affine_forward_kernel<Terms::known, TileSizes, Finish>, input.rows,
          weight.rows, input, weight, finish);
    } else {
      launch_tiles<ForwardProduct<Terms::both, TileSizes>, TileSizes>(
          operation, affine_forward_kernel<Terms::both, TileSizes, Finish>, input.rows, weight.rows,
          input, weight, finish);
    }
  });
}

/// As many problems as a kernel takes as its argument.
constexpr int most_problems = 16;

struct Problems {
  InnovationProblem problem[most_problems];
  Index first_tile[most_problems + 1];  // of each problem among the blocks of the launch
  int count;
};

/// Calls queue(problems) with some problems at a time, in their order. A problem joins those before
/// it unless `stands_apart(group, problem)`.
template <class StandsApart, class Queue>
void in_groups(std::span<const InnovationProblem> problems, const StandsApart& stands_apart,
               const Queue& queue) {
  Problems group{};
  for (const InnovationProblem& problem : problems) {
    if (group.count == most_problems || (group.count > 0 && stands_apart(group, problem))) {
      queue(group);
      group = {};
    }
    group.problem[group.count++] = problem;
  }
  if (group.count > 0) queue(group);
}

bool never_apart(const Problems&, const InnovationProblem&) { return false; }

/// Whether a problem has parameters of one in the group: no kernel may add both at once.
bool shares_parameters(const Problems& group, const InnovationProblem& problem) {
  const auto meet = [](Index a, Index a_size, Index b, Index b_size) {
    return a < b + b_size && b < a + a_size;
  };
  const auto any_of = [&](Index first, Index size) {
    for (int i = 0; i < group.count; ++i) {
      const InnovationProblem& other = group.problem[i];
      if (meet(first, size, other.weight_offset, other.weight_size())) return true;
      if (meet(first, size, other.bias_offset, other.bias_size())) return true;
    }
    return false;
  };
  return any_of(problem.weight_offset, problem.weight_size()) ||
         any_of(problem.bias_offset, problem.bias_size());
}

template <class TileSizes>
__host__ __device__ Index column_tiles(const InnovationProblem& problem) {
  return (problem.input.cols + TileSizes::columns - 1) / TileSizes::columns;
}
template <class TileSizes>
__host__ __device__ Index tiles_of_piece(const InnovationProblem& problem) {
  return column_tiles<TileSizes>(problem) *
         ((problem.delta.cols + TileSizes::rows - 1) / TileSizes::rows);
}

/// Calls visitor(Tile{}) with the tile that the sums of a problem are worked out by.
template <class Visitor>
void with_outer_tile(Precision precision, InnovationTile tile, const Visitor& visitor) {
  if (tile == InnovationTile::multiply_adds) {
    visitor(NarrowTile{});
  } else {
    with_mma_tile(precision, tile == InnovationTile::tensor_cores_wide, visitor);
  }
}

/// Writes the sums of a piece, and looks whether they, times the pieces, stay within float32.
struct FinishInnovation {
  Index in, weight_size;
  bool bias;
  float limit;
  float* mean;
  float* var;
  TrainingState* state;

  __device__ __forceinline__ void operator()(Index out, Index column, float delta_mean,
                                             float delta_var) const {
    write(out * in + column, delta_mean, delta_var);
  }
  __device__ __forceinline__ void sums(Index out, float delta_mean, float delta_var) const {
    if (bias) write(weight_size + out, delta_mean, delta_var);
  }
  __device__ __forceinline__ void write(Index at, float delta_mean, float delta_var) const {
    mean[at] = delta_mean;
    var[at] = delta_var;
    const bool fits = math::abs(delta_mean) <= limit && math::abs(delta_var) <= limit;
    if (!fits && state != nullptr) set_failure(state, Failure::innovation);
  }
};

/// One block for each tile of each piece of each problem.
template <class TileSizes>
__global__ void __launch_bounds__(TileSizes::threads, least_blocks<TileSizes>)
    sum_innovations_kernel(const __grid_constant__ Problems problems, float* partial,
                           TrainingState* state) {
  int number = 0;
  while (blockIdx.x >= problems.first_tile[number + 1]) ++number;
  const InnovationProblem& problem = problems.problem[number];
  const Index tile = blockIdx.x - problems.first_tile[number];
  const Index per_piece = tiles_of_piece<TileSizes>(problem);
  const Index piece = tile / per_piece, in_piece = tile % per_piece;
  const Index first_out = in_piece / column_tiles<TileSizes>(problem) * TileSizes::rows;
  const Index first_in = in_piece % column_tiles<TileSizes>(problem) * TileSizes::columns;
  const Index begin = piece * problem.piece_rows;
  const Index end = min(begin + problem.piece_rows, problem.input.rows);
  const Index in = problem.input.cols, out = problem.delta.cols;
  const Index parameter_count = problem.parameter_count();
  float* const mean = partial + problem.partial_offset + piece * 2 * parameter_count;
  const FinishInnovation finish{in,           in * out,
                                problem.bias, FLT_MAX / static_cast<float>(problem.n_pieces),
                                mean,         mean + parameter_count,
                                state};
  OuterProduct<TileSizes>::multiply(Factor{problem.delta.mean, problem.delta.var, out},
                                    Factor{problem.input.mean, nullptr, in},
                                    ProductShape{out, in, begin, end}, first_out, first_in, finish);
}

/// The innovation of a parameter: the sum of its pieces.
__device__ math::Innovation<float> reduced(const InnovationProblem& problem, const float* partial,
                                           Index i) {
  const Index count = problem.parameter_count();
  const float* at = partial + problem.partial_offset + i;
  math::Innovation<float> sum{0, 0};
  for (Index piece = 0; piece < problem.n_pieces; ++piece) {
    sum.delta_mean += at[0];
    sum.delta_var += at[count];
    at += 2 * count;
  }
  return sum;
}

/// Element i of a group of problems: which one it belongs to, and where in it.
__device__ const InnovationProblem& problem_of(const Problems& problems, Index& i) {
  int number = 0;
  for (;; ++number) {
    const InnovationProblem& problem = problems.problem[number];
    const Index count = problem.parameter_count();
    if (i < count || number + 1 == problems.count) return problem;
    i -= count;
  }
}

struct ReduceInnovations {
  Problems problems;
  const float* partial;
  MomentsView innovation;

  __device__ void operator()(Index i) const {
    const InnovationProblem& problem = problem_of(problems, i);
    const math::Innovation<float> sum = reduced(problem, partial, i);
    const Index at = problem.place(i);
    const bool add = problem.add;
    innovation.mean[at] = add ? innovation.mean[at] + sum.delta_mean : sum.delta_mean;
    innovation.var[at] = add ? innovation.var[at] + sum.delta_var : sum.delta_var;
  }
};

template <math::UpdateKind kind>
struct ReduceAndUpdate {
  Problems problems;
  const float* partial;
  float bound;
  MomentsView parameters;
  const TrainingState* state;

  __device__ void operator()(Index i) const {
    if (state->failure != Failure::none) return;
    const InnovationProblem& problem = problem_of(problems, i);
    const math::Innovation<float> sum = reduced(problem, partial, i);
    const Index at = problem.place(i);
    const math::Posterior<float> posterior = math::updated<kind>(
        parameters.mean[at], parameters.var[at], sum.delta_mean, sum.delta_var, bound);
    parameters.mean[at] = posterior.mean;
    parameters.var[at] = posterior.var;
  }
};

Index parameter_count(const Problems& problems) {
  Index count = 0;
  for (int i = 0; i < problems.count; ++i) count += problems.problem[i].parameter_count();
  return count;
}

}  // namespace

void use_products(Products choice, TileSize size) {
  products = choice;
  tile_size = size;
}

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

void affine_backward(Precision precision, ConstMomentsView delta, ConstMomentsView weight,
                     const float* jacobian, MomentsView delta_input) {
  with_tile(precision, delta.rows, weight.cols, delta.cols, [&](auto tile) {
    using TileSizes = decltype(tile);
    launch_tiles<BackwardProduct<TileSizes>, TileSizes>(
        "affine_backward", affine_backward_kernel<TileSizes>, delta.rows, weight.cols, delta,
        weight, FinishBackward{jacobian, delta_input});
  });
}

InnovationPlan plan_innovations(Precision precision, std::span<const AffinePass> passes) {
  // Enough blocks to fill a GPU twice, of at least 128 rows, since each piece is written and read
  // once more; no more pieces than are quickly added up.
  constexpr Index wanted_blocks = 264, least_rows = 128, most_pieces = 64;
  InnovationPlan plan;
  for (const AffinePass& pass : passes) {
    const Index batch = pass.input.rows, out = pass.delta.cols, in = pass.input.cols;
    InnovationProblem problem{};
    problem.input = pass.input;
    problem.delta = pass.delta;
    problem.bias = pass.bias.has_value();
    problem.add = pass.add;
    problem.weight_offset = pass.weight;
    problem.bias_offset = pass.bias.value_or(0);
    const Index possible = std::clamp<Index>(batch / least_rows, 1, most_pieces);
    problem.tile = !runs_on_tensor_cores(precision, out, in, batch) ? InnovationTile::multiply_adds
                   : takes_wide_tiles(wide_tiles(out, in) * possible)
                       ? InnovationTile::tensor_cores_wide
                       : InnovationTile::tensor_cores_narrow;
    with_outer_tile(precision, problem.tile, [&](auto tile) {
      using TileSizes = decltype(tile);
      const Index wanted = ceil_div(wanted_blocks, tiles_of_piece<TileSizes>(problem));
      const Index pieces = std::min(wanted, possible);
      problem.piece_rows = ceil_div(ceil_div(batch, pieces), TileSizes::depth) * TileSizes::depth;
    });
    problem.n_pieces = std::max<Index>(1, ceil_div(batch, problem.piece_rows));
    problem.partial_offset = plan.scratch;
    plan.scratch += problem.n_pieces * 2 * problem.parameter_count();
    plan.problems.push_back(problem);
  }
  return plan;
}

void sum_innovations(Precision precision, const InnovationPlan& plan, float* partial,
                     TrainingState* state) {
  using enum InnovationTile;
  for (const InnovationTile kind : {multiply_adds, tensor_cores_narrow, tensor_cores_wide}) {
    std::vector<InnovationProblem> problems;
    std::copy_if(plan.problems.begin(), plan.problems.end(), std::back_inserter(problems),
                 [kind](const InnovationProblem& problem) { return problem.tile == kind; });
    in_groups(problems, never_apart, [&](Problems& group) {
      with_outer_tile(precision, kind, [&](auto tile) {
        using TileSizes = decltype(tile);
        Index tiles = 0;
        for (int i = 0; i < group.count; ++i) {
          group.first_tile[i] = tiles;
          tiles += group.problem[i].n_pieces * tiles_of_piece<TileSizes>(group.problem[i]);
        }
        group.first_tile[group.count] = tiles;
        launch("affine_innovations", sum_innovations_kernel<TileSizes>,
               {dim3(static_cast<unsigned>(tiles)), dim3(TileSizes::threads),
                OuterProduct<TileSizes>::shared_bytes()},
               group, partial, state);
      });
    });
  }
}

void reduce_innovations(const InnovationPlan& plan, const float* partial, MomentsView innovation) {
  in_groups(plan.problems, shares_parameters, [&](const Problems& group) {
    for_each("affine_innovations", parameter_count(group),
             ReduceInnovations{group, partial, innovation});
  });
}

void reduce_and_update(const InnovationPlan& plan, const float* partial, const UpdateRule& rule,
                       Index batch_size, MomentsView parameters, const TrainingState* state) {
  using math::UpdateKind;
  const float bound = rule.bound_for(batch_size);
  in_groups(plan.problems, never_apart, [&](const Problems& group) {
    if (rule.kind == UpdateKind::information) {
      for_each("update", parameter_count(group),
               ReduceAndUpdate<UpdateKind::information>{group, partial, bound, parameters, state});
    } else {
      for_each("update", parameter_count(group),
               ReduceAndUpdate<UpdateKind::capped>{group, partial, bound, parameters, state});
    }
  });
}

}  // namespace tagix::cuda
