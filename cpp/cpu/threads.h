#pragma once

#include <type_traits>

#include "core/index.h"
#include "cpu/denormals.h"

namespace tagix::cpu {

/// The number of threads that parallel_for may use, the caller included. At the start it is the
/// number of processors that this process may run on.
int thread_count();

constexpr int max_thread_count = 4096;

/// Throws std::invalid_argument unless count is in [1, max_thread_count]. Waits for work in
/// progress. Where the system cannot start so many, fewer do the work.
void set_thread_count(int count);

namespace detail {
void run_chunks(Index n_chunks, void (*body)(void*, Index), void* context);
}

/// Calls body(chunk) for chunk = 0 .. n_chunks - 1, each once, on several threads where that pays.
/// `nanoseconds` is a rough cost of the whole: small work stays on the calling thread. What a chunk
/// is must not depend on the number of threads, so that results do not either. Bodies do not throw;
/// to them denormal numbers are 0, on whatever thread they run.
template <class Body>
void parallel_for(Index n_chunks, double nanoseconds, Body&& body) {
  constexpr double worth_waking = 20e3;
  if (n_chunks <= 1 || nanoseconds < worth_waking) {
    const DenormalsAsZero mode;
    for (Index chunk = 0; chunk < n_chunks; ++chunk) body(chunk);
    return;
  }
  detail::run_chunks(
      n_chunks,
      [](void* context, Index chunk) {
        (*static_cast<std::remove_reference_t<Body>*>(context))(chunk);
      },
      &body);
}

}  // namespace tagix::cpu
