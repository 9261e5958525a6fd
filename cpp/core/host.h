#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

#include "core/index.h"

namespace tagix {

/// A pointer to an array in the host's memory, where a user's data come from and results go to.
///
/// Plain pointers are to the memory of a backend, which may be another. The two types keep either
/// from being taken for the other: data go from host to backend and back by Backend::upload,
/// Backend::download and Backend::in_place alone.
template <class T>
class HostPointer {
 public:
  constexpr HostPointer() = default;
  constexpr HostPointer(std::nullptr_t) {}
  explicit constexpr HostPointer(T* data) : data_(data) {}
  HostPointer(std::vector<T>& values)
    requires(!std::is_const_v<T>)
      : data_(values.data()) {}
  HostPointer(const std::vector<std::remove_const_t<T>>& values)
    requires(std::is_const_v<T>)
      : data_(values.data()) {}
  /// A pointer to values that may be written serves as one to values that may not.
  template <class Other>
    requires(!std::is_const_v<Other> && std::is_same_v<T, const Other>)
  constexpr HostPointer(HostPointer<Other> other) : data_(other.get()) {}

  constexpr T* get() const { return data_; }
  constexpr T& operator[](Index i) const { return data_[i]; }
  constexpr T& operator*() const { return *data_; }
  constexpr HostPointer operator+(Index offset) const { return HostPointer(data_ + offset); }
  constexpr HostPointer& operator+=(Index offset) {
    data_ += offset;
    return *this;
  }
  constexpr bool operator==(const HostPointer&) const = default;

 private:
  T* data_ = nullptr;
};

/// The values of a vector, or of an array that the process can read.
template <class T>
HostPointer<const T> on_host(const std::vector<T>& values) {
  return HostPointer<const T>(values.data());
}
template <class T>
HostPointer<T> on_host(std::vector<T>& values) {
  return HostPointer<T>(values.data());
}
template <class T>
HostPointer<T> on_host(T* values) {
  return HostPointer<T>(values);
}

}  // namespace tagix
