#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "arrays.h"
#include "core/memory.h"

namespace tagix::python {

/// Memory on the GPU, which other libraries may hold on to.
class CudaMemory {
 public:
  /// Throws std::invalid_argument where CUDA cannot be used.
  explicit CudaMemory(Index size);
  CudaMemory(const CudaMemory&) = delete;
  CudaMemory& operator=(const CudaMemory&) = delete;
  /// Waits for what others have queued on the memory, once they have had it.
  ~CudaMemory();

  Backend& backend() { return *backend_; }
  float* data() { return buffer_.data(); }
  void note_lent() { lent_ = true; }

 private:
  std::shared_ptr<Backend> backend_;
  Buffer<float> buffer_;
  std::atomic<bool> lent_ = false;
};

/// A dense float32 array on the GPU, as Python sees it.
class CudaArray {
 public:
  /// With undefined values.
  explicit CudaArray(std::vector<Index> shape);
  /// A copy of an array on the host.
  explicit CudaArray(const Array& host);

  const std::vector<Index>& shape() const { return shape_; }
  Index size() const;
  float* data() const { return memory_->data(); }
  /// A copy on the host, or on the GPU.
  Array to_host() const;
  CudaArray copy() const;

  /// A capsule that shares the memory.
  py::capsule lend(bool versioned, bool is_copy) const;

 private:
  std::vector<Index> shape_;
  std::shared_ptr<CudaMemory> memory_;
};

/// A copy on the host of float32 values of this shape on the GPU.
Array downloaded(const float* data, const std::vector<Index>& shape);

/// (2, 3), as Python shows a shape.
std::string shape_text(const std::vector<Index>& shape);

}  // namespace tagix::python
