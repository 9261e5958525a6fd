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

/// A new device for each test.
struct NewDevice {
  NewDevice() { tagix_emulator::reset(); }
  ~NewDevice() { tagix_emulator::reset(); }
  NewDevice(const NewDevice&) = delete;
  NewDevice& operator=(const NewDevice&) = delete;
};

template <class T>
T* shared() {
  return static_cast<T*>(tagix_emulator::shared_memory());
}

cudaLaunchConfig_t configure(dim3 grid, dim3 block, std::size_t shared_bytes = 0,
                             cudaStream_t stream = nullptr) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return config;
}

template <class T>
T* device_array(std::size_t size) {
  T* pointer = nullptr;
  REQUIRE(cudaMalloc(&pointer, size * sizeof(T)) == cudaSuccess);
  return pointer;
}

template <class T>
T* device_array(const std::vector<T>& values) {
  T* const pointer = device_array<T>(values.size());
  REQUIRE(cudaMemcpy(pointer, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice) ==
          cudaSuccess);
  return pointer;
}

template <class T>
std::vector<T> host_array(const T* pointer, std::size_t size) {
  std::vector<T> values(size);
  CHECK(cudaMemcpy(values.data(), pointer, size * sizeof(T), cudaMemcpyDeviceToHost) ==
        cudaSuccess);
  return values;
}

std::vector<float> iota(std::size_t size) {
  std::vector<float> values(size);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

bool says(const std::string& part) {
  return tagix_emulator::last_message().find(part) != std::string::npos;
}

/// Launches on the default stream and waits; the error of either.
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
  if (threadIdx.x < 16) __shfl_sync(0xffffu, 1.0f, 20);
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
  CHECK(cudaFree(output) == cudaSuccess);
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
    const int all = __syncthreads_and(i < 70), not_all = __syncthreads_and(i < 69);
    const int count = __syncthreads_count(i < 33);
    output[i] = one == 1 && none == 0 && all == 1 && not_all == 0 && count == 33;
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
    CHECK(cudaStreamSynchronize(nullptr) == cudaErrorLaunchFailure);
    CHECK(cudaFree(pointer) == cudaErrorLaunchFailure);
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
    CHECK(run(1, 40, 0, +[] { __syncwarp(); }) == cudaErrorLaunchFailure);
    CHECK(says("lanes that the block lacks"));
  }
  {
    const NewDevice restored;
    CHECK(run(1, 32, 0, +[] { __syncwarp(1); }) == cudaErrorLaunchFailure);
    CHECK(says("leaves out the thread itself"));
  }
  const NewDevice restored;
  CHECK(run(1, 1, 0, trap_kernel) == cudaErrorLaunchFailure);
  CHECK(says("trap_kernel"));
}

