#pragma once

// Copies from global to shared memory that go on while the thread computes, without registers (PTX
// ISA, "Data Movement and Conversion Instructions: Non-bulk copy"). Below compute capability 8.0,
// which lacks them, they are done at once.
//
// The emulator copies as late as CUDA may: when the thread waits for it.

#include "device.h"

namespace tagix::cuda {

/// A thread's copies, in groups that finish in their order.
class AsyncCopies {
 public:
  /// Copies `count` of `floats` floats, to an address that is a multiple of their size; the others
  /// become 0, and are not read.
  template <int floats>
  __device__ __forceinline__ void copy(float* to, const float* from, int count) {
    static_assert(floats == 1 || floats == 4);
#ifdef TAGIX_CUDA_EMULATED
    if (n_pending_ == most_pending) tagix_emulator::fault("too many copies are under way");
    pending_[n_pending_++] = {to, from, floats, count};
#elif __CUDA_ARCH__ >= 800
    const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
    const int bytes = count * static_cast<int>(sizeof(float));
    if constexpr (floats == 1) {
      asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                   :
                   : "r"(address), "l"(from), "r"(bytes)
                   : "memory");
    } else {
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                   :
                   : "r"(address), "l"(from), "r"(bytes)
                   : "memory");
    }
#else
#pragma unroll
    for (int k = 0; k < floats; ++k) to[k] = k < count ? from[k] : 0.0f;
#endif
  }

  /// Ends a group, which may be empty.
  __device__ __forceinline__ void end_group() {
#ifdef TAGIX_CUDA_EMULATED
    if (n_groups_ == most_groups) tagix_emulator::fault("too many groups are under way");
    group_end_[n_groups_++] = n_pending_;
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" : : : "memory");
#endif
  }

  /// Waits for all groups but the last `n_others`. What other threads copied is there after a
  /// barrier that they reach having waited too.
  template <int n_others>
  __device__ __forceinline__ void wait() {
#ifdef TAGIX_CUDA_EMULATED
    if (n_groups_ <= n_others) return;
    const int n_done = group_end_[n_groups_ - n_others - 1];
    for (int i = 0; i < n_done; ++i) {
      const Pending& copy = pending_[i];
      for (int k = 0; k < copy.floats; ++k) copy.to[k] = k < copy.count ? copy.from[k] : 0.0f;
    }
    for (int i = n_done; i < n_pending_; ++i) pending_[i - n_done] = pending_[i];
    for (int i = 0; i < n_others; ++i) {
      group_end_[i] = group_end_[n_groups_ - n_others + i] - n_done;
    }
    n_pending_ -= n_done;
    n_groups_ = n_others;
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" : : "n"(n_others) : "memory");
#endif
  }

#ifdef TAGIX_CUDA_EMULATED
 private:
  struct Pending {
    float* to;
    const float* from;
    int floats, count;
  };
  static constexpr int most_pending = 256, most_groups = 8;
  Pending pending_[most_pending];
  int group_end_[most_groups];
  int n_pending_ = 0, n_groups_ = 0;
#endif
};

}  // namespace tagix::cuda
