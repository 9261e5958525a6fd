// One cluster of blocks at a time (a cluster is a single block unless the launch says otherwise).
// Every thread of it is unstarted, ready, waiting or ended. Whenever a thread waits or ends, the
// next is drawn at random from the ready and the unstarted ones. An unstarted thread needs a stack:
// that of the fiber whose thread has just ended, or else of an idle fiber. Fibers are never
// destroyed; between grids they rest in the middle of their loop. When nothing is ready or
// unstarted, control returns to the caller of run_grid: either all have ended, or those that wait
// will wait for ever.

#include "grid.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <sstream>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

#if defined(__x86_64__)
// Saves the registers that a call preserves on the stack and the stack pointer in *from, and goes
// on where `to` was saved. The control words of floating point are the same everywhere.
extern "C" void tagix_emulator_switch(void** from, void* to);
asm(R"(
.text
.p2align 4
.hidden tagix_emulator_switch
.globl tagix_emulator_switch
.type tagix_emulator_switch, @function
tagix_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size tagix_emulator_switch, . - tagix_emulator_switch
)");
#endif

namespace tagix_emulator {
namespace {

struct Thread;
struct Block;

// Of address space; pages that are never touched cost nothing.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t stack_bytes = std::size_t{512} << 10;
#else
constexpr std::size_t stack_bytes = std::size_t{128} << 10;
#endif

struct Fiber {
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
  const void* bottom = nullptr;
  std::size_t size = 0;
  void* fake_stack = nullptr;  // AddressSanitizer's
  Thread* thread = nullptr;
};

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

std::uint64_t random_state = 0x9e3779b97f4a7c15u;

// Of the grid that runs. The lock that the caller holds guards all of this.
const Grid* grid = nullptr;
std::vector<Block> blocks;    // of the cluster
std::vector<Thread> threads;  // of the cluster
std::vector<uint3> indices;   // threadIdx of each thread of a block
std::vector<unsigned> order;  // a permutation of `threads`; the first n_unstarted are unstarted
std::vector<Thread*> ready;
std::vector<Fiber*> idle;
Barrier cluster_barrier;
unsigned n_unstarted = 0, n_ended = 0, n_block_threads = 0;
std::string fault_text;

Thread* self = nullptr;  // the thread that runs
Fiber caller;            // of run_grid
Fiber* running = &caller;
Fiber* previous = nullptr;

void arrived() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(running->fake_stack, &previous->bottom, &previous->size);
#endif
}

void switch_to(Fiber* fiber) {
  Fiber* const from = running;
  previous = from;
  running = fiber;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from->fake_stack, fiber->bottom, fiber->size);
#endif
#if defined(__x86_64__)
  tagix_emulator_switch(&from->stack_pointer, fiber->stack_pointer);
#else
  swapcontext(&from->context, &fiber->context);
#endif
  arrived();
}

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

// noexcept, so that an exception ends the program here: there is nothing beyond to unwind.
extern "C" void tagix_emulator_fiber() noexcept {
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

/// Makes the fiber begin its loop at its next turn.
void restart(Fiber* fiber, std::size_t color) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(fiber->bottom, fiber->size);
#endif
  fiber->fake_stack = nullptr;
  fiber->thread = nullptr;
  char* const bottom = static_cast<char*>(const_cast<void*>(fiber->bottom));
  // Stacks begin at different places of a page, else all would share the same few lines of cache.
  char* const top = bottom + fiber->size - color % 32 * 128;
#if defined(__x86_64__)
  // From the top down: no caller, where to return to, and six registers.
  auto** const frame = reinterpret_cast<void**>(top);
  std::fill(frame - 8, frame, nullptr);
  frame[-2] = reinterpret_cast<void*>(tagix_emulator_fiber);
  fiber->stack_pointer = frame - 8;
#else
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = bottom;
  fiber->context.uc_stack.ss_size = static_cast<std::size_t>(top - bottom);
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, tagix_emulator_fiber, 0);
#endif
}

std::vector<std::unique_ptr<Fiber>> fibers;

Fiber* new_fiber() {
  // Its lowest page is a guard.
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* const memory = mmap(nullptr, page + stack_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) throw std::bad_alloc();
  Fiber* const fiber = fibers.emplace_back(std::make_unique<Fiber>()).get();
  fiber->bottom = static_cast<char*>(memory) + page;
  fiber->size = stack_bytes;
  restart(fiber, fibers.size());
  return fiber;
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

/// Lets others run until somebody makes this thread ready.
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

/// Ends the grid; the caller of run_grid finds `fault_text`. Nothing with a destructor may be alive
/// on the stack of the fiber.
[[noreturn]] void abandon() {
  switch_to(&caller);
  std::abort();  // an abandoned fiber is never resumed
}

void make_ready(Thread* thread) {
  thread->state = State::ready;
  ready.push_back(thread);
}

bool same(const Where& a, const Where& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

void write(std::ostream& out, const char* name, const Where& where) {
  out << name << " (" << where.file_name() << ":" << where.line() << ")";
}

void write(std::ostream& out, const Thread& thread) {
  const uint3 b = thread.block->index, t = indices[thread.index];
  out << "thread (" << t.x << ", " << t.y << ", " << t.z << ") of block (" << b.x << ", " << b.y
      << ", " << b.z << ")";
}

void set_fault(const Thread& thread, const char* name, const Where& where, const char* what) {
  std::ostringstream out;
  write(out, name, where);
  out << " in ";
  write(out, thread);
  out << ": " << what;
  fault_text = out.str();
}

void set_mismatch(const Thread& a, const Thread& b) {
  std::ostringstream out;
  out << "threads that should meet wait in different places: ";
  write(out, a);
  out << " at ";
  write(out, a.name, a.where);
  if (a.mask != b.mask) out << " with mask " << std::hex << a.mask << std::dec;
  out << ", ";
  write(out, b);
  out << " at ";
  write(out, b.name, b.where);
  if (a.mask != b.mask) out << " with mask " << std::hex << b.mask << std::dec;
  fault_text = out.str();
}

std::string describe_deadlock() {
  std::map<std::string, std::pair<unsigned, const Thread*>> groups;
  for (const Thread& thread : threads) {
    std::ostringstream out;
    if (thread.state == State::ended) {
      out << "ended";
    } else {
      out << "waiting at ";
      write(out, thread.name, thread.where);
    }
    auto& group = groups[out.str()];
    ++group.first;
    if (group.second == nullptr) group.second = &thread;
  }
  std::ostringstream out;
  out << "a barrier or warp collective that not all threads reach:";
  for (const auto& [what, group] : groups) {
    out << (what == groups.begin()->first ? " " : "; ") << group.first << " " << what
        << " (such as ";
    write(out, *group.second);
    out << ")";
  }
  return out.str();
}

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
