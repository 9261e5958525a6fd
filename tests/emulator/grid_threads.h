#pragma once

// The threads and blocks of the cluster that runs, and what its collectives do to them.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "device_side.h"
#include "grid.h"

namespace tagix_emulator {

struct Fiber;
struct Block;

enum class State { unstarted, running, ready, waiting, ended };

struct Thread {
  Block* block = nullptr;
  Fiber* fiber = nullptr;
  unsigned index = 0;  // within the block
  State state = State::unstarted;
  // What it waits for.
  const char* name = nullptr;
  Where where;
  // Of a warp collective.
  unsigned mask = 0;
  void* slot = nullptr;
  Combine combine = nullptr;
};

struct Barrier {
  std::vector<Thread*> waiting;
  bool any = false, result = false;
};

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

struct Block {
  uint3 index{};
  unsigned rank = 0;  // in the cluster
  Thread* threads = nullptr;
  unsigned n_ended = 0;
  Barrier barrier;
  std::vector<unsigned> waiting_lanes;  // of each warp, those that wait at a collective
  std::unique_ptr<void, Free> shared;
};

// Of the grid that runs. The lock that the caller of run_grid holds guards all of this.
inline const Grid* grid = nullptr;
inline std::vector<Block> blocks;    ///< of the cluster
inline std::vector<Thread> threads;  ///< of the cluster
inline std::vector<uint3> indices;   ///< threadIdx of each thread of a block
inline Barrier cluster_barrier;
inline unsigned n_block_threads = 0;
inline Thread* self = nullptr;  ///< the thread that runs

/// Lets others run until somebody makes this thread ready.
void wait();

void make_ready(Thread* thread);

/// Ends the grid; the caller of run_grid finds the fault. Nothing with a destructor may be alive on
/// the stack of the fiber.
[[noreturn]] void abandon();

}  // namespace tagix_emulator
