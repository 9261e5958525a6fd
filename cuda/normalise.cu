#include "block_sums.h"
#include "launch.h"
#include "operations.h"
#include "ops/normalise.h"

namespace tagix::cuda {
namespace {

constexpr int set_threads = 256;

/// The mean of term(i) over the set of the block, for all of its threads.
template <class Term>
__device__ __forceinline__ float mean_over(const NormSets& sets, Index set, const Term& term) {
  float sum = 0;
  for (Index k = threadIdx.x; k < sets.size(); k += set_threads) sum += term(sets.place(set, k));
  return sum_in_block<set_threads>(sum, shared_memory()) / static_cast<float>(sets.size());
}

struct MeanTerm {
  const ops::Normalise& op;
  __device__ float operator()(Index i) const { return op.mean(i); }
};
struct SquareTerm {
  const ops::Normalise& op;
  float mu;
  __device__ float operator()(Index i) const { return op.square(i, mu); }
};

__global__ void __launch_bounds__(set_threads)
    normalise_kernel(const __grid_constant__ ops::Normalise op) {
  const Index set = blockIdx.x;
  const float mu = op.sets.centred ? mean_over(op.sets, set, MeanTerm{op}) : 0.0f;
  const float r = op.scale_of(mean_over(op.sets, set, SquareTerm{op, mu}));
  for (Index k = threadIdx.x; k < op.sets.size(); k += set_threads) {
    op.write(op.sets.place(set, k), mu, r);
  }
  if (threadIdx.x == 0) op.scale[set] = r;
}

struct DeltaTerm {
  const ops::NormaliseBackward& op;
  __device__ float operator()(Index i) const { return op.delta_mean(i); }
};
struct ProductTerm {
  const ops::NormaliseBackward& op;
  __device__ float operator()(Index i) const { return op.product(i); }
};
struct VarTerm {
  const ops::NormaliseBackward& op;
  __device__ float operator()(Index i) const { return op.by_var(i); }
};

__global__ void __launch_bounds__(set_threads)
    normalise_backward_kernel(const __grid_constant__ ops::NormaliseBackward op) {
  const Index set = blockIdx.x;
  ops::NormaliseBackward::Means means{};
  if (op.sets.exact) {
    if (op.sets.centred) means.delta = mean_over(op.sets, set, DeltaTerm{op});
    means.product = mean_over(op.sets, set, ProductTerm{op});
    if (op.output.var != nullptr) means.by_var = mean_over(op.sets, set, VarTerm{op});
  }
  const float r = op.scale_of(set);
  for (Index k = threadIdx.x; k < op.sets.size(); k += set_threads) {
    op.write(op.sets.place(set, k), r, means);
  }
}

/// A block for each set of so many rows.
LaunchSize for_sets(const NormSets& sets, Index rows) {
  const Index n_sets = rows / sets.positions * sets.per_row();
  return {dim3(static_cast<unsigned>(n_sets)), dim3(set_threads), set_threads * sizeof(float)};
}

}  // namespace

void normalise(ConstMomentsView input, const NormSets& sets, MomentsView output, float* scale) {
  if (output.size() == 0) return;
  launch("normalise", normalise_kernel, for_sets(sets, output.rows),
         ops::Normalise{input, sets, output, scale});
}

void normalise_backward(ConstMomentsView output, const float* scale, const NormSets& sets,
                        ConstMomentsView delta, bool add, MomentsView below) {
  if (below.size() == 0) return;
  launch("normalise_backward", normalise_backward_kernel, for_sets(sets, below.rows),
         ops::NormaliseBackward{output, scale, sets, delta, add, below});
}

}  // namespace tagix::cuda
