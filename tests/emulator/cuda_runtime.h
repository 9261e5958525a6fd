#pragma once

// Runs the project's .cu files on the processor: this folder comes first on the include path, and
// g++ compiles them as C++. So that the same kernels and the same host code run where there is no
// GPU, under AddressSanitizer too, the emulator keeps to three rules.
//
// It looks for mistakes rather than for speed. The threads of a block and the blocks of a grid run
// in a shuffled order (seeded, so a failure repeats), and shared and device memory is full of NaNs
// when it is handed out: what reads a value before the barrier that would have brought it finds a
// NaN or an old value. A barrier or warp collective that not every thread reaches is a fault of the
// launch.
//
// It is as late as CUDA allows. Work on a stream waits in a queue until something that is entitled
// to its result asks for it, by a synchronisation. What is not synchronised has not happened yet.
//
// It is as strict as CUDA. Launch limits, copy directions, capture rules and the lifetimes of
// handles are checked, a fault of a kernel stays until reset(), and last_message() says what was
// wrong. Under AddressSanitizer, device memory is poisoned while no device work runs, so host code
// that touches it is found.
//
// A kernel's threads are fibers: a thread runs until it waits, a fiber that ends one thread takes
// up the next on the same stack, and so kernels without barriers never switch (grid.cpp).
//
// What it cannot show: time; data races between threads that no barrier separates in any order
// (atomics are plain operations, since fibers only switch where they wait); memory order; spinning
// on what another thread writes, which never ends; limits on registers; host pointers inside
// structures that a kernel is given (only arguments that are pointers are checked). Of CUDA it has
// what the project uses: all else is missing, and fails to compile or is refused.

#include "device_side.h"
#include "host_side.h"
