// What threads do together: barriers, warp collectives, and the shared memory of clusters.

#include <algorithm>
#include <cstddef>

#include "device_side.h"
#include "grid_faults.h"
#include "grid_threads.h"

namespace tagix_emulator {
namespace {

void begin_wait(const char* name, const Where& where, unsigned mask) {
  self->state = State::waiting;
  self->name = name;
  self->where = where;
  self->mask = mask;
}

bool wait_at(Barrier& barrier, std::size_t n_threads, const char* name, int value,
             const Where& where) {
  begin_wait(name, where, 0);
  barrier.any = value != 0 || (!barrier.waiting.empty() && barrier.any);
  if (!barrier.waiting.empty() && !same(barrier.waiting.front()->where, where)) {
    set_mismatch(*barrier.waiting.front(), *self);
    abandon();
  }
  if (barrier.waiting.size() + 1 < n_threads) {
    barrier.waiting.push_back(self);
    wait();
  } else {
    barrier.result = barrier.any;
    for (Thread* const thread : barrier.waiting) make_ready(thread);
    barrier.waiting.clear();
    self->state = State::running;
  }
  // Nobody can complete the next barrier before this thread has read the result of this one.
  return barrier.result;
}

}  // namespace

void* shared_memory() { return self->block->shared.get(); }

unsigned cluster_rank() { return self->block->rank; }

unsigned cluster_size() { return static_cast<unsigned>(blocks.size()); }

void cluster_sync(Where where) {
  wait_at(cluster_barrier, threads.size(), "cluster_sync", 0, where);
}

void* cluster_shared_memory(void* mine, unsigned rank, Where where) {
  const auto offset =
      static_cast<std::size_t>(static_cast<char*>(mine) - static_cast<char*>(shared_memory()));
  if (offset > grid->shared_bytes) fault("the address is not in the block's shared memory", where);
  if (rank >= blocks.size()) fault("the cluster has no block of this rank", where);
  Block& block = blocks[rank];
  if (block.n_ended == n_block_threads) fault("the other block of the cluster has ended", where);
  return static_cast<char*>(block.shared.get()) + offset;
}

bool block_barrier(const char* name, int value, Where where) {
  return wait_at(self->block->barrier, n_block_threads, name, value, where);
}

void fault(const char* message, Where where) {
  set_fault(*self, "fault", where, message);
  abandon();
}

unsigned lane() { return self->index % 32; }

void warp_collective(const char* name, unsigned mask, void* slot, Combine combine, Where where) {
  Block& block = *self->block;
  const unsigned lane = self->index % 32, first = self->index - lane;
  const unsigned n_lanes = std::min(32u, n_block_threads - first);
  const char* wrong = nullptr;
  if ((mask >> lane & 1u) == 0) wrong = "the mask leaves out the thread itself";
  if (n_lanes < 32 && mask >> n_lanes != 0) wrong = "the mask names lanes that the block lacks";
  if (wrong != nullptr) {
    set_fault(*self, name, where, wrong);
    abandon();
  }
  begin_wait(name, where, mask);
  self->slot = slot;
  self->combine = combine;
  unsigned& waiting = block.waiting_lanes[first / 32];
  waiting |= 1u << lane;
  if ((waiting & mask) != mask) {
    wait();
    return;
  }

  void* slots[32] = {};
  for (unsigned i = 0; i < n_lanes; ++i) {
    if ((mask >> i & 1u) == 0) continue;
    const Thread& other = block.threads[first + i];
    if (other.mask != mask || other.combine != combine || !same(other.where, where)) {
      set_mismatch(other, *self);
      abandon();
    }
    slots[i] = other.slot;
  }
  wrong = combine(slots, mask);
  if (wrong != nullptr) {
    set_fault(*self, name, where, wrong);
    abandon();
  }
  waiting &= ~mask;
  self->state = State::running;
  for (unsigned i = 0; i < n_lanes; ++i) {
    if ((mask >> i & 1u) != 0 && i != lane) make_ready(&block.threads[first + i]);
  }
}

}  // namespace tagix_emulator
