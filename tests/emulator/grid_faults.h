#pragma once

// Faults of a grid, in words.

#include <string>

#include "grid_threads.h"

namespace tagix_emulator {

inline std::string fault_text;  ///< of the grid that runs; empty where nothing is wrong

/// Whether two places in the source are the same.
bool same(const Where& a, const Where& b);

/// Notes that the thread did something wrong in `name`, called at `where`.
void set_fault(const Thread& thread, const char* name, const Where& where, const char* what);

/// Notes that two threads that should meet wait in different places.
void set_mismatch(const Thread& a, const Thread& b);

/// How many threads wait where, if all that have not ended wait for ever.
std::string describe_deadlock();

}  // namespace tagix_emulator
