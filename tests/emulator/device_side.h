#pragma once

// What kernels see: qualifiers, vector types, indices, barriers, warp collectives, atomics and
// intrinsics, at global scope as in CUDA. The names are CUDA's.

#include <math.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#define TAGIX_CUDA_EMULATOR 1

#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __forceinline__ inline
// Empty, because the standard library writes __attribute__((__noinline__)).
#define __noinline__
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

// Vector types, with CUDA's alignment.

#define TAGIX_EMULATOR_VECTORS(name, T, align2, align4)              \
  struct alignas(align2) name##2 { T x, y; };                        \
  struct name##3 { T x, y, z; };                                     \
  struct alignas(align4) name##4 { T x, y, z, w; };                  \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }         \
  inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

TAGIX_EMULATOR_VECTORS(char, signed char, 2, 4)
TAGIX_EMULATOR_VECTORS(uchar, unsigned char, 2, 4)
TAGIX_EMULATOR_VECTORS(short, short, 4, 8)
TAGIX_EMULATOR_VECTORS(ushort, unsigned short, 4, 8)
TAGIX_EMULATOR_VECTORS(int, int, 8, 16)
TAGIX_EMULATOR_VECTORS(uint, unsigned, 8, 16)
TAGIX_EMULATOR_VECTORS(longlong, long long, 16, 16)
TAGIX_EMULATOR_VECTORS(ulonglong, unsigned long long, 16, 16)
TAGIX_EMULATOR_VECTORS(float, float, 8, 16)
TAGIX_EMULATOR_VECTORS(double, double, 16, 16)
#undef TAGIX_EMULATOR_VECTORS

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};

// Those of the thread that runs. One grid runs at a time, whichever host thread launched it, so
// they need not be thread-local.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace tagix_emulator {

/// Where a barrier or collective stands: threads that meet must stand in the same place.
using Where = std::source_location;

/// The current block's shared memory: exactly the launch's dynamicSmemBytes, full of NaNs when the
/// block begins.
void* shared_memory();

/// This block's number within its cluster, and the number of blocks in it (1 without clusters).
unsigned cluster_rank();
unsigned cluster_size();

/// Waits for all threads of all blocks of the cluster.
void cluster_sync(Where where = Where::current());

/// The address in the shared memory of block `rank` that corresponds to `mine` in this block's.
void* cluster_shared_memory(void* mine, unsigned rank, Where where = Where::current());

struct BarrierResult {
  int count, any, all;
};

/// Waits for all threads of the block, and combines their values.
BarrierResult block_barrier(const char* name, int value, Where where);

/// Ends the grid with a fault, as __trap() does.
[[noreturn]] void fault(const char* message, Where where = Where::current());

unsigned lane();

/// Given each lane's slot, works out the results; returns what is wrong, or null.
using Combine = const char* (*)(void* const (&slots)[32], unsigned mask);

/// Waits for the lanes in `mask`. The last to come calls `combine`, before any goes on.
void warp_collective(const char* name, unsigned mask, void* slot, Combine combine, Where where);

template <class T>
struct ShuffleSlot {
  T value, result;
  unsigned source;
};

template <class T>
const char* combine_shuffle(void* const (&slots)[32], unsigned mask) {
  for (unsigned i = 0; i < 32; ++i) {
    if ((mask >> i & 1u) == 0) continue;
    auto* slot = static_cast<ShuffleSlot<T>*>(slots[i]);
    if ((mask >> slot->source & 1u) == 0) return "it reads from a lane that takes no part";
    slot->result = static_cast<ShuffleSlot<T>*>(slots[slot->source])->value;
  }
  return nullptr;
}

template <class T>
T shuffle(const char* name, unsigned mask, T value, unsigned source, int width, Where where) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) >= 4, "CUDA shuffles 4 or 8 bytes");
  if (!std::has_single_bit(static_cast<unsigned>(width)) || width > 32) {
    fault("the width of a shuffle must be 1, 2, 4, 8, 16 or 32", where);
  }
  ShuffleSlot<T> slot{value, value, source};
  warp_collective(name, mask, &slot, combine_shuffle<T>, where);
  return slot.result;
}

