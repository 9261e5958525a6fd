// Graphs, and what may not be captured.

#include <doctest/doctest.h>

#include <cmath>
#include <thread>
#include <vector>

#include "emulated_device.h"

using namespace tagix::test;

TEST_CASE("a graph replays what was captured, with the arguments of then") {
  const NewDevice restored;
  const cudaStream_t stream = new_stream();
  float* const values = device_array(iota(4));
  float* const copied = device_array<float>(4);

  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  float factor = 2;
  const cudaLaunchConfig_t config = configure(1, 4, 0, stream);
  CHECK(cudaLaunchKernelEx(&config, scale_kernel, values, factor, 4, values) == cudaSuccess);
  CHECK(cudaMemcpyAsync(copied, values, 16, cudaMemcpyDeviceToDevice, stream) == cudaSuccess);
  factor = 100;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(host_array(values, 4)[3] == 4.0f);  // capturing has run nothing

  CHECK(cudaGraphLaunch(exec, stream) == cudaSuccess);
  CHECK(cudaGraphLaunch(exec, stream) == cudaSuccess);
  CHECK(std::isnan(host_array(copied, 4)[3]));
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(host_array(copied, 4)[3] == 16.0f);
  CHECK(cudaGraphExecDestroy(exec) == cudaSuccess);
  CHECK(cudaGraphLaunch(exec, stream) == cudaErrorInvalidValue);
}

TEST_CASE("what a capture forbids ends it") {
  for (int forbidden = 0; forbidden < 6; ++forbidden) {
    CAPTURE(forbidden);
    const NewDevice restored;
    const cudaStream_t stream = new_stream();
    float* values = device_array<float>(4);
    float* const others = device_array<float>(4);
    std::vector<float> host(4);
    REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    float* more = nullptr;
    cudaError_t error = cudaSuccess;
    switch (forbidden) {
      case 0:
        error = cudaMallocAsync(&more, 16, stream);
        break;
      case 1:
        error = cudaFreeAsync(values, stream);
        break;
      case 2:
        error = cudaStreamSynchronize(stream);
        break;
      case 3:
        error = cudaStreamSynchronize(NewDevice::stream);
        break;
      case 4:
        error = cudaDeviceSynchronize();
        break;
      case 5:
        error = cudaMemcpyAsync(values, host.data(), 16, cudaMemcpyHostToDevice, stream);
        break;
    }
    CHECK(error == cudaErrorStreamCaptureUnsupported);
    const auto copy_within = [&] {
      return cudaMemcpyAsync(values, others, 16, cudaMemcpyDeviceToDevice, stream);
    };
    CHECK(copy_within() == cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
    CHECK(graph == nullptr);
    CHECK(copy_within() == cudaSuccess);
  }
  // In another thread and stream it is allowed.
  const NewDevice restored;
  const cudaStream_t stream = new_stream();
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  cudaError_t synchronised = cudaErrorInvalidValue, ended = cudaSuccess;
  cudaGraph_t graph = nullptr;
  std::thread([&] {
    synchronised = cudaStreamSynchronize(NewDevice::stream);
    ended = cudaStreamEndCapture(stream, &graph);
  }).join();
  CHECK(synchronised == cudaSuccess);
  CHECK(ended == cudaErrorStreamCaptureWrongThread);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
}
