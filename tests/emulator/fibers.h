#pragma once

// Fibers: stacks of their own, between which the one thread of the host switches. They are never
// destroyed; between grids they rest in the middle of their loop.

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
/// Saves the registers that a call preserves on the stack and the stack pointer in *from, and goes
/// on where `to` was saved. The control words of floating point are the same everywhere.
extern "C" void tagix_emulator_switch(void** from, void* to);
#else
#include <ucontext.h>
#endif

/// The loop that a fiber runs; noexcept, so that an exception ends the program there: there is
/// nothing beyond to unwind.
extern "C" void tagix_emulator_fiber() noexcept;

namespace tagix_emulator {

struct Thread;

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

inline Fiber caller;  ///< of run_grid
inline Fiber* running = &caller;
inline Fiber* previous = nullptr;

/// What a fiber does first after every switch to it.
inline void arrived() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(running->fake_stack, &previous->bottom, &previous->size);
#endif
}

inline void switch_to(Fiber* fiber) {
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

/// Makes the fiber begin its loop at its next turn. Fibers of different colors begin at different
/// places of a page.
void restart(Fiber* fiber, std::size_t color);

Fiber* new_fiber();

}  // namespace tagix_emulator