TEST_CASE("shuffles and votes") {
  const NewDevice restored;
  const auto kernel = +[](int* output) {
    const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
    const unsigned all = 0xffffffffu;
    const int value = 100 * warp + lane, first = 100 * warp;
    bool right = __shfl_sync(all, value, 5) == first + 5;
    right = right && __shfl_sync(all, value, 1, 8) == first + lane / 8 * 8 + 1;
    right = right && __shfl_up_sync(all, value, 3) == (lane < 3 ? value : value - 3);
    right = right && __shfl_up_sync(all, value, 2, 4) == (lane % 4 < 2 ? value : value - 2);
    right = right && __shfl_down_sync(all, value, 4) == (lane < 28 ? value + 4 : value);
    right = right && __shfl_down_sync(all, value, 1, 16) == (lane % 16 < 15 ? value + 1 : value);
    right = right && __shfl_xor_sync(all, value, 9) == first + (lane ^ 9);
    right = right && __shfl_xor_sync(all, 0.5f + value, 1) == first + (lane ^ 1) + 0.5f;
    right = right && __shfl_xor_sync(all, 0.5 + value, 2) == first + (lane ^ 2) + 0.5;
    right = right && __shfl_sync(all, 1ll << 40, 3) == 1ll << 40;
    right = right && __ballot_sync(all, lane % 2) == 0xaaaaaaaau;
    right = right && __any_sync(all, lane == 31) && !__any_sync(all, 0);
    right = right && __all_sync(all, 1) && !__all_sync(all, lane != 0);
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

TEST_CASE("warp_exchange gives every lane the values of all") {
  const NewDevice restored;
  struct Fragment {
    float values[3];
  };
  const auto kernel = +[](float* output) {
    const float lane = static_cast<float>(threadIdx.x);
    const Fragment mine{{lane, lane * lane, -lane}};
    Fragment all[32];
    tagix_emulator::warp_exchange(mine, all);
    float sum = 0;
    for (const Fragment& fragment : all) {
      for (float value : fragment.values) sum += value;
    }
    output[threadIdx.x] = sum + all[3].values[1];
  };
  auto* const output = device_array<float>(32);
  REQUIRE(run(1, 32, 0, kernel, output) == cudaSuccess);
  CHECK(host_array(output, 32) == std::vector<float>(32, 31.0f * 32 * 63 / 6 + 9));
}

TEST_CASE("the last block adds what the others left") {
  const NewDevice restored;
  const auto kernel = +[](const float* input, float* partial, unsigned* n_done, float* output) {
    float* const sum = shared<float>();
    auto* const last = reinterpret_cast<bool*>(sum + 1);
    if (threadIdx.x == 0) *sum = 0;
    __syncthreads();
    atomicAdd(sum, input[blockIdx.x * blockDim.x + threadIdx.x]);
    __syncthreads();
    if (threadIdx.x == 0) {
      partial[blockIdx.x] = *sum;
      __threadfence();
      *last = atomicInc(n_done, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (!*last || threadIdx.x != 0) return;
    *output = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) *output += partial[i];
  };
  float* const input = device_array(iota(20 * 32));
  float* const partial = device_array<float>(20);
  unsigned* const n_done = device_array(std::vector<unsigned>{0});
  float* const output = device_array<float>(1);
  for (int times = 0; times < 3; ++times) {
    REQUIRE(run(20, 32, 8, kernel, input, partial, n_done, output) == cudaSuccess);
    CHECK(host_array(output, 1)[0] == 640 * 641 / 2);
    CHECK(host_array(n_done, 1)[0] == 0);
  }
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
  cudaStream_t stream = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  float* const values = device_array(iota(4));
  float* pinned = nullptr;
  REQUIRE(cudaMallocHost(&pinned, 4 * sizeof(float)) == cudaSuccess);
  CHECK(std::isnan(pinned[0]));
  const cudaLaunchConfig_t config = configure(1, 4, 0, stream);
  REQUIRE(cudaLaunchKernelEx(&config, scale_kernel, values, 2.0f, 4, values) == cudaSuccess);
  REQUIRE(cudaMemcpyAsync(pinned, values, 4 * sizeof(float), cudaMemcpyDeviceToHost, stream) ==
          cudaSuccess);
  CHECK(std::isnan(pinned[0]));
  // Another stream's end is not this one's, and the legacy stream does not wait for this one.
  CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess);
  CHECK(host_array(values, 4) == iota(4));
  CHECK(std::isnan(pinned[0]));
  CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(cudaStreamQuery(stream) == cudaSuccess);
  CHECK(pinned[3] == 8.0f);

  // Pinned memory is read when the copy runs, pageable memory when it is called.
  std::vector<float> pageable{1, 1, 1, 1};
  float* const other = device_array<float>(4);
  pinned[0] = 1;
  REQUIRE(cudaMemcpyAsync(values, pinned, 16, cudaMemcpyHostToDevice, stream) == cudaSuccess);
  REQUIRE(cudaMemcpyAsync(other, pageable.data(), 16, cudaMemcpyHostToDevice, stream) ==
          cudaSuccess);
  pinned[0] = pageable[0] = 5;
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(host_array(values, 1)[0] == 5);
  CHECK(host_array(other, 1)[0] == 1);

  // Asking again and again comes to an end.
  for (int i = 0; i < 3; ++i) {
    REQUIRE(cudaMemsetAsync(values, 0, 16, stream) == cudaSuccess);
  }
  int n_queries = 0;
  while (cudaStreamQuery(stream) == cudaErrorNotReady) ++n_queries;
  CHECK(n_queries == 3);
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorInvalidResourceHandle);
}

TEST_CASE("streams are in order with the legacy stream unless they ask not to be") {
  for (const unsigned flags : {cudaStreamDefault, cudaStreamNonBlocking}) {
    const NewDevice restored;
    cudaStream_t stream = nullptr;
    REQUIRE(cudaStreamCreateWithFlags(&stream, flags) == cudaSuccess);
    float* const values = device_array(iota(4));
    const cudaLaunchConfig_t config = configure(1, 4, 0, stream);
    REQUIRE(cudaLaunchKernelEx(&config, scale_kernel, values, 2.0f, 4, values) == cudaSuccess);
    const float factor = flags == cudaStreamDefault ? 2.0f : 1.0f;
    CHECK(host_array(values, 4)[3] == 4 * factor);
  }
}

TEST_CASE("an event orders streams, and without it their work is not in order") {
  for (const bool ordered : {true, false}) {
    const NewDevice restored;
    cudaStream_t first = nullptr, second = nullptr;
    cudaEvent_t event = nullptr;
    REQUIRE(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking) == cudaSuccess);
    REQUIRE(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking) == cudaSuccess);
    REQUIRE(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
    CHECK(cudaEventQuery(event) == cudaSuccess);  // never recorded
    float* const input = device_array(iota(4));
    float* const middle = device_array<float>(4);
    float* const output = device_array<float>(4);
    cudaLaunchConfig_t config = configure(1, 4, 0, first);
    REQUIRE(cudaLaunchKernelEx(&config, scale_kernel, input, 2.0f, 4, middle) == cudaSuccess);
    REQUIRE(cudaEventRecord(event, first) == cudaSuccess);
    CHECK(cudaEventQuery(event) == cudaErrorNotReady);
    REQUIRE(cudaMemsetAsync(input, 0, 16, first) == cudaSuccess);  // after the event
    if (ordered) REQUIRE(cudaStreamWaitEvent(second, event) == cudaSuccess);
    config.stream = second;
    REQUIRE(cudaLaunchKernelEx(&config, scale_kernel, middle, 3.0f, 4, output) == cudaSuccess);
    // cudaEventQuery has let the first stream's kernel run, so undo its work unless it is ordered.
    if (!ordered) REQUIRE(cudaMemset(middle, 0xff, 16) == cudaSuccess);
    CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess);
    CHECK(cudaStreamSynchronize(second) == cudaSuccess);
    const std::vector<float> result = host_array(output, 4);
    if (ordered) {
      CHECK(result[3] == 24.0f);
    } else {
      CHECK(std::isnan(result[3]));
    }
    CHECK(host_array(input, 4)[3] == 4.0f);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    CHECK(host_array(input, 4)[3] == 0.0f);
    CHECK(cudaEventQuery(event) == cudaSuccess);
    CHECK(cudaEventDestroy(event) == cudaSuccess);
    CHECK(cudaEventRecord(event, first) == cudaErrorInvalidResourceHandle);
  }
}

