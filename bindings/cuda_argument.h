#pragma once

#include <memory>
#include <vector>

#include "arrays.h"

namespace tagix::python {

/// An argument of a call in the memory of the GPU, for the length of that call: a CudaArray, what
/// any library with DLPack has there, or an array on the host, which is uploaded.
class CudaArgument {
 public:
  /// Throws TypeError and ValueError, with the argument's name, for anything but a dense float32
  /// array.
  CudaArgument(const char* name, py::handle value);

  const float* data() const { return data_; }
  const std::vector<Index>& shape() const { return shape_; }
  /// A copy on the host.
  Array to_host() const;

 private:
  void borrow(const char* name, py::handle value);

  const float* data_ = nullptr;
  std::vector<Index> shape_;
  std::shared_ptr<void> owner_;
};

}  // namespace tagix::python
