#pragma once

#include <cstddef>
#include <cstdint>

// The C structures of DLPack 1.0, in which array libraries lend each other memory, in our style and
// with our names: https://dmlc.github.io/dlpack/latest/c_api.html. A Python object hands out one in
// a capsule:
// https://data-apis.org/array-api/latest/API_specification/generated/array_api.array.__dlpack__.html.

namespace tagix::python::dlpack {

enum class DeviceType : std::int32_t { cpu = 1, cuda = 2, cuda_managed = 13 };

struct Device {
  DeviceType type;
  std::int32_t index;  ///< which of several
};

struct DataType {
  std::uint8_t kind;  ///< of numbers, as below
  std::uint8_t bits;
  std::uint16_t lanes;  ///< numbers of a vector; 1

  static constexpr std::uint8_t floating_point = 2;
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t n_dimensions;
  DataType data_type;
  std::int64_t* shape;
  std::int64_t* strides;  ///< in elements; in older versions null where the array is dense
  std::uint64_t byte_offset;
};

/// What a capsule named "dltensor" holds.
struct ManagedTensor {
  Tensor tensor;
  void* owner;
  void (*release)(ManagedTensor* self);  ///< may be null

  static constexpr const char* name = "dltensor";
  static constexpr const char* used_name = "used_dltensor";
};

struct Version {
  std::uint32_t major;
  std::uint32_t minor;
};

/// What a capsule named "dltensor_versioned" holds.
struct VersionedTensor {
  Version version;
  void* owner;
  void (*release)(VersionedTensor* self);  ///< may be null
  std::uint64_t flags;
  Tensor tensor;

  static constexpr const char* name = "dltensor_versioned";
  static constexpr const char* used_name = "used_dltensor_versioned";
  static constexpr std::uint64_t is_copied = 2;  ///< in flags: the memory is the consumer's alone
};

constexpr std::uint32_t major_version = 1;

static_assert(sizeof(Tensor) == 48 && sizeof(ManagedTensor) == 64 &&
                  sizeof(VersionedTensor) == 80 && offsetof(Tensor, byte_offset) == 40,
              "the layout that the specification fixes on 64-bit machines");

}  // namespace tagix::python::dlpack
