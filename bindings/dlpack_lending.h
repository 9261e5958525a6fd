#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "bindings.h"
#include "core/index.h"
#include "dlpack.h"

namespace tagix::python {

/// A DLPack structure and all that it points to. `Holder` keeps the memory.
template <class Managed, class Holder>
struct Lent {
  Managed managed{};
  std::vector<std::int64_t> shape, strides;
  Holder holder;

  static void release(Managed* self) { delete static_cast<Lent*>(self->owner); }
};

/// Lets go of what a capsule lends, unless a consumer has taken it.
template <class Managed>
void discard_unused(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, Managed::name) == 0) return;
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, Managed::name));
  managed->release(managed);
}

/// A capsule that lends out float32 memory for as long as its consumer likes.
template <class Managed, class Holder>
py::capsule make_capsule(float* data, dlpack::Device device, const std::vector<Index>& shape,
                         Holder holder, bool is_copy) {
  auto lent = std::make_unique<Lent<Managed, Holder>>();
  lent->shape.assign(shape.begin(), shape.end());
  lent->strides.assign(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) {
    lent->strides[i - 1] = lent->strides[i] * std::max<std::int64_t>(lent->shape[i], 1);
  }
  lent->holder = std::move(holder);
  const bool is_empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
  Managed& managed = lent->managed;
  managed.tensor = {is_empty ? nullptr : data,
                    device,
                    static_cast<std::int32_t>(shape.size()),
                    {dlpack::DataType::floating_point, 32, 1},
                    lent->shape.data(),
                    lent->strides.data(),
                    0};
  managed.owner = lent.get();
  managed.release = &Lent<Managed, Holder>::release;
  if constexpr (requires { managed.version; }) {
    managed.version = {dlpack::major_version, 0};
    managed.flags = is_copy ? dlpack::VersionedTensor::is_copied : 0;
  }
  py::object capsule = py::reinterpret_steal<py::object>(
      PyCapsule_New(&managed, Managed::name, &discard_unused<Managed>));
  if (!capsule) throw py::error_already_set();
  lent.release();
  return capsule;
}

/// The same, of the kind that the consumer can read.
template <class Holder>
py::capsule make_capsule(bool versioned, float* data, dlpack::Device device,
                         const std::vector<Index>& shape, Holder holder, bool is_copy) {
  return versioned
             ? make_capsule<dlpack::VersionedTensor>(data, device, shape, std::move(holder),
                                                     is_copy)
             : make_capsule<dlpack::ManagedTensor>(data, device, shape, std::move(holder), is_copy);
}

}  // namespace tagix::python
