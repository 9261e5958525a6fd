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

// Vector types, with CUDA's alignment.

struct uint3 {
  unsigned x, y, z;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

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

/// Waits for all threads of the block; whether any of their values is not 0.
bool block_barrier(const char* name, int value, Where where);

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

}  // namespace tagix_emulator

// Barriers.

inline void __syncthreads(tagix_emulator::Where where = tagix_emulator::Where::current()) {
  tagix_emulator::block_barrier("__syncthreads", 0, where);
}

inline int __syncthreads_or(int value,
                            tagix_emulator::Where where = tagix_emulator::Where::current()) {
  return tagix_emulator::block_barrier("__syncthreads_or", value, where);
}

[[noreturn]] inline void __trap(tagix_emulator::Where where = tagix_emulator::Where::current()) {
  tagix_emulator::fault("__trap() was called", where);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask,
                  tagix_emulator::Where where = tagix_emulator::Where::current()) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) >= 4, "CUDA shuffles 4 or 8 bytes");
  tagix_emulator::ShuffleSlot<T> slot{value, value,
                                      tagix_emulator::lane() ^ static_cast<unsigned>(lane_mask)};
  tagix_emulator::warp_collective("__shfl_xor_sync", mask, &slot,
                                  tagix_emulator::combine_shuffle<T>, where);
  return slot.result;
}

// A plain operation, since nothing else runs meanwhile. It returns the old value.
inline int atomicMax(int* address, int value) {
  const int old = *address;
  *address = value > old ? value : old;
  return old;
}

// Bits and arithmetic.

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

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
