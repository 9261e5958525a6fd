#include "cuda_array.h"

#include <functional>
#include <numeric>
#include <optional>
#include <utility>

#include "arguments.h"
#include "core/cuda.h"
#include "dlpack.h"

namespace tagix::python {
namespace {

Index count_of(const std::vector<Index>& shape) {
  return std::accumulate(shape.begin(), shape.end(), Index{1}, std::multiplies<>());
}

/// Asked for once: the answer holds for the life of the process.
std::shared_ptr<Backend> shared_backend() {
  static const std::shared_ptr<Backend> backend = cuda_backend();
  return backend;
}

Array downloaded(const float* data, const std::vector<Index>& shape) {
  Array host = empty(std::vector<py::ssize_t>(shape.begin(), shape.end()));
  const HostPointer<float> values = new_values_of(host);
  const py::gil_scoped_release release;
  shared_backend()->download(data, values, count_of(shape));
  return host;
}

/// A DLPack structure and all that it points to. `Holder` keeps the memory.
template <class Managed, class Holder>
struct Lent {
  Managed managed{};
  std::vector<std::int64_t> shape, strides;
  Holder holder;

  static void release(Managed* self) { delete static_cast<Lent*>(self->owner); }
};

template <class Managed>
void discard_unused(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, Managed::name) == 0) return;  // a consumer has it
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
  Managed& managed = lent->managed;
  managed.tensor = {count_of(shape) == 0 ? nullptr : data,
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

template <class Holder>
py::capsule make_capsule(bool versioned, float* data, dlpack::Device device,
                         const std::vector<Index>& shape, Holder holder, bool is_copy) {
  return versioned
             ? make_capsule<dlpack::VersionedTensor>(data, device, shape, std::move(holder),
                                                     is_copy)
             : make_capsule<dlpack::ManagedTensor>(data, device, shape, std::move(holder), is_copy);
}

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

/// A stream as consumers number it: None or 1 the default one, 2 that of each thread, -1 any.
void check_stream(const py::object& stream) {
  if (stream.is_none()) return;
  Index number = 0;
  convert_argument("stream", stream, number);
  require(number >= -1 && number != 0, "stream: got ", number,
          ", needed None, -1, or the number of a stream, with 1 for the default one");
}

/// What __dlpack__ is asked for; see the array API standard.
py::object lend(const CudaArray& array, const py::object& stream, const py::object& max_version,
                const py::object& device, const py::object& copy) {
  bool versioned = false;
  if (!max_version.is_none()) {
    versioned = max_version[py::int_(0)].cast<Index>() >= dlpack::major_version;
  }
  auto type = static_cast<Index>(dlpack::DeviceType::cuda);
  Index index = 0;
  if (!device.is_none()) {
    convert_argument("dl_device", py::int_(device[py::int_(0)]), type);
    convert_argument("dl_device", py::int_(device[py::int_(1)]), index);
  }
  bool wants_copy = false;
  if (!copy.is_none()) convert_argument("copy", copy, wants_copy);
  const bool refuses_copy = !copy.is_none() && !wants_copy;
  if (type == static_cast<Index>(dlpack::DeviceType::cpu)) {
    if (!stream.is_none()) throw py::value_error("stream: needed None, as the CPU has no streams");
    if (refuses_copy) {
      throw py::buffer_error("copy: got False, needed None or True for an array on the CPU");
    }
    const Array host = array.to_host();
    std::vector<float> values(host.data(), host.data() + host.size());
    float* data = values.data();
    return make_capsule(versioned, data, {dlpack::DeviceType::cpu, 0}, array.shape(),
                        std::move(values), true);
  }
  if (type != static_cast<Index>(dlpack::DeviceType::cuda) || index != 0) {
    throw py::buffer_error(
        text("dl_device: got (", type, ", ", index, "), needed (2, 0), GPU 0, or (1, 0), the CPU"));
  }
  // What made the array has waited for it: there is nothing for the stream to wait for.
  check_stream(stream);
  return wants_copy ? array.copy().lend(versioned, true) : array.lend(versioned, false);
}

}  // namespace

std::string shape_text(const std::vector<Index>& shape) {
  std::string list;
  for (std::size_t i = 0; i < shape.size(); ++i) list += text(i == 0 ? "" : ", ", shape[i]);
  return text("(", list, shape.size() == 1 ? ",)" : ")");
}

CudaMemory::CudaMemory(Index size) : backend_(shared_backend()), buffer_(*backend_, size) {}

CudaMemory::~CudaMemory() {
  if (lent_) cuda_wait_for_all();
}

CudaArray::CudaArray(std::vector<Index> shape)
    : shape_(std::move(shape)), memory_(std::make_shared<CudaMemory>(count_of(shape_))) {}

CudaArray::CudaArray(const Array& host)
    : CudaArray(std::vector<Index>(host.shape(), host.shape() + host.ndim())) {
  const HostPointer<const float> values = values_of(host);
  const py::gil_scoped_release release;
  memory_->backend().upload(values, data(), size());
}

Index CudaArray::size() const { return count_of(shape_); }

Array CudaArray::to_host() const { return downloaded(data(), shape_); }

CudaArray CudaArray::copy() const {
  CudaArray result(shape_);
  // The backend copies Gaussians: mean and variance are the same plane here.
  memory_->backend().copy({data(), data(), 1, size()}, {result.data(), result.data(), 1, size()});
  memory_->backend().synchronise();
  return result;
}

py::capsule CudaArray::lend(bool versioned, bool is_copy) const {
  memory_->note_lent();
  return make_capsule(versioned, data(), {dlpack::DeviceType::cuda, 0}, shape_, memory_, is_copy);
}

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

void bind_cuda(py::module_& m) {
  m.def("cuda_is_built", &cuda_is_built, "Whether this build has CUDA kernels.");
  m.def("cuda_architectures", &cuda_architectures,
        "What GPUs the kernels of this build were compiled for.");
  m.def("cuda_why_not", &cuda_why_not, "Why device 'cuda' cannot be used, or None where it can.");
  m.def("cuda_device_name", &cuda_device_name,
        "The name of the GPU. Raises ValueError where CUDA cannot be used.");

  py::class_<CudaArray> array_class(m, "CudaArray",
                                    R"(A dense float32 array in the memory of the GPU.

Networks on device "cuda" return it for inputs on the GPU, and take it as an input like arrays of
other libraries. It supports no arithmetic: numpy() copies it to the CPU, and any library with
DLPack views it without a copy, such as torch.from_dlpack(array). Its values are complete on any
stream. Array(values) copies an array from the CPU to the GPU.

Raises TypeError for values that are not an array of numbers, ValueError where CUDA cannot be
used.)");
  def_constructor(
      array_class, py::init([](const py::object& values) {
        const auto host =
            py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(values);
        if (!host) {
          PyErr_Clear();
          throw_wrong_type("values", values, "an array of numbers on the CPU");
        }
        return CudaArray(Array(host));
      }),
      py::arg("values"));
  array_class
      .def_property_readonly(
          "shape", [](const CudaArray& array) { return py::tuple(py::cast(array.shape())); },
          "Extents of the dimensions.")
      .def_property_readonly(
          "dtype", [](const CudaArray&) { return py::object(py::dtype::of<float>()); },
          "numpy's float32.")
      .def("numpy", &CudaArray::to_host, "A copy in the memory of the CPU.")
      .def("__repr__",
           [](const CudaArray& array) {
             return text("tagix.cuda.Array(shape=", shape_text(array.shape()), ", dtype=float32)");
           })
      .def("__dlpack_device__", [](const CudaArray&) { return std::make_pair(2, 0); })
      .def("__dlpack__", &lend, py::kw_only(), py::arg("stream") = py::none(),
           py::arg("max_version") = py::none(), py::arg("dl_device") = py::none(),
           py::arg("copy") = py::none(),
           "A capsule that shares the memory, or holds a copy, as the array API standard has it.");

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
