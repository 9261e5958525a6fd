// The emulator finds what it promises to find: each planted bug beside the code without it.

#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

cudaStream_t new_stream() {
  cudaStream_t stream = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  return stream;
}

/// A new device for each test, with a stream.
struct NewDevice {
  NewDevice() {
    tagix_emulator::reset();
    stream = new_stream();
  }
  ~NewDevice() { tagix_emulator::reset(); }
  NewDevice(const NewDevice&) = delete;
  NewDevice& operator=(const NewDevice&) = delete;

  static inline cudaStream_t stream = nullptr;
};

template <class T>
T* shared() {
  return static_cast<T*>(tagix_emulator::shared_memory());
}

cudaLaunchConfig_t configure(dim3 grid, dim3 block, std::size_t shared_bytes = 0,
                             cudaStream_t stream = NewDevice::stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return config;
}

cudaError_t copy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
  const cudaError_t error = cudaMemcpyAsync(to, from, size, kind, NewDevice::stream);
  return error != cudaSuccess ? error : cudaStreamSynchronize(NewDevice::stream);
}

/// Memory that is there at once.
template <class T>
T* device_array(std::size_t size) {
  T* pointer = nullptr;
  REQUIRE(cudaMallocAsync(&pointer, size * sizeof(T), NewDevice::stream) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(NewDevice::stream) == cudaSuccess);
  return pointer;
}

template <class T>
T* device_array(const std::vector<T>& values) {
  T* const pointer = device_array<T>(values.size());
  REQUIRE(copy(pointer, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice) ==
          cudaSuccess);
  return pointer;
}

template <class T>
std::vector<T> host_array(const T* pointer, std::size_t size) {
  std::vector<T> values(size);
  CHECK(copy(values.data(), pointer, size * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
  return values;
}

/// Gives memory back at once.
cudaError_t free_now(void* pointer) {
  const cudaError_t error = cudaFreeAsync(pointer, NewDevice::stream);
  return error != cudaSuccess ? error : cudaStreamSynchronize(NewDevice::stream);
}

std::vector<float> iota(std::size_t size) {
  std::vector<float> values(size);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

bool says(const std::string& part) {
  return tagix_emulator::last_message().find(part) != std::string::npos;
}

/// Launches and waits; the error of either.
template <class... Parameters, class... Arguments>
cudaError_t run(dim3 grid, dim3 block, std::size_t shared_bytes, void (*kernel)(Parameters...),
                Arguments... arguments) {
  const cudaLaunchConfig_t config = configure(grid, block, shared_bytes);
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, arguments...);
  return error != cudaSuccess ? error : cudaDeviceSynchronize();
}

__global__ void scale_kernel(const float* input, float factor, int size, float* output) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < size) output[i] = factor * input[i];
}

/// value += 1, one thread.
__global__ void increment_kernel(float* value) { *value += 1.0f; }

/// Each thread writes its value and reads its neighbour's.
template <bool barrier>
__global__ void rotate_kernel(const float* input, float* output) {
  const unsigned i = threadIdx.x;
  shared<float>()[i] = input[i];
  if constexpr (barrier) __syncthreads();
  output[i] = shared<float>()[(i + 1) % blockDim.x];
}

/// Two rounds through one buffer: a thread may not write again before all have read.
template <bool barrier>
__global__ void rotate_twice_kernel(const float* input, float* output) {
  const unsigned i = threadIdx.x;
  float value = input[i];
  for (int round = 0; round < 2; ++round) {
    shared<float>()[i] = value;
    __syncthreads();
    value = shared<float>()[(i + 1) % blockDim.x];
    if constexpr (barrier) __syncthreads();
  }
  output[i] = value;
}

/// A tree of sums, whose rounds follow on one another.
template <bool barrier>
__global__ void sum_kernel(const float* input, float* output) {
  const unsigned i = threadIdx.x;
  float* const sums = shared<float>();
  sums[i] = input[i];
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (i < half) sums[i] += sums[i + half];
    if constexpr (barrier) __syncthreads();
  }
  if (i == 0) *output = sums[0];
}

__global__ void barrier_for_some_kernel() {
  if (threadIdx.x < 20) __syncthreads();
}

