#include "cuda_array.h"

#include <functional>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "arguments.h"
#include "constructors.h"
#include "core/cuda.h"
#include "dlpack_lending.h"

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

Array downloaded(const float* data, const std::vector<Index>& shape) {
  Array host = empty(std::vector<py::ssize_t>(shape.begin(), shape.end()));
  const HostPointer<float> values = new_values_of(host);
  const py::gil_scoped_release release;
  shared_backend()->download(data, values, count_of(shape));
  return host;
}

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

void bind_cuda_array(py::module_& m) {
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
}

}  // namespace tagix::python
