// One cluster of blocks at a time (a cluster is a single block unless the launch says otherwise).
// Every thread of it is unstarted, ready, waiting or ended. Whenever a thread waits or ends, the
// next is drawn at random from the ready and the unstarted ones. An unstarted thread needs a stack:
// that of the fiber whose thread has just ended, or else of an idle fiber. When nothing is ready or
// unstarted, control returns to the caller of run_grid: either all have ended, or those that wait
// will wait for ever.

#include "grid.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "fibers.h"
#include "grid_faults.h"
#include "grid_threads.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace tagix_emulator {
namespace {

std::uint64_t random_state = 0x9e3779b97f4a7c15u;

std::vector<unsigned> order;  // a permutation of `threads`; the first n_unstarted are unstarted
std::vector<Thread*> ready;
std::vector<Fiber*> idle;
unsigned n_unstarted = 0, n_ended = 0;

/// The next thread to run, or null.
Thread* draw() {
  const std::size_t n = ready.size() + n_unstarted;
  if (n == 0) return nullptr;
  std::size_t i = random_below(n);
  if (i < ready.size()) {
    Thread* const thread = ready[i];
    ready[i] = ready.back();
    ready.pop_back();
    return thread;
  }
  i -= ready.size();
  std::swap(order[i], order[--n_unstarted]);
  return &threads[order[n_unstarted]];
}

void enter(Thread* thread) {
  self = thread;
  thread->state = State::running;
  threadIdx = indices[thread->index];
  blockIdx = thread->block->index;
}

void assign(Thread* thread, Fiber* fiber) {
  thread->fiber = fiber;
  fiber->thread = thread;
}

/// After a block's end, nobody may use its shared memory, of which other blocks of the cluster may
/// have addresses.
void retire(Block& block) {
  if (grid->shared_bytes == 0) return;
  std::memset(block.shared.get(), 0xff, grid->shared_bytes);
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(block.shared.get(), grid->shared_bytes);
#endif
}

void run_thread(Thread* thread) {
  enter(thread);
  grid->thread();
  thread->state = State::ended;
  thread->fiber = nullptr;
  ++n_ended;
  if (++thread->block->n_ended == n_block_threads && blocks.size() > 1) retire(*thread->block);
}

/// Goes to the thread, whether it has begun or not.
void go_to(Thread* thread) {
  if (thread->fiber == nullptr) {
    Fiber* fiber = nullptr;
    if (idle.empty()) {
      fiber = new_fiber();
    } else {
      fiber = idle.back();
      idle.pop_back();
    }
    assign(thread, fiber);
  }
  switch_to(thread->fiber);
}

void begin_block(Block& block, uint3 index) {
  block.index = index;
  block.n_ended = 0;
  block.barrier.waiting.clear();
  std::fill(block.waiting_lanes.begin(), block.waiting_lanes.end(), 0u);
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(block.shared.get(), grid->shared_bytes);
#endif
  if (grid->shared_bytes != 0) std::memset(block.shared.get(), 0xff, grid->shared_bytes);
}

/// Runs the cluster whose first block is `first`.
void run_cluster(uint3 first) {
  const dim3 shape = grid->cluster;
  for (unsigned i = 0; i < blocks.size(); ++i) {
    begin_block(blocks[i], {first.x + i % shape.x, first.y + i / shape.x % shape.y,
                            first.z + i / (shape.x * shape.y)});
  }
  cluster_barrier.waiting.clear();
  n_unstarted = static_cast<unsigned>(threads.size());
  n_ended = 0;
  go_to(draw());
  if (fault_text.empty() && n_ended < threads.size()) fault_text = describe_deadlock();
}

void prepare(const Grid& new_grid) {
  grid = &new_grid;
  fault_text.clear();
  gridDim = grid->blocks;
  blockDim = grid->threads;
  n_block_threads = blockDim.x * blockDim.y * blockDim.z;
  const unsigned n_blocks = grid->cluster.x * grid->cluster.y * grid->cluster.z;
  const unsigned n_threads = n_block_threads * n_blocks;

  indices.resize(n_block_threads);
  for (unsigned i = 0; i < n_block_threads; ++i) {
    indices[i] = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
  }
  if (order.size() != n_threads) {
    order.resize(n_threads);
    for (unsigned i = 0; i < n_threads; ++i) order[i] = i;
  }
  threads.assign(n_threads, Thread{});
  blocks.clear();
  blocks.resize(n_blocks);
  for (unsigned b = 0; b < n_blocks; ++b) {
    Block& block = blocks[b];
    block.rank = b;
    block.threads = &threads[b * n_block_threads];
    for (unsigned t = 0; t < n_block_threads; ++t) {
      block.threads[t].block = &block;
      block.threads[t].index = t;
    }
    block.waiting_lanes.resize((n_block_threads + 31) / 32);
    void* memory = nullptr;
    if (posix_memalign(&memory, 128, grid->shared_bytes) != 0) throw std::bad_alloc();
    block.shared.reset(memory);
  }
}

/// After a fault: the fibers of threads that did not end begin anew.
void recover() {
  ready.clear();
  std::size_t color = 0;
  for (Thread& thread : threads) {
    if (thread.fiber == nullptr) continue;
    restart(thread.fiber, color++);
    idle.push_back(thread.fiber);
    thread.fiber = nullptr;
  }
}

}  // namespace

void wait() {
  Thread* const me = self;
  Thread* const next = draw();
  if (next == nullptr) {
    switch_to(&caller);
  } else {
    go_to(next);
  }
  enter(me);
}

void abandon() {
  switch_to(&caller);
  std::abort();  // an abandoned fiber is never resumed
}

void make_ready(Thread* thread) {
  thread->state = State::ready;
  ready.push_back(thread);
}

void seed_order(std::uint64_t seed) { random_state = seed * 0x9e3779b97f4a7c15u | 1u; }

// xorshift64*.
std::size_t random_below(std::size_t n) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  const std::uint64_t bits = random_state * 0x2545f4914f6cdd1du;
  return static_cast<std::size_t>((bits >> 32) * n >> 32);
}

std::string run_grid(const Grid& new_grid) {
  prepare(new_grid);
  const dim3 shape = grid->cluster;
  const unsigned nx = gridDim.x / shape.x, ny = gridDim.y / shape.y, nz = gridDim.z / shape.z;
  std::vector<std::uint32_t> clusters(std::size_t{nx} * ny * nz);
  for (std::size_t i = 0; i < clusters.size(); ++i) clusters[i] = static_cast<std::uint32_t>(i);
  for (std::size_t left = clusters.size(); left > 0 && fault_text.empty(); --left) {
    std::swap(clusters[random_below(left)], clusters[left - 1]);
    const std::uint32_t i = clusters[left - 1];
    run_cluster({i % nx * shape.x, i / nx % ny * shape.y, i / nx / ny * shape.z});
  }
  if (!fault_text.empty()) recover();
  blocks.clear();
  return fault_text;
}

}  // namespace tagix_emulator

extern "C" void tagix_emulator_fiber() noexcept {
  using namespace tagix_emulator;
  arrived();
  Fiber* const fiber = running;
  for (;;) {
    run_thread(fiber->thread);
    fiber->thread = nullptr;
    Thread* const next = draw();
    if (next != nullptr && next->fiber == nullptr) {
      assign(next, fiber);
      continue;
    }
    idle.push_back(fiber);
    switch_to(next == nullptr ? &caller : next->fiber);
  }
}
