#include <algorithm>
#include <cfloat>
#include <iterator>

#include "affine_kernels.h"
#include "failure.h"
#include "launch.h"
#include "product_choice.h"
#include "tiled_product.h"

namespace tagix::cuda {
namespace {

/// Sums over the rows of a batch, of which innovations (batch x out) and inputs (batch x in) are
/// contiguous along what becomes rows and columns.
template <class TileSizes>
using OuterProduct = TiledProduct<Terms::outer, TileSizes, Contiguous::rows, Contiguous::rows>;

/// As many problems as a kernel takes as its argument.
constexpr int most_problems = 16;

/// Problems of one launch.
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

/// The tiles along the columns of a problem's weight, and all tiles of one of its pieces.
template <class TileSizes>
__host__ __device__ Index column_tiles(const InnovationProblem& problem) {
  return ceil_div(problem.input.cols, TileSizes::columns);
}
template <class TileSizes>
__host__ __device__ Index tiles_of_piece(const InnovationProblem& problem) {
  return column_tiles<TileSizes>(problem) * ceil_div(problem.delta.cols, TileSizes::rows);
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

/// Element i is a parameter of a group of problems, whose innovation is written or added.
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

/// Element i is a parameter of a group of problems, which is updated by its innovation.
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

/// The parameters of all problems of a group.
Index parameter_count(const Problems& problems) {
  Index count = 0;
  for (int i = 0; i < problems.count; ++i) count += problems.problem[i].parameter_count();
  return count;
}

}  // namespace

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