struct BallotSlot {
  bool value;
  unsigned result;
};
inline const char* combine_ballot(void* const (&slots)[32], unsigned mask) {
  unsigned votes = 0;
  for (unsigned i = 0; i < 32; ++i) {
    if (mask >> i & 1u) votes |= unsigned{static_cast<BallotSlot*>(slots[i])->value} << i;
  }
  for (unsigned i = 0; i < 32; ++i) {
    if (mask >> i & 1u) static_cast<BallotSlot*>(slots[i])->result = votes;
  }
  return nullptr;
}

inline unsigned ballot(const char* name, unsigned mask, bool value, Where where) {
  BallotSlot slot{value, 0};
  warp_collective(name, mask, &slot, combine_ballot, where);
  return slot.result;
}

template <class T>
struct ExchangeSlot {
  const T* mine;
  T (*all)[32];
};

template <class T>
const char* combine_exchange(void* const (&slots)[32], unsigned) {
  for (void* to : slots) {
    for (unsigned i = 0; i < 32; ++i) {
      std::memcpy(&(*static_cast<ExchangeSlot<T>*>(to)->all)[i],
                  static_cast<ExchangeSlot<T>*>(slots[i])->mine, sizeof(T));
    }
  }
  return nullptr;
}

/// Every lane of the warp gets every lane's value, and all 32 must take part: what emulated
/// tensor-core instructions are made of. `mine` must not lie in `all`.
template <class T>
void warp_exchange(const T& mine, T (&all)[32], Where where = Where::current()) {
  static_assert(std::is_trivially_copyable_v<T>);
  ExchangeSlot<T> slot{&mine, &all};
  warp_collective("warp_exchange", 0xffffffffu, &slot, combine_exchange<T>, where);
}

inline const char* combine_nothing(void* const (&)[32], unsigned) { return nullptr; }

}  // namespace tagix_emulator

// Barriers.

inline void __syncthreads(tagix_emulator::Where where = tagix_emulator::Where::current()) {
  tagix_emulator::block_barrier("__syncthreads", 0, where);
}

inline int __syncthreads_or(int value,
                            tagix_emulator::Where where = tagix_emulator::Where::current()) {
  return tagix_emulator::block_barrier("__syncthreads_or", value, where).any;
}

inline int __syncthreads_and(int value,
                             tagix_emulator::Where where = tagix_emulator::Where::current()) {
  return tagix_emulator::block_barrier("__syncthreads_and", value, where).all;
}

inline int __syncthreads_count(int value,
                               tagix_emulator::Where where = tagix_emulator::Where::current()) {
  return tagix_emulator::block_barrier("__syncthreads_count", value, where).count;
}

inline void __syncwarp(unsigned mask = 0xffffffffu,
                       tagix_emulator::Where where = tagix_emulator::Where::current()) {
  tagix_emulator::warp_collective("__syncwarp", mask, nullptr, tagix_emulator::combine_nothing,
                                  where);
}

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
[[noreturn]] inline void __trap(tagix_emulator::Where where = tagix_emulator::Where::current()) {
  tagix_emulator::fault("__trap() was called", where);
}

// Warp collectives. A source outside the segment of `width` lanes means the lane itself.

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              tagix_emulator::Where where = tagix_emulator::Where::current()) {
  const auto segment = static_cast<unsigned>(width) - 1;
  const unsigned from =
      (tagix_emulator::lane() & ~segment) | (static_cast<unsigned>(source) & segment);
  return tagix_emulator::shuffle("__shfl_sync", mask, value, from, width, where);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                 tagix_emulator::Where where = tagix_emulator::Where::current()) {
  const unsigned lane = tagix_emulator::lane();
  const unsigned within = lane & (static_cast<unsigned>(width) - 1);
  return tagix_emulator::shuffle("__shfl_up_sync", mask, value,
                                 delta <= within ? lane - delta : lane, width, where);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                   tagix_emulator::Where where = tagix_emulator::Where::current()) {
  const unsigned lane = tagix_emulator::lane();
  const unsigned left = (static_cast<unsigned>(width) - 1) & ~lane;
  return tagix_emulator::shuffle("__shfl_down_sync", mask, value,
                                 delta <= left ? lane + delta : lane, width, where);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = warpSize,
                  tagix_emulator::Where where = tagix_emulator::Where::current()) {
  const unsigned lane = tagix_emulator::lane();
  const unsigned from = lane ^ static_cast<unsigned>(lane_mask);
  const unsigned last = lane | (static_cast<unsigned>(width) - 1);
  return tagix_emulator::shuffle("__shfl_xor_sync", mask, value, from <= last ? from : lane, width,
                                 where);
}

