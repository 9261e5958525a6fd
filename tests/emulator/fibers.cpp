#include "fibers.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#if defined(__x86_64__)
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

// Of address space; pages that are never touched cost nothing.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t stack_bytes = std::size_t{512} << 10;
#else
constexpr std::size_t stack_bytes = std::size_t{128} << 10;
#endif

std::vector<std::unique_ptr<Fiber>> fibers;

}  // namespace

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

}  // namespace tagix_emulator
