#pragma once

#include <pybind11/numpy.h>

#include <utility>
#include <vector>

#include "bindings.h"
#include "core/host.h"
#include "core/require.h"

namespace tagix::python {

/// A C-contiguous float32 array. The Python layer converts; here a wrong one is a TypeError.
using Array = py::array_t<float, py::array::c_style>;
using IndexArray = py::array_t<Index, py::array::c_style>;
/// float64, of whatever numbers were given.
using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

/// Throws unless an array has so many rows.
inline void require_rows(const char* name, const py::array& array, Index rows) {
  require(array.shape(0) == rows, name, ": got ", array.shape(0), " rows, needed ", rows);
}

/// Throws unless `array` is two-dimensional with the given number of columns (-1: any).
inline void require_matrix(const char* name, const py::array& array, Index cols = -1) {
  require(array.ndim() == 2, name, ": got an array of ", array.ndim(),
          " dimensions, needed 2 (rows, features)");
  require(cols < 0 || array.shape(1) == cols, name, ": got ", array.shape(1), " columns, needed ",
          cols);
}

/// Throws unless two arrays have the same number of rows.
inline void require_same_rows(const char* name, const py::array& array, const char* other_name,
                              const py::array& other) {
  require(array.shape(0) == other.shape(0), name, ": got ", array.shape(0), " rows, needed ",
          other.shape(0), " as in ", other_name);
}

/// The values of an array. It must live as long as they are read.
template <class T>
HostPointer<const T> values_of(const py::array_t<T, py::array::c_style>& array) {
  return HostPointer<const T>(array.data());
}
/// The values of a new array, to be written.
template <class T>
HostPointer<T> new_values_of(py::array_t<T, py::array::c_style>& array) {
  return HostPointer<T>(array.mutable_data());
}

/// A new array, with undefined values.
inline Array empty(std::vector<py::ssize_t> shape) { return Array(std::move(shape)); }

}  // namespace tagix::python
