#include "cuda_argument.h"

#include <cstdint>
#include <iterator>
#include <string>

#include "arguments.h"
#include "core/cuda.h"
#include "cuda_array.h"
#include "dlpack.h"

namespace tagix::python {
namespace {

std::string type_name(py::handle value) { return py::str(py::type::of(value).attr("__name__")); }

/// What __dlpack__ of an array on the GPU gives, ready for the work of the calling thread.
py::object capsule_of(const char* name, py::handle array) {
  const auto stream = cuda_stream();
  try {
    try {
      return array.attr("__dlpack__")(
          py::arg("stream") = stream,
          py::arg("max_version") = py::make_tuple(dlpack::major_version, 0));
    } catch (py::error_already_set& error) {
      if (!error.matches(PyExc_TypeError)) throw;
      // A producer from before versions.
      return array.attr("__dlpack__")(py::arg("stream") = stream);
    }
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_Exception)) throw;
    throw py::type_error(text(name, ": got a ", type_name(array), " that cannot be viewed (",
                              std::string(py::str(error.value())),
                              "), needed numbers in the memory of the GPU, without gradients"));
  }
}

/// Throws unless a device, as __dlpack_device__ gives it, is the GPU that all work is done on.
void require_gpu(const char* name, const py::object& device) {
  const auto type = py::int_(device[py::int_(0)]).cast<Index>();
  const auto index = py::int_(device[py::int_(1)]).cast<Index>();
  require(type == static_cast<Index>(dlpack::DeviceType::cuda_managed) ||
              (type == static_cast<Index>(dlpack::DeviceType::cuda) && index == 0),
          name, ": got an array on device (", type, ", ", index,
          ") of DLPack, needed (2, 0), which is GPU 0");
}

/// Takes what a capsule lends; it goes back with the last copy of `owner`. Null for a capsule of
/// another kind.
template <class Managed>
const dlpack::Tensor* take(const char* name, py::handle capsule, std::shared_ptr<void>& owner) {
  if (PyCapsule_IsValid(capsule.ptr(), Managed::name) == 0) return nullptr;
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), Managed::name));
  owner = std::shared_ptr<void>(managed, [](void* memory) {
    auto* lent = static_cast<Managed*>(memory);
    if (lent->release != nullptr) lent->release(lent);
  });
  PyCapsule_SetName(capsule.ptr(), Managed::used_name);
  if constexpr (requires { managed->version; }) {
    require(managed->version.major == dlpack::major_version, name, ": got version ",
            managed->version.major, " of DLPack, needed ", dlpack::major_version);
  }
  return &managed->tensor;
}

std::string data_type_text(const dlpack::DataType& type) {
  static constexpr const char* kinds[] = {"int",    "uint",    "float", "opaque",
                                          "bfloat", "complex", "bool"};
  const std::string kind = type.kind < std::size(kinds) ? kinds[type.kind] : "other";
  const std::string lanes = type.lanes == 1 ? "" : text(" x ", type.lanes);
  return kind == "bool" ? kind : text(kind, int{type.bits}, lanes);
}

bool is_dense(const dlpack::Tensor& tensor) {
  if (tensor.strides == nullptr) return true;
  std::int64_t dense = 1;
  for (std::int32_t i = tensor.n_dimensions; i-- > 0;) {
    if (tensor.shape[i] == 0) return true;
    if (tensor.shape[i] != 1 && tensor.strides[i] != dense) return false;
    dense *= tensor.shape[i];
  }
  return true;
}

}  // namespace

CudaArgument::CudaArgument(const char* name, py::handle value) {
  std::shared_ptr<CudaArray> array;
  if (py::isinstance<CudaArray>(value)) {
    array = std::make_shared<CudaArray>(value.cast<const CudaArray&>());
  } else if (py::isinstance<Array>(value)) {
    array = std::make_shared<CudaArray>(py::reinterpret_borrow<Array>(value));
  } else {
    borrow(name, value);
    return;
  }
  data_ = array->data();
  shape_ = array->shape();
  owner_ = std::move(array);
}

Array CudaArgument::to_host() const { return downloaded(data_, shape_); }

void CudaArgument::borrow(const char* name, py::handle value) {
  require_gpu(name, value.attr("__dlpack_device__")());
  const py::object capsule = capsule_of(name, value);
  const dlpack::Tensor* tensor = take<dlpack::VersionedTensor>(name, capsule, owner_);
  if (tensor == nullptr) tensor = take<dlpack::ManagedTensor>(name, capsule, owner_);
  if (tensor == nullptr)
    throw_wrong_type(name, value, "an object whose __dlpack__ gives a capsule");
  const dlpack::DataType type = tensor->data_type;
  if (type.kind != dlpack::DataType::floating_point || type.bits != 32 || type.lanes != 1) {
    throw py::type_error(
        text(name, ": got an array of ", data_type_text(type), " on the GPU, needed float32"));
  }
  shape_.assign(tensor->shape, tensor->shape + tensor->n_dimensions);
  require(is_dense(*tensor), name, ": got an array of shape ", shape_text(shape_),
          " with gaps or another order on the GPU, needed a C-contiguous one");
  data_ =
      reinterpret_cast<const float*>(static_cast<const char*>(tensor->data) + tensor->byte_offset);
}

void bind_cuda_argument(py::module_& m) {
  py::class_<CudaArgument>(m, "CudaArgument",
                           "An array on the GPU, lent by any library for the length of a call, or "
                           "uploaded from the CPU.")
      .def(py::init([](const std::string& name, const py::object& value) {
             return CudaArgument(name.c_str(), value);
           }),
           py::arg("name"), py::arg("value"))
      .def_property_readonly(
          "shape", [](const CudaArgument& array) { return py::tuple(py::cast(array.shape())); })
      .def("numpy", &CudaArgument::to_host);
}

}  // namespace tagix::python
