#pragma once

// The device half of the emulator: runs a grid's threads as fibers.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "device_side.h"

namespace tagix_emulator {

struct Grid {
  dim3 blocks, threads, cluster;
  std::size_t shared_bytes = 0;
  std::function<void()> thread;  ///< the kernel with its arguments, as one thread runs it
};

/// Runs all threads of the grid and returns what went wrong, or an empty string. One at a time: the
/// caller holds a lock.
std::string run_grid(const Grid& grid);

/// Restarts the order of blocks and threads.
void seed_order(std::uint64_t seed);

/// A number below `n` from the same sequence.
std::size_t random_below(std::size_t n);

}  // namespace tagix_emulator