inline unsigned __ballot_sync(unsigned mask, int value,
                              tagix_emulator::Where where = tagix_emulator::Where::current()) {
  return tagix_emulator::ballot("__ballot_sync", mask, value != 0, where);
}

inline int __any_sync(unsigned mask, int value,
                      tagix_emulator::Where where = tagix_emulator::Where::current()) {
  return tagix_emulator::ballot("__any_sync", mask, value != 0, where) != 0;
}

inline int __all_sync(unsigned mask, int value,
                      tagix_emulator::Where where = tagix_emulator::Where::current()) {
  return tagix_emulator::ballot("__all_sync", mask, value != 0, where) == mask;
}

// Atomics: plain operations, since nothing else runs meanwhile. All return the old value.

#define TAGIX_EMULATOR_ATOMIC(name, T, result) \
  inline T name(T* address, T value) {         \
    const T old = *address;                    \
    *address = static_cast<T>(result);         \
    return old;                                \
  }
#define TAGIX_EMULATOR_ATOMICS(T)                                \
  TAGIX_EMULATOR_ATOMIC(atomicExch, T, value)                    \
  TAGIX_EMULATOR_ATOMIC(atomicMin, T, value < old ? value : old) \
  TAGIX_EMULATOR_ATOMIC(atomicMax, T, value > old ? value : old) \
  TAGIX_EMULATOR_ATOMIC(atomicOr, T, old | value)                \
  TAGIX_EMULATOR_ATOMIC(atomicAnd, T, old& value)                \
  TAGIX_EMULATOR_ATOMIC(atomicXor, T, old ^ value)               \
  inline T atomicCAS(T* address, T compare, T value) {           \
    const T old = *address;                                      \
    if (old == compare) *address = value;                        \
    return old;                                                  \
  }

TAGIX_EMULATOR_ATOMICS(int)
TAGIX_EMULATOR_ATOMICS(unsigned)
TAGIX_EMULATOR_ATOMICS(unsigned long long)
TAGIX_EMULATOR_ATOMIC(atomicAdd, int, static_cast<unsigned>(old) + static_cast<unsigned>(value))
TAGIX_EMULATOR_ATOMIC(atomicAdd, unsigned, old + value)
TAGIX_EMULATOR_ATOMIC(atomicAdd, unsigned long long, old + value)
TAGIX_EMULATOR_ATOMIC(atomicAdd, float, old + value)
TAGIX_EMULATOR_ATOMIC(atomicAdd, double, old + value)
TAGIX_EMULATOR_ATOMIC(atomicSub, int, static_cast<unsigned>(old) - static_cast<unsigned>(value))
TAGIX_EMULATOR_ATOMIC(atomicSub, unsigned, old - value)
TAGIX_EMULATOR_ATOMIC(atomicExch, float, value)
TAGIX_EMULATOR_ATOMIC(atomicInc, unsigned, old >= value ? 0u : old + 1u)
TAGIX_EMULATOR_ATOMIC(atomicDec, unsigned, old == 0 || old > value ? value : old - 1u)
#undef TAGIX_EMULATOR_ATOMICS
#undef TAGIX_EMULATOR_ATOMIC

// Loads and stores with cache hints.

template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
void __stcg(T* address, T value) {
  *address = value;
}
template <class T>
void __stcs(T* address, T value) {
  *address = value;
}

// Bits and arithmetic.

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return static_cast<float>(1.0 / sqrt(static_cast<double>(x))); }
inline float rsqrtf(float x) { return __frsqrt_rn(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x >= 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }

inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<std::uint64_t>(a) * b >> 32);
}
inline int __mulhi(int a, int b) {
  return static_cast<int>(static_cast<std::int64_t>(a) * b >> 32);
}
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }

#define TAGIX_EMULATOR_MIN_MAX(T)                  \
  inline T min(T a, T b) { return b < a ? b : a; } \
  inline T max(T a, T b) { return a < b ? b : a; }
TAGIX_EMULATOR_MIN_MAX(int)
TAGIX_EMULATOR_MIN_MAX(unsigned)
TAGIX_EMULATOR_MIN_MAX(long)
TAGIX_EMULATOR_MIN_MAX(unsigned long)
TAGIX_EMULATOR_MIN_MAX(long long)
TAGIX_EMULATOR_MIN_MAX(unsigned long long)
#undef TAGIX_EMULATOR_MIN_MAX
// Of a NaN and a number they return the number.
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