__global__ void barriers_in_two_branches_kernel() {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void shuffle_without_a_lane_kernel(int* output) {
  int value = static_cast<int>(threadIdx.x);
  if (threadIdx.x != 7) value = __shfl_xor_sync(0xffffffffu, value, 1);
  output[threadIdx.x] = value;
}

__global__ void shuffle_from_outside_the_mask_kernel() {
  if (threadIdx.x < 16) __shfl_xor_sync(0xffffu, 1.0f, 16);
}

__global__ void trap_kernel() { __trap(); }

}  // namespace

TEST_CASE("a grid runs every thread of every block, with its indices") {
  const NewDevice restored;
  struct Indices {
    uint3 block, thread;
  };
  const auto kernel = +[](Indices* output) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    output[block * blockDim.x * blockDim.y * blockDim.z + thread] = {blockIdx, threadIdx};
  };
  const dim3 grid(3, 2, 2), block(5, 3, 2);
  auto* const output = device_array<Indices>(12 * 30);
  REQUIRE(run(grid, block, 0, kernel, output) == cudaSuccess);
  const std::vector<Indices> indices = host_array(output, 12 * 30);
  for (unsigned b = 0; b < 12; ++b) {
    for (unsigned t = 0; t < 30; ++t) {
      const auto& [at_block, at_thread] = indices[b * 30 + t];
      CHECK(at_block.x + 3 * (at_block.y + 2 * at_block.z) == b);
      CHECK(at_thread.x + 5 * (at_thread.y + 3 * at_thread.z) == t);
    }
  }
  CHECK(free_now(output) == cudaSuccess);
  CHECK(tagix_emulator::live_allocations() == 0);
}

TEST_CASE("missing barriers change the result") {
  const NewDevice restored;
  constexpr unsigned n = 128;
  const std::vector<float> values = iota(n);
  float* const input = device_array(values);
  float* const output = device_array<float>(n);
  std::vector<float> once(n), twice(n);
  for (unsigned i = 0; i < n; ++i) {
    once[i] = values[(i + 1) % n];
    twice[i] = values[(i + 2) % n];
  }
  for (int times = 0; times < 5; ++times) {
    CHECK(run(1, n, n * sizeof(float), rotate_kernel<true>, input, output) == cudaSuccess);
    CHECK(host_array(output, n) == once);
    CHECK(run(1, n, n * sizeof(float), rotate_kernel<false>, input, output) == cudaSuccess);
    const std::vector<float> wrong = host_array(output, n);
    bool has_nan = false;
    for (float value : wrong) has_nan = has_nan || std::isnan(value);
    CHECK(has_nan);

    CHECK(run(1, n, n * sizeof(float), rotate_twice_kernel<true>, input, output) == cudaSuccess);
    CHECK(host_array(output, n) == twice);
    CHECK(run(1, n, n * sizeof(float), rotate_twice_kernel<false>, input, output) == cudaSuccess);
    CHECK(host_array(output, n) != twice);

    CHECK(run(1, n, n * sizeof(float), sum_kernel<true>, input, output) == cudaSuccess);
    CHECK(host_array(output, 1)[0] == n * (n + 1) / 2.0f);
    CHECK(run(1, n, n * sizeof(float), sum_kernel<false>, input, output) == cudaSuccess);
    CHECK(host_array(output, 1)[0] != n * (n + 1) / 2.0f);
  }
}

TEST_CASE("barriers combine values") {
  const NewDevice restored;
  const auto kernel = +[](int* output) {
    const int i = static_cast<int>(threadIdx.x);
    const int one = __syncthreads_or(i == 40), none = __syncthreads_or(0);
    output[i] = one == 1 && none == 0;
  };
  auto* const output = device_array<int>(70);
  REQUIRE(run(1, 70, 0, kernel, output) == cudaSuccess);
  CHECK(host_array(output, 70) == std::vector<int>(70, 1));
}

