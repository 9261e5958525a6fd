#pragma once

// Instructions of tensor cores: conversions of their factors, and products of small matrices by a
// warp. They need compute capability 8.0; below it they trap, so that what
// uses them compiles, and the host launches none of it.
//
// The elements of a matrix are spread over the 32 lanes of a warp, in which lane = 4 group + member
// (PTX ISA, "Matrix Fragments for mma.m16n8k8" and "... for mma.m16n8k16 with floating point
// type"):
//
//   sum     16 x 8   [2 h + e]  row group + 8 h,  column 2 member + e
//   tf32 a  16 x 8   [h + 2 e]  row group + 8 h,  depth member + 4 e
//        b   8 x 8   [e]        depth member + 4 e,  column group
//   bf16 a  16 x 16  [h + 2 e]  row group + 8 h,  depth 2 member + 8 e and its successor
//        b  16 x 8   [e]        depth 2 member + 8 e and its successor,  column group
//
// with h and e 0 or 1; of a pair of bfloat16 the first is the lower half of its register.
//
// On the emulator they do the same with these matrices. It adds all the products of an instruction
// and the sum so far exactly and then truncates to float32 once. Tensor cores truncate too, but
// more often, in an order and at a width that differ by generation and are documented nowhere
// (measured by Fasi, Higham, Mikaitis & Pranesh, PeerJ Computer Science 7, 2021): their last bits
// differ.

#include "device.h"

#ifdef TAGIX_CUDA_EMULATED
#include <cmath>
#endif

namespace tagix::cuda {

#ifdef TAGIX_CUDA_EMULATED
namespace emulated {

/// What a lane brings to products.
struct MmaSlot {
  float* sums;
  const unsigned* a;
  const unsigned* b;
};

/// The element of a factor of this depth that lies at `k`, in the registers of its lane. Of the 32
/// bits of a tf32 only the upper 19 count.
template <int depth>
double factor_element(unsigned bits, int k) {
  if constexpr (depth == 8) {
    return __uint_as_float(bits & 0xffffe000u);
  } else {
    return __uint_as_float(k % 2 == 0 ? bits << 16 : bits & 0xffff0000u);
  }
}

/// The float next to it, towards zero.
inline float truncated(double exact) {
  // Without the 29 bits that a float's significand has less, the conversion rounds nothing.
  return static_cast<float>(__longlong_as_double(__double_as_longlong(exact) & ~((1LL << 29) - 1)));
}

using EightDoubles [[gnu::vector_size(64)]] = double;

/// sums[i][j] += a[i] b[j] for the matrices of all lanes.
template <int depth, int rows, int columns>
const char* combine_mma(void* const (&slots)[32], unsigned) {
  constexpr int per_register = depth / 8;  // neighbours in depth
  const auto lane = [&](int group, int member) -> const MmaSlot& {
    return *static_cast<const MmaSlot*>(slots[4 * group + member]);
  };
  for (int j = 0; j < columns; ++j) {
    EightDoubles b[depth];
    for (int k = 0; k < depth; ++k) {
      const int member = k / per_register % 4, e = k / (4 * per_register);
      for (int column = 0; column < 8; ++column) {
        b[k][column] = factor_element<depth>(lane(column, member).b[2 * j + e], k);
      }
    }
    for (int row = 0; row < 16 * rows; ++row) {
      const int i = row / 16, group = row % 8, h = row / 8 % 2;
      const int at = 4 * (i * columns + j) + 2 * h;
      EightDoubles sums;
      for (int column = 0; column < 8; ++column) {
        sums[column] = lane(group, column / 2).sums[at + column % 2];
      }
      for (int k = 0; k < depth; ++k) {
        const int member = k / per_register % 4, e = k / (4 * per_register);
        sums += factor_element<depth>(lane(group, member).a[4 * i + h + 2 * e], k) * b[k];
      }
      for (int column = 0; column < 8; ++column) {
        lane(group, column / 2).sums[at + column % 2] = truncated(sums[column]);
      }
    }
  }
  return nullptr;
}

/// The products of a warp, for which its last lane to come works.
template <int depth, int rows, int columns>
void mma(const char* name, float (&sums)[rows][columns][4], const unsigned (&a)[rows][4],
         const unsigned (&b)[columns][2]) {
  MmaSlot slot{&sums[0][0][0], &a[0][0], &b[0][0]};
  tagix_emulator::warp_collective(name, 0xffffffffu, &slot, combine_mma<depth, rows, columns>,
                                  tagix_emulator::Where::current());
}

}  // namespace emulated
#endif

/// x as a tf32, which has 11 significant bits: the nearest one, and of two the larger (PTX ISA,
/// "cvt", cvt.rna.tf32.f32); its bits are those of a float too, as in CUDA's __float_to_tf32.
/// Tensor cores truncate a factor that was not rounded.
__device__ __forceinline__ unsigned to_tf32(float x) {
#ifdef TAGIX_CUDA_EMULATED
  const unsigned bits = __float_as_uint(x);
  return std::isfinite(x) ? (bits + 0x1000u) & 0xffffe000u : std::isnan(x) ? 0x7fffe000u : bits;
#elif __CUDA_ARCH__ >= 800
  unsigned result;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "f"(x));
  return result;
#else
  __trap();
  return __float_as_uint(x);
#endif
}

/// The nearest bfloat16s, which have 8 significant bits, or the even ones (PTX ISA, "cvt",
/// cvt.rn.bf16x2.f32).
__device__ __forceinline__ unsigned to_bf16x2(float low, float high) {
#ifdef TAGIX_CUDA_EMULATED
  const auto round = [](float x) {
    const unsigned bits = __float_as_uint(x);
    return std::isnan(x) ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  };
  return round(high) << 16 | round(low);
#elif __CUDA_ARCH__ >= 800
  unsigned result;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
#else
  __trap();
  return __float_as_uint(low + high);
#endif
}

/// Where there are no such tensor cores. It uses what it is given, so that no warning is due.
__device__ __forceinline__ void without_tensor_cores(float (&sum)[4], const unsigned (&a)[4],
                                                     const unsigned (&b)[2]) {
  sum[0] += __uint_as_float(a[0] + b[0]);
  __trap();
}

/// sum += a b on the tensor cores, with factors of tf32 (PTX ISA, "Multiply-and-Accumulate
/// Instruction: mma").
struct MmaTf32 {
  static constexpr const char* name = "mma_tf32";
  static constexpr int depth = 8;

  static __device__ __forceinline__ void add(float (&sum)[4], const unsigned (&a)[4],
                                             const unsigned (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    without_tensor_cores(sum, a, b);
#endif
  }
};

/// The same with factors of bfloat16.
struct MmaBf16 {
  static constexpr const char* name = "mma_bf16";
  static constexpr int depth = 16;

  static __device__ __forceinline__ void add(float (&sum)[4], const unsigned (&a)[4],
                                             const unsigned (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    without_tensor_cores(sum, a, b);
#endif
  }
};

/// sums[i][j] += a[i] b[j] by one of these instructions, none of which waits for the one before it.
template <class Instruction, int rows, int columns>
__device__ __forceinline__ void mma(float (&sums)[rows][columns][4], const unsigned (&a)[rows][4],
                                    const unsigned (&b)[columns][2]) {
#ifdef TAGIX_CUDA_EMULATED
  emulated::mma<Instruction::depth>(Instruction::name, sums, a, b);
#else
#pragma unroll
  for (int i = 0; i < rows; ++i) {
#pragma unroll
    for (int j = 0; j < columns; ++j) Instruction::add(sums[i][j], a[i], b[j]);
  }
#endif
}

}  // namespace tagix::cuda
