#include "streams.h"

#include <cstddef>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "device_memory.h"
#include "grid.h"

namespace tagix_emulator {

Stream find_stream(cudaStream_t handle) {
  const auto found = device.streams.find(handle);
  return found == device.streams.end() ? nullptr : found->second;
}

cudaError_t no_stream(const char* name) {
  return refuse(cudaErrorInvalidResourceHandle, name, ": no such stream");
}

void run(const Work& work) {
  if (device.fault != cudaSuccess) return;
  const DeviceScope scope;
  work();
}

cudaError_t submit(const char* name, const Stream& stream, Work work) {
  if (stream->capture == nullptr) {
    stream->queue.push_back(std::move(work));
    return cudaSuccess;
  }
  if (!stream->capture->valid) {
    return refuse(cudaErrorStreamCaptureInvalidated, name, ": the capture was invalidated");
  }
  stream->capture->work.push_back(std::move(work));
  return cudaSuccess;
}

cudaError_t refuse_captured(const char* name, const Stream& stream) {
  if (stream->capture == nullptr) return cudaSuccess;
  stream->capture->valid = false;
  return refuse(cudaErrorStreamCaptureUnsupported, name, ": the stream is being captured");
}

}  // namespace tagix_emulator

using namespace tagix_emulator;

namespace {

/// Runs all that is queued.
void finish(CUstream_st& stream) {
  const DeviceScope scope;
  while (!stream.queue.empty()) {
    const Work work = std::move(stream.queue.front());
    stream.queue.pop_front();
    run(work);
  }
}

/// Runs all that is queued on the streams of a device, stream by stream in any order.
void finish_device(int index) {
  std::vector<Stream> streams;
  for (const auto& [handle, stream] : device.streams) {
    if (stream->device == index) streams.push_back(stream);
  }
  const DeviceScope scope;
  while (!streams.empty()) {
    const auto drawn = streams.begin() + static_cast<std::ptrdiff_t>(random_below(streams.size()));
    finish(**drawn);
    streams.erase(drawn);
  }
}

/// Refuses a call that CUDA does not allow while this thread captures.
cudaError_t refuse_in_capture(const char* name) {
  bool refused = false;
  for (const std::shared_ptr<Capture>& capture : device.captures) {
    if (capture->thread != std::this_thread::get_id()) continue;
    capture->valid = false;
    refused = true;
  }
  if (!refused) return cudaSuccess;
  return refuse(cudaErrorStreamCaptureUnsupported, name, ": not allowed during a capture");
}

}  // namespace

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned flags) {
  return call("cudaStreamCreateWithFlags", [&] {
    if (handle == nullptr || flags != cudaStreamNonBlocking) {
      return refuse(cudaErrorInvalidValue, "cudaStreamCreateWithFlags: invalid argument");
    }
    const auto stream = std::make_shared<CUstream_st>();
    stream->device = current_device;
    *handle = stream.get();
    device.streams[*handle] = stream;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call("cudaStreamSynchronize", [&] {
    const Stream stream = find_stream(handle);
    if (stream == nullptr) return no_stream("cudaStreamSynchronize");
    cudaError_t error = refuse_captured("cudaStreamSynchronize", stream);
    if (error == cudaSuccess) error = refuse_in_capture("cudaStreamSynchronize");
    if (error == cudaSuccess) finish(*stream);
    return error;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", [&] {
    if (!device.captures.empty()) {
      for (const auto& capture : device.captures) capture->valid = false;
      return refuse(cudaErrorStreamCaptureUnsupported,
                    "cudaDeviceSynchronize: not allowed during a capture");
    }
    finish_device(current_device);
    return cudaSuccess;
  });
}