TEST_CASE("divergent barriers are faults that stay and name kernel and place") {
  for (auto* kernel : {barrier_for_some_kernel, barriers_in_two_branches_kernel}) {
    const NewDevice restored;
    float* const pointer = device_array<float>(1);
    CHECK(run(2, 64, 0, kernel) == cudaErrorLaunchFailure);
    CHECK(says("_kernel"));
    CHECK(says("test_emulator.cpp:"));
    CHECK(std::string(cudaGetErrorString(cudaErrorLaunchFailure)).find("__syncthreads") !=
          std::string::npos);
    CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
    CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
    CHECK(cudaStreamSynchronize(NewDevice::stream) == cudaErrorLaunchFailure);
    CHECK(cudaFreeAsync(pointer, NewDevice::stream) == cudaErrorLaunchFailure);
    CHECK(tagix_emulator::live_allocations() == 0);
  }
  // The fibers of what never ended serve again.
  const NewDevice restored;
  float* const output = device_array<float>(128);
  CHECK(run(1, 128, 512, rotate_kernel<true>, device_array(iota(128)), output) == cudaSuccess);
  CHECK(host_array(output, 128)[127] == 1.0f);
}

TEST_CASE("warp collectives that lack a lane are faults") {
  {
    const NewDevice restored;
    CHECK(run(1, 32, 0, shuffle_without_a_lane_kernel, device_array<int>(32)) ==
          cudaErrorLaunchFailure);
    CHECK(says("31 waiting at __shfl_xor_sync"));
    CHECK(says("1 ended"));
  }
  {
    const NewDevice restored;
    CHECK(run(1, 32, 0, shuffle_from_outside_the_mask_kernel) == cudaErrorLaunchFailure);
    CHECK(says("a lane that takes no part"));
  }
  {
    const NewDevice restored;
    CHECK(run(1, 40, 0, +[] { __shfl_xor_sync(0xffffffffu, 1.0f, 1); }) == cudaErrorLaunchFailure);
    CHECK(says("lanes that the block lacks"));
  }
  {
    const NewDevice restored;
    CHECK(run(1, 32, 0, +[] { __shfl_xor_sync(1, 1.0f, 0); }) == cudaErrorLaunchFailure);
    CHECK(says("leaves out the thread itself"));
  }
  const NewDevice restored;
  CHECK(run(1, 1, 0, trap_kernel) == cudaErrorLaunchFailure);
  CHECK(says("trap_kernel"));
}

TEST_CASE("shuffles") {
  const NewDevice restored;
  const auto kernel = +[](int* output) {
    const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
    const unsigned all = 0xffffffffu;
    const int value = 100 * warp + lane, first = 100 * warp;
    bool right = __shfl_xor_sync(all, value, 9) == first + (lane ^ 9);
    right = right && __shfl_xor_sync(all, 0.5f + value, 1) == first + (lane ^ 1) + 0.5f;
    right = right && __shfl_xor_sync(all, 0.5 + value, 2) == first + (lane ^ 2) + 0.5;
    // The halves of a warp on their own.
    const bool low = lane < 16;
    const int own = __shfl_xor_sync(low ? 0xffffu : 0xffff0000u, value, 15);
    right = right && own == first + (lane ^ 15);
    output[threadIdx.x] = right;
  };
  auto* const output = device_array<int>(96);
  REQUIRE(run(1, 96, 0, kernel, output) == cudaSuccess);
  CHECK(host_array(output, 96) == std::vector<int>(96, 1));
}

