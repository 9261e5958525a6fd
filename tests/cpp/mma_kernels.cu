#include "cuda/launch.h"
#include "cuda/mma.h"
#include "mma_kernels.h"

namespace tagix::test {
namespace {

using namespace tagix::cuda;

/// One warp. Where the elements lie is spelled out as the PTX ISA has it, apart from cuda/mma.h.
template <int depth>
__global__ void mma_kernel(const float* a, const float* b, float* c) {
  const int lane = static_cast<int>(threadIdx.x), group = lane >> 2, member = lane % 4;
  unsigned a_registers[2][4], b_registers[2][2];
  float sums[2][2][4];
  for (int i = 0; i < 2; ++i) {
    for (int r = 0; r < 4; ++r) {
      const int row = 16 * i + (r == 1 || r == 3 ? group + 8 : group);
      if constexpr (depth == 8) {
        a_registers[i][r] = to_tf32(a[row * depth + (r >= 2 ? member + 4 : member)]);
      } else {
        const float* pair = a + row * depth + (r >= 2 ? member * 2 + 8 : member * 2);
        a_registers[i][r] = to_bf16x2(pair[0], pair[1]);
      }
    }
    for (int r = 0; r < 2; ++r) {
      const int column = 8 * i + group;
      if constexpr (depth == 8) {
        const int k = r == 1 ? member + 4 : member;
        b_registers[i][r] = to_tf32(b[k * mma_columns + column]);
      } else {
        const int k = r == 1 ? member * 2 + 8 : member * 2;
        b_registers[i][r] =
            to_bf16x2(b[k * mma_columns + column], b[(k + 1) * mma_columns + column]);
      }
    }
  }
  const auto each_sum = [&](const auto& visit) {
    for (int i = 0; i < 2; ++i) {
      for (int j = 0; j < 2; ++j) {
        for (int r = 0; r < 4; ++r) {
          const int row = 16 * i + (r < 2 ? group : group + 8);
          visit(c[row * mma_columns + 8 * j + member * 2 + (r & 1)], sums[i][j][r]);
        }
      }
    }
  };
  each_sum([](float& element, float& sum) { sum = element; });
  if constexpr (depth == 8) {
    mma<MmaTf32>(sums, a_registers, b_registers);
  } else {
    mma<MmaBf16>(sums, a_registers, b_registers);
  }
  each_sum([](float& element, float& sum) { element = sum; });
}

struct Convert {
  const float* x;
  unsigned* tf32;
  unsigned* bf16;

  __device__ void operator()(Index i) const {
    tf32[i] = to_tf32(x[i]);
    bf16[i] = to_bf16x2(x[i], -x[i]);
  }
};

}  // namespace

void multiply_tf32(const float* a, const float* b, float* c) {
  launch("multiply_tf32", mma_kernel<8>, {dim3(1), dim3(warp_size)}, a, b, c);
}

void multiply_bf16(const float* a, const float* b, float* c) {
  launch("multiply_bf16", mma_kernel<16>, {dim3(1), dim3(warp_size)}, a, b, c);
}

void convert(const float* x, Index count, unsigned* tf32, unsigned* bf16) {
  for_each("convert", count, Convert{x, tf32, bf16});
}

}  // namespace tagix::test