TEST_CASE("events measure time once they have happened") {
  const NewDevice restored;
  cudaEvent_t start = nullptr, end = nullptr;
  REQUIRE(cudaEventCreate(&start) == cudaSuccess);
  REQUIRE(cudaEventCreate(&end) == cudaSuccess);
  float milliseconds = -1;
  CHECK(cudaEventElapsedTime(&milliseconds, start, end) == cudaErrorInvalidResourceHandle);
  REQUIRE(cudaEventRecord(start) == cudaSuccess);
  REQUIRE(cudaEventRecord(end) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, start, end) == cudaErrorNotReady);
  REQUIRE(cudaEventSynchronize(end) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, start, end) == cudaSuccess);
  CHECK(milliseconds >= 0);
}

TEST_CASE("copies check directions and ranges") {
  const NewDevice restored;
  std::vector<float> host(4);
  float* const values = device_array(iota(4));
  float* const others = device_array<float>(4);
  const auto copy = [](void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
    return cudaMemcpy(to, from, size, kind);
  };
  CHECK(copy(host.data(), values, 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(copy(values, host.data(), 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(values, host.data(), 16, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  CHECK(copy(host.data(), values, 16, cudaMemcpyHostToHost) == cudaErrorInvalidValue);
  CHECK(copy(values, host.data(), 17, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(copy(host.data(), values + 1, 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(nullptr, values, 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(values, nullptr, 0, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(copy(host.data(), values, 16, cudaMemcpyDefault) == cudaSuccess);
  CHECK(host == iota(4));
  // A copy within the device is not waited for.
  CHECK(copy(others, values, 16, cudaMemcpyDeviceToDevice) == cudaSuccess);
  CHECK(host_array(others, 4) == iota(4));
  CHECK(cudaMemset(host.data(), 0, 16) == cudaErrorInvalidValue);
  CHECK(cudaMemsetAsync(values, 0, 20) == cudaErrorInvalidValue);
}

TEST_CASE("memory is freed once, and not used afterwards") {
  const NewDevice restored;
  float* values = device_array<float>(4);
  CHECK(std::isnan(host_array(values, 4)[0]));
  cudaPointerAttributes attributes{};
  CHECK(cudaPointerGetAttributes(&attributes, values + 1) == cudaSuccess);
  CHECK(attributes.type == cudaMemoryTypeDevice);
  CHECK(cudaPointerGetAttributes(&attributes, &attributes) == cudaSuccess);
  CHECK(attributes.type == cudaMemoryTypeUnregistered);
  CHECK(tagix_emulator::live_allocations() == 1);
  CHECK(cudaFreeHost(values) == cudaErrorInvalidValue);
  CHECK(cudaFree(values + 1) == cudaErrorInvalidValue);
  CHECK(cudaFree(values) == cudaSuccess);
  CHECK(cudaFree(values) == cudaErrorInvalidValue);
  CHECK(cudaFree(nullptr) == cudaSuccess);
  CHECK(tagix_emulator::live_allocations() == 0);

  cudaStream_t stream = nullptr, other = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaMallocAsync(&values, 16, stream) == cudaSuccess);
  CHECK(cudaMemsetAsync(values, 0, 16, stream) == cudaSuccess);
  CHECK(cudaFreeAsync(values, stream) == cudaSuccess);
  CHECK(cudaFreeAsync(values, stream) == cudaErrorInvalidValue);
  CHECK(cudaMemsetAsync(values, 0, 16, stream) == cudaErrorInvalidValue);
  CHECK(tagix_emulator::live_allocations() == 0);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);

  // On another stream that does not wait, the memory is not there yet.
  REQUIRE(cudaMallocAsync(&values, 16, stream) == cudaSuccess);
  CHECK(cudaMemsetAsync(values, 0, 16, other) == cudaSuccess);
  CHECK(cudaStreamSynchronize(other) == cudaErrorIllegalAddress);
}

TEST_CASE("a kernel that is given memory of the host, or freed memory, is a fault") {
  std::vector<float> host = iota(4);
  for (const bool freed : {false, true}) {
    const NewDevice restored;
    float* const values = device_array(host);
    float* const given = freed ? device_array(host) : host.data();
    if (freed) REQUIRE(cudaFree(given) == cudaSuccess);
    CHECK(run(1, 4, 0, scale_kernel, given, 2.0f, 4, values) == cudaErrorIllegalAddress);
    CHECK(says("scale_kernel"));
  }
}

TEST_CASE("a graph replays what was captured, with the arguments of then") {
  const NewDevice restored;
  cudaStream_t stream = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  float* const values = device_array(iota(4));
  float* pinned = nullptr;
  REQUIRE(cudaMallocHost(&pinned, 16) == cudaSuccess);

  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  cudaStreamCaptureStatus status{};
  CHECK(cudaStreamIsCapturing(stream, &status) == cudaSuccess);
  CHECK(status == cudaStreamCaptureStatusActive);
  float factor = 2;
  const cudaLaunchConfig_t config = configure(1, 4, 0, stream);
  CHECK(cudaLaunchKernelEx(&config, scale_kernel, values, factor, 4, values) == cudaSuccess);
  CHECK(cudaMemcpyAsync(pinned, values, 16, cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  factor = 100;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  std::size_t n_nodes = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &n_nodes) == cudaSuccess);
  CHECK(n_nodes == 2);
  REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(host_array(values, 4)[3] == 4.0f);  // capturing has run nothing

  CHECK(cudaGraphLaunch(exec, stream) == cudaSuccess);
  CHECK(cudaGraphLaunch(exec, stream) == cudaSuccess);
  CHECK(std::isnan(pinned[3]));
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(pinned[3] == 16.0f);
  CHECK(cudaGraphExecDestroy(exec) == cudaSuccess);
  CHECK(cudaGraphLaunch(exec, stream) == cudaErrorInvalidValue);
}

TEST_CASE("what a capture forbids ends it") {
  for (int forbidden = 0; forbidden < 8; ++forbidden) {
    CAPTURE(forbidden);
    const NewDevice restored;
    cudaStream_t stream = nullptr;
    cudaEvent_t event = nullptr;
    float* values = device_array<float>(4);
    std::vector<float> host(4);
    REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    REQUIRE(cudaEventCreate(&event) == cudaSuccess);
    REQUIRE(cudaEventRecord(event, nullptr) == cudaSuccess);
    REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
    float* more = nullptr;
    cudaError_t error = cudaSuccess;
    switch (forbidden) {
      case 0:
        error = cudaMalloc(&more, 16);
        break;
      case 1:
        error = cudaFree(values);
        break;
      case 2:
        error = cudaStreamSynchronize(stream);
        break;
      case 3:
        error = cudaDeviceSynchronize();
        break;
      case 4:
        error = cudaEventSynchronize(event);
        break;
      case 5:
        error = cudaMemcpyAsync(values, host.data(), 16, cudaMemcpyHostToDevice, stream);
        break;
      case 6:
        error = cudaHostAlloc(&more, 16, cudaHostAllocDefault);
        break;
      case 7:
        error = cudaStreamQuery(stream);
        break;
    }
    CHECK(error == cudaErrorStreamCaptureUnsupported);
    CHECK(cudaMemsetAsync(values, 0, 16, stream) == cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
    CHECK(graph == nullptr);
    CHECK(cudaMemsetAsync(values, 0, 16, stream) == cudaSuccess);
  }
  // In the relaxed mode, and in a thread-local one of another thread, it is allowed.
  const NewDevice restored;
  cudaStream_t stream = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed) == cudaSuccess);
  CHECK(cudaFree(device_array<float>(4)) == cudaSuccess);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  cudaError_t error = cudaErrorUnknown;
  float* values = nullptr;
  std::thread([&] { error = cudaMalloc(&values, 16); }).join();
  CHECK(error == cudaSuccess);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
}

TEST_CASE("a capture forks to a second stream, and must join it") {
  const NewDevice restored;
  cudaStream_t stream = nullptr, other = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming) == cudaSuccess);
  REQUIRE(cudaEventCreateWithFlags(&join, cudaEventDisableTiming) == cudaSuccess);
  float* const a = device_array<float>(1);
  float* const b = device_array<float>(1);
  const auto capture = [&](bool joined, cudaGraph_t* graph) {
    cudaLaunchConfig_t config = configure(1, 1, 0, stream);
    REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
    CHECK(cudaMemsetAsync(a, 0, 4, stream) == cudaSuccess);
    CHECK(cudaMemsetAsync(b, 0, 4, stream) == cudaSuccess);
    CHECK(cudaEventRecord(fork, stream) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(other, fork) == cudaSuccess);
    CHECK(cudaLaunchKernelEx(&config, increment_kernel, a) == cudaSuccess);
    config.stream = other;
    CHECK(cudaLaunchKernelEx(&config, increment_kernel, b) == cudaSuccess);
    CHECK(cudaEventRecord(join, other) == cudaSuccess);
    config.stream = stream;
    if (joined) {
      CHECK(cudaStreamWaitEvent(stream, join) == cudaSuccess);
      CHECK(cudaLaunchKernelEx(&config, scale_kernel, b, 3.0f, 1, a) == cudaSuccess);
    }
    return cudaStreamEndCapture(stream, graph);
  };
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  CHECK(capture(false, &graph) == cudaErrorStreamCaptureUnjoined);
  REQUIRE(capture(true, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
  for (int times = 0; times < 10; ++times) {
    REQUIRE(cudaGraphLaunch(exec, stream) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(host_array(a, 1)[0] == 3.0f);
    CHECK(host_array(b, 1)[0] == 1.0f);
  }
  CHECK(cudaEventSynchronize(join) == cudaErrorCapturedEvent);
}

TEST_CASE("what is missing, and what runs out, can be played") {
  const NewDevice restored;
  int count = -1, version = 0;
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(count == 1);
  CHECK(cudaSetDevice(1) == cudaErrorInvalidDevice);
  float* values = nullptr;
  tagix_emulator::fail_next_allocation(1);
  CHECK(cudaMalloc(&values, 16) == cudaSuccess);
  float* more = nullptr;
  CHECK(cudaMalloc(&more, 16) == cudaErrorMemoryAllocation);
  CHECK(more == nullptr);
  CHECK(cudaMalloc(&more, 16) == cudaSuccess);
  CHECK(cudaMalloc(&more, std::size_t{1} << 50) == cudaErrorMemoryAllocation);

  tagix_emulator::set_device_count(0);
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
  CHECK(cudaMalloc(&values, 16) == cudaErrorNoDevice);
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
      float *input = nullptr, *output = nullptr, *pinned = nullptr;
      if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return;
      if (cudaMalloc(&input, 512) != cudaSuccess || cudaMalloc(&output, 512) != cudaSuccess) return;
      if (cudaMallocHost(&pinned, 512) != cudaSuccess) return;
      const cudaLaunchConfig_t config = configure(1, 128, 512, stream);
      for (int times = 0; times < 50; ++times) {
        for (int k = 0; k < 128; ++k) pinned[k] = static_cast<float>(k + times);
        cudaMemcpyAsync(input, pinned, 512, cudaMemcpyHostToDevice, stream);
        cudaLaunchKernelEx(&config, rotate_kernel<true>, input, output);
        cudaMemcpyAsync(pinned, output, 512, cudaMemcpyDeviceToHost, stream);
        if (cudaStreamSynchronize(stream) != cudaSuccess) return;
        right[i] += pinned[0] == 1.0f + static_cast<float>(times) && pinned[127] == times;
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
  const auto exchanges = +[](int n) {
    float mine[4] = {}, all[32][4];
    for (int i = 0; i < n; ++i) tagix_emulator::warp_exchange(mine, all);
  };
  MESSAGE("a warp_exchange of 16 bytes, ns a thread: ",
          nanoseconds([&] { run(16, 256, 0, exchanges, 200); }) / (16.0 * 256 * 200));
  MESSAGE("a launch of one thread, ns: ",
          nanoseconds([&] { run(1, 1, 0, increment_kernel, values); }));
}