namespace {

/// Every block of a cluster adds what all have written to their shared memory.
__global__ void cluster_kernel(float* output) {
  const unsigned rank = tagix_emulator::cluster_rank(), size = tagix_emulator::cluster_size();
  if (threadIdx.x == 0) *shared<float>() = static_cast<float>(10 * rank + 1);
  tagix_emulator::cluster_sync();
  float sum = 0;
  for (unsigned other = 0; other < size; ++other) {
    sum += *static_cast<float*>(tagix_emulator::cluster_shared_memory(shared<float>(), other));
  }
  tagix_emulator::cluster_sync();
  output[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

/// As above, without waiting for the others before the block ends.
__global__ void early_end_kernel() {
  if (tagix_emulator::cluster_rank() == 0) return;
  for (int i = 0; i < 100; ++i) __syncthreads();
  tagix_emulator::cluster_shared_memory(tagix_emulator::shared_memory(), 0);
}

cudaLaunchAttribute cluster_of(unsigned x, unsigned y = 1, unsigned z = 1) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {x, y, z};
  return attribute;
}

}  // namespace

TEST_CASE("blocks of a cluster run together and share memory") {
  const NewDevice restored;
  float* const output = device_array<float>(8 * 64);
  cudaLaunchConfig_t config = configure(8, 64, sizeof(float));
  cudaLaunchAttribute attribute = cluster_of(4);
  config.attrs = &attribute;
  config.numAttrs = 1;
  REQUIRE(cudaLaunchKernelEx(&config, cluster_kernel, output) == cudaSuccess);
  CHECK(host_array(output, 8 * 64) == std::vector<float>(8 * 64, 64.0f));
  // Without a cluster each block is alone.
  REQUIRE(run(8, 64, sizeof(float), cluster_kernel, output) == cudaSuccess);
  CHECK(host_array(output, 8 * 64) == std::vector<float>(8 * 64, 1.0f));

  attribute = cluster_of(3);
  CHECK(cudaLaunchKernelEx(&config, cluster_kernel, output) == cudaErrorInvalidConfiguration);
  config.gridDim = 16;
  attribute = cluster_of(16);
  CHECK(cudaLaunchKernelEx(&config, cluster_kernel, output) == cudaErrorInvalidClusterSize);
  attribute = cluster_of(4);
  tagix_emulator::set_compute_capability(8, 0);
  CHECK(cudaLaunchKernelEx(&config, cluster_kernel, output) != cudaSuccess);
}

TEST_CASE("the memory of a block of the cluster that has ended is out of reach") {
  const NewDevice restored;
  cudaLaunchConfig_t config = configure(2, 32, sizeof(float));
  cudaLaunchAttribute attribute = cluster_of(2);
  config.attrs = &attribute;
  config.numAttrs = 1;
  REQUIRE(cudaLaunchKernelEx(&config, early_end_kernel) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
  CHECK(says("has ended"));
}

TEST_CASE("launches outside the limits are refused") {
  const NewDevice restored;
  float* const values = device_array(iota(4));
  const auto launch = [&](dim3 grid, dim3 block, std::size_t shared_bytes = 0) {
    const cudaLaunchConfig_t config = configure(grid, block, shared_bytes);
    return cudaLaunchKernelEx(&config, scale_kernel, values, 1.0f, 4, values);
  };
  CHECK(launch(1, 1024) == cudaSuccess);
  CHECK(launch(1, 1025) == cudaErrorInvalidConfiguration);
  CHECK(launch(1, dim3(32, 33)) == cudaErrorInvalidConfiguration);
  CHECK(launch(1, dim3(1, 1, 65)) == cudaErrorInvalidConfiguration);
  CHECK(launch(1, 0) == cudaErrorInvalidConfiguration);
  CHECK(launch(0, 1) == cudaErrorInvalidConfiguration);
  CHECK(launch(dim3(1, 65536), 1) == cudaErrorInvalidConfiguration);
  CHECK(launch(2147483648u, 1) == cudaErrorInvalidConfiguration);

  CHECK(launch(1, 1, 49152) == cudaSuccess);
  CHECK(launch(1, 1, 49153) == cudaErrorInvalidValue);
  const auto allow = [](int bytes) {
    return cudaFuncSetAttribute(scale_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  CHECK(allow(100000) == cudaSuccess);
  CHECK(launch(1, 1, 100000) == cudaSuccess);
  CHECK(launch(1, 1, 100001) == cudaErrorInvalidValue);
  CHECK(allow(232448) == cudaSuccess);
  CHECK(allow(232449) == cudaErrorInvalidValue);
  CHECK(launch(1, 1, 232448) == cudaSuccess);
  // Errors of calls, unlike faults, are forgotten when they have been asked for.
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}

TEST_CASE("nothing has happened before it is synchronised") {
  const NewDevice restored;
  const cudaStream_t stream = new_stream();
  float* const values = device_array(iota(4));
  const cudaLaunchConfig_t config = configure(1, 4, 0, stream);
  REQUIRE(cudaLaunchKernelEx(&config, scale_kernel, values, 2.0f, 4, values) == cudaSuccess);
  std::vector<float> host(4, -1.0f);
  REQUIRE(cudaMemcpyAsync(host.data(), values, 16, cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  CHECK(host[0] == -1.0f);
  // Another stream's end is not this one's.
  CHECK(host_array(values, 4) == iota(4));
  CHECK(host[0] == -1.0f);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(host[3] == 8.0f);

  // Host memory is read when the copy is called.
  host[0] = 1;
  REQUIRE(cudaMemcpyAsync(values, host.data(), 16, cudaMemcpyHostToDevice, stream) == cudaSuccess);
  host[0] = 5;
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(host_array(values, 1)[0] == 1);
}

TEST_CASE("there is no other stream than those that were made") {
  const NewDevice restored;
  CHECK(cudaStreamSynchronize(nullptr) == cudaErrorInvalidResourceHandle);
  const cudaLaunchConfig_t config = configure(1, 1, 0, nullptr);
  CHECK(cudaLaunchKernelEx(&config, trap_kernel) == cudaErrorInvalidResourceHandle);
}

TEST_CASE("copies check directions and ranges") {
  const NewDevice restored;
  std::vector<float> host(4);
  float* const values = device_array(iota(4));
  float* const others = device_array<float>(4);
  CHECK(copy(host.data(), values, 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(copy(values, host.data(), 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(values, host.data(), 16, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  CHECK(copy(values, host.data(), 17, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(copy(host.data(), values + 1, 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(nullptr, values, 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(values, nullptr, 0, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(copy(others, values, 16, cudaMemcpyDeviceToDevice) == cudaSuccess);
  CHECK(copy(host.data(), others, 16, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(host == iota(4));
}

TEST_CASE("memory is freed once, and not used afterwards") {
  const NewDevice restored;
  float* values = device_array<float>(4);
  CHECK(std::isnan(host_array(values, 4)[0]));
  CHECK(tagix_emulator::live_allocations() == 1);
  CHECK(free_now(values + 1) == cudaErrorInvalidValue);
  CHECK(cudaFreeAsync(values, NewDevice::stream) == cudaSuccess);
  CHECK(cudaFreeAsync(values, NewDevice::stream) == cudaErrorInvalidValue);
  CHECK(copy(values, values, 16, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  CHECK(tagix_emulator::live_allocations() == 0);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);

  // On another stream that does not wait, the memory is not there yet.
  const std::vector<float> host(4);
  const cudaStream_t stream = new_stream();
  REQUIRE(cudaMallocAsync(&values, 16, stream) == cudaSuccess);
  CHECK(copy(values, host.data(), 16, cudaMemcpyHostToDevice) == cudaErrorIllegalAddress);
}

TEST_CASE("a kernel that is given memory of the host, or freed memory, is a fault") {
  std::vector<float> host = iota(4);
  for (const bool freed : {false, true}) {
    const NewDevice restored;
    float* const values = device_array(host);
    float* const given = freed ? device_array(host) : host.data();
    if (freed) REQUIRE(free_now(given) == cudaSuccess);
    CHECK(run(1, 4, 0, scale_kernel, given, 2.0f, 4, values) == cudaErrorIllegalAddress);
    CHECK(says("scale_kernel"));
  }
}

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

TEST_CASE("what is missing, and what runs out, can be played") {
  const NewDevice restored;
  int count = -1, version = 0;
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(count == 1);
  CHECK(cudaSetDevice(1) == cudaErrorInvalidDevice);
  float* values = nullptr;
  tagix_emulator::fail_next_allocation(1);
  const auto allocate = [&](std::size_t size) {
    return cudaMallocAsync(&values, size, NewDevice::stream);
  };
  CHECK(allocate(16) == cudaSuccess);
  CHECK(allocate(16) == cudaErrorMemoryAllocation);
  CHECK(values == nullptr);
  CHECK(allocate(16) == cudaSuccess);
  CHECK(allocate(std::size_t{1} << 50) == cudaErrorMemoryAllocation);

  tagix_emulator::set_device_count(0);
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
  CHECK(allocate(16) == cudaErrorNoDevice);
  tagix_emulator::set_driver_version(12080);
  CHECK(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver);
  CHECK(cudaDriverGetVersion(&version) == cudaSuccess);
  CHECK(version == 12080);

  tagix_emulator::reset();
  tagix_emulator::set_compute_capability(7, 5);
  cudaDeviceProp properties{};
  CHECK(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(std::string(properties.name) == "emulated device");
  CHECK(properties.sharedMemPerBlockOptin == 64 * 1024);
  int value = 0;
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess);
  CHECK(value == 7);
}

TEST_CASE("several host threads launch at once") {
  const NewDevice restored;
  std::vector<std::thread> threads;
  std::vector<int> right(4, 0);
  for (std::size_t i = 0; i < right.size(); ++i) {
    threads.emplace_back([&right, i] {
      cudaStream_t stream = nullptr;
      float *input = nullptr, *output = nullptr;
      std::vector<float> host(128);
      if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return;
      if (cudaMallocAsync(&input, 512, stream) != cudaSuccess) return;
      if (cudaMallocAsync(&output, 512, stream) != cudaSuccess) return;
      const cudaLaunchConfig_t config = configure(1, 128, 512, stream);
      for (int times = 0; times < 50; ++times) {
        for (std::size_t k = 0; k < 128; ++k) host[k] = static_cast<float>(k) + times;
        cudaMemcpyAsync(input, host.data(), 512, cudaMemcpyHostToDevice, stream);
        cudaLaunchKernelEx(&config, rotate_kernel<true>, input, output);
        cudaMemcpyAsync(host.data(), output, 512, cudaMemcpyDeviceToHost, stream);
        if (cudaStreamSynchronize(stream) != cudaSuccess) return;
        right[i] += host[0] == 1.0f + static_cast<float>(times) && host[127] == times;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == std::vector<int>(4, 50));
}

#if defined(__SANITIZE_ADDRESS__)
namespace {

__global__ void write_beyond_kernel(unsigned beyond) {
  shared<float>()[threadIdx.x + beyond] = 1.0f;
  __syncthreads();
}

__global__ void read_beyond_kernel(const float* input, float* output) {
  output[threadIdx.x] = input[threadIdx.x + 1];
}

/// Whether AddressSanitizer ends a child that runs `body`.
template <class Body>
bool dies(Body body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::fclose(stderr);
    body();
    _exit(0);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

}  // namespace

TEST_CASE("AddressSanitizer finds what lies beyond, and host code that touches device memory") {
  const NewDevice restored;
  float* const values = device_array(iota(32));
  float* const output = device_array<float>(32);
  CHECK(!dies([] { run(1, 32, 128, write_beyond_kernel, 0u); }));
  CHECK(dies([] { run(1, 32, 128, write_beyond_kernel, 1u); }));
  CHECK(dies([&] { run(1, 32, 0, read_beyond_kernel, values, output); }));
  CHECK(!dies([&] { run(1, 31, 0, read_beyond_kernel, values, output); }));
  CHECK(dies([&] { output[0] = 1.0f; }));
}
#endif

TEST_CASE("costs" * doctest::skip()) {
  const NewDevice restored;
  using Clock = std::chrono::steady_clock;
  const auto nanoseconds = [](auto body) {
    body();
    const auto start = Clock::now();
    for (int times = 0; times < 5; ++times) body();
    return std::chrono::duration<double, std::nano>(Clock::now() - start).count() / 5;
  };
  constexpr int size = 1 << 20;
  float* const values = device_array<float>(size);
  MESSAGE("a thread without barriers, ns: ",
          nanoseconds([&] { run(size / 256, 256, 0, scale_kernel, values, 2.0f, size, values); }) /
              size);
  const auto barriers = +[](int n) {
    for (int i = 0; i < n; ++i) __syncthreads();
  };
  for (const unsigned threads : {32u, 128u, 256u, 1024u}) {
    MESSAGE("a barrier of ", threads, " threads, ns a thread: ",
            nanoseconds([&] { run(16, threads, 0, barriers, 200); }) / (16.0 * threads * 200));
  }
  const auto shuffles = +[](int n) {
    for (int i = 0; i < n; ++i) __shfl_xor_sync(0xffffffffu, i, 1);
  };
  MESSAGE("a shuffle, ns a thread: ",
          nanoseconds([&] { run(16, 256, 0, shuffles, 200); }) / (16.0 * 256 * 200));
  MESSAGE("a launch of one thread, ns: ",
          nanoseconds([&] { run(1, 1, 0, increment_kernel, values); }));
}
