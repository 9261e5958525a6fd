// Graphs, which are captured from streams.

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "device_state.h"
#include "streams.h"

using namespace tagix_emulator;

namespace {

template <class Map, class Handle>
cudaError_t destroy(const char* name, Map& map, Handle handle) {
  if (map.erase(handle) == 0) {
    return refuse(cudaErrorInvalidResourceHandle, name, ": no such handle");
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  constexpr const char* name = "cudaStreamBeginCapture";
  return call(name, [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream(name);
    if (mode != cudaStreamCaptureModeThreadLocal) {
      return refuse(cudaErrorInvalidValue, name, ": no such mode");
    }
    if (stream->capture != nullptr) {
      return refuse(cudaErrorInvalidValue, name, ": the stream is being captured already");
    }
    stream->capture = std::make_shared<Capture>();
    stream->capture->thread = std::this_thread::get_id();
    device.captures.push_back(stream->capture);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  constexpr const char* name = "cudaStreamEndCapture";
  return call(name, [&] {
    if (graph == nullptr) return refuse(cudaErrorInvalidValue, name, ": null pointer");
    *graph = nullptr;
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream(name);
    if (stream->capture == nullptr) {
      return refuse(cudaErrorInvalidValue, name, ": the stream is not being captured");
    }
    if (stream->capture->thread != std::this_thread::get_id()) {
      return refuse(cudaErrorStreamCaptureWrongThread, name,
                    ": the capture began in another thread");
    }
    const std::shared_ptr<Capture> capture = std::move(stream->capture);
    stream->capture = nullptr;
    std::erase(device.captures, capture);
    if (!capture->valid) {
      return refuse(cudaErrorStreamCaptureInvalidated, name, ": the capture was invalidated");
    }
    const auto made = std::make_shared<CUgraph_st>(CUgraph_st{std::move(capture->work)});
    *graph = made.get();
    device.graphs[*graph] = made;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return call("cudaGraphInstantiate", [&] {
    if (exec == nullptr || !device.graphs.contains(graph)) {
      return refuse(cudaErrorInvalidValue, "cudaGraphInstantiate: invalid argument");
    }
    const auto made = std::make_shared<CUgraphExec_st>(CUgraphExec_st{graph->work});
    *exec = made.get();
    device.execs[*exec] = made;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  constexpr const char* name = "cudaGraphLaunch";
  return call(name, [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream(name);
    const auto found = device.execs.find(exec);
    if (found == device.execs.end()) {
      return refuse(cudaErrorInvalidValue, name, ": no such graph");
    }
    if (const cudaError_t error = refuse_captured(name, stream); error != cudaSuccess) {
      return error;
    }
    return submit(name, stream, [graph = found->second] {
      for (const Work& work : graph->work) run(work);
    });
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return call("cudaGraphExecDestroy",
              [&] { return destroy("cudaGraphExecDestroy", device.execs, exec); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call("cudaGraphDestroy",
              [&] { return destroy("cudaGraphDestroy", device.graphs, graph); });
}
