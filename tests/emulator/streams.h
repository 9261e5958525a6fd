#pragma once

// A stream is a queue of work. What a call waits for runs, and nothing else: streams that nobody
// waits for stay behind as far as they can. During a capture the work becomes that of a graph.

#include "device_state.h"

namespace tagix_emulator {

/// The stream behind a handle, or null. There is no legacy stream: the project does not use it.
Stream find_stream(cudaStream_t handle);

cudaError_t no_stream(const char* name);

/// Runs the work now, unless the device has faulted.
void run(const Work& work);

/// Queues the work, or makes it part of the graph that the stream is captured into.
cudaError_t submit(const char* name, const Stream& stream, Work work);

/// Refuses a call that CUDA does not allow for a stream that is captured.
cudaError_t refuse_captured(const char* name, const Stream& stream);

}  // namespace tagix_emulator
