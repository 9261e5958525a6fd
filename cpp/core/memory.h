#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/backend.h"
#include "core/moments.h"

namespace tagix {

/// How often buffers have moved to larger memory in the calling thread. What was recorded before
/// (Backend::record) may still name the old memory.
inline std::uint64_t& buffer_moves() {
  thread_local std::uint64_t count = 0;
  return count;
}

/// An array of trivially copyable T in a backend's memory. It grows when asked for more than it
/// ever held and never shrinks, so that changing batch sizes do not allocate again.
template <class T>
class Buffer {
 public:
  explicit Buffer(Backend& backend, Index size = 0) : backend_(&backend) { resize(size); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr) backend_->release(data_, bytes(capacity_));
  }

  /// Makes room for `size` elements. The contents are undefined afterwards.
  void resize(Index size) {
    if (size > capacity_) {
      void* grown = backend_->allocate(bytes(size));
      if (data_ != nullptr) backend_->release(data_, bytes(capacity_));
      ++buffer_moves();
      data_ = static_cast<T*>(grown);
      capacity_ = size;
    }
    size_ = size;
  }

  /// Takes the size and the contents of a host array.
  void assign(HostPointer<const T> host, Index size) {
    resize(size);
    backend_->upload(host, data_, size);
  }
  void assign(const std::vector<T>& host) {
    assign(on_host(host), static_cast<Index>(host.size()));
  }
  /// Has one element from now on.
  void assign(const T& value) { assign(on_host(&value), 1); }

  /// The first element, once all that was queued has been done.
  T first() const {
    T value;
    backend_->download(data_, on_host(&value), 1);
    return value;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  Index size() const { return size_; }

 private:
  static std::size_t bytes(Index count) { return static_cast<std::size_t>(count) * sizeof(T); }
  void swap(Buffer& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  Backend* backend_ = nullptr;
  T* data_ = nullptr;
  Index size_ = 0;
  Index capacity_ = 0;
};

/// Copies both planes of a view to the host.
inline void download(Backend& backend, ConstMomentsView view, HostPointer<float> mean,
                     HostPointer<float> var) {
  backend.download(view.mean, mean, view.size());
  backend.download(view.var, var, view.size());
}

/// A host array where operations can read it: as it is, or a copy in `buffer`. Null stays null.
template <class T>
const T* on_device(Backend& backend, HostPointer<const T> host, Index size, Buffer<T>& buffer) {
  if (host == nullptr) return nullptr;
  if (const T* const as_it_is = backend.in_place(host)) return as_it_is;
  buffer.assign(host, size);
  return buffer.data();
}

/// Independent Gaussians in a backend's memory: the plane of means, then the plane of variances.
class Moments {
 public:
  explicit Moments(Backend& backend, Index rows = 0, Index cols = 0) : buffer_(backend) {
    resize(rows, cols);
  }

  /// Changes the shape. The contents are undefined afterwards.
  void resize(Index rows, Index cols) {
    buffer_.resize(2 * rows * cols);
    rows_ = rows;
    cols_ = cols;
  }

  MomentsView view() { return {buffer_.data(), buffer_.data() + rows_ * cols_, rows_, cols_}; }
  ConstMomentsView view() const {
    return {buffer_.data(), buffer_.data() + rows_ * cols_, rows_, cols_};
  }

 private:
  Buffer<float> buffer_;
  Index rows_ = 0;
  Index cols_ = 0;
};

}  // namespace tagix
