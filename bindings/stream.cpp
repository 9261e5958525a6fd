#include "models/stream.h"

#include <cmath>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.h"
#include "bindings.h"
#include "math/leverage.h"

namespace tagix::python {
namespace {

constexpr py::ssize_t column_fields = 5;
constexpr py::ssize_t sum_fields = 7;

StreamColumn column_of(const double* values) {
  return {values[0], values[1], {values[2], values[3], values[4]}};
}

void write_column(const StreamColumn& column, double* values) {
  values[0] = column.mean;
  values[1] = column.scale;
  values[2] = column.seen.count;
  values[3] = column.seen.mean;
  values[4] = column.seen.sum_of_squares;
}

void require_columns(const Doubles& columns, py::ssize_t rows) {
  require(columns.ndim() == 2 && columns.shape(0) == rows && columns.shape(1) == column_fields,
          "columns: got an array of ", columns.size(), " numbers, needed ", rows, " x ",
          column_fields);
}

/// A Stream that takes rows as dicts of numbers by name. Names that it does not know are ignored;
/// what is not there, None or NaN, is missing.
class NamedStream {
 public:
  NamedStream(std::shared_ptr<Model> model, std::vector<std::string> names, const Doubles& columns,
              const Doubles& sums, py::function rescale)
      : names_(std::move(names)),
        rescale_(std::move(rescale)),
        row_(names_.size()),
        stream_(make(std::move(model), names_.size(), columns, sums)) {
    for (const std::string& name : names_) {
      PyObject* key = PyUnicode_InternFromString(name.c_str());
      if (key == nullptr) throw py::error_already_set();
      keys_.push_back(py::reinterpret_steal<py::object>(key));
    }
  }

  std::tuple<double, double> predict(const py::dict& x) {
    const StreamPrediction expected = stream_.predict(row(x));
    return {expected.mean, expected.var};
  }

  Array predict_proba(const py::dict& x, Index n_classes) {
    Array probabilities = empty({n_classes});
    stream_.predict_proba(row(x), new_values_of(probabilities));
    return probabilities;
  }

  void learn(const py::dict& x, double y) {
    require(!std::isinf(y), "y: got ", y, ", needed a finite number, or NaN where it is missing");
    if (stream_.learn(row(x), y)) rescale_();
  }

  Doubles columns() const {
    Doubles result({static_cast<py::ssize_t>(names_.size()) + 1, column_fields});
    double* values = result.mutable_data();
    for (const StreamColumn& column : stream_.columns()) {
      write_column(column, values);
      values += column_fields;
    }
    write_column(stream_.target(), values);
    return result;
  }

  void set_columns(const Doubles& columns) {
    const auto n = static_cast<py::ssize_t>(names_.size());
    require_columns(columns, n + 1);
    stream_.set_scaling(columns_of(columns, n), column_of(columns.data(n, 0)));
  }

  Doubles sums() const {
    const PrequentialSums& sums = stream_.sums();
    Doubles result(sum_fields);
    const double values[] = {sums.n_rows,        sums.n_observed,     sums.log_likelihood,
                             sums.squared_error, sums.absolute_error, sums.n_covered,
                             sums.n_correct};
    std::copy(std::begin(values), std::end(values), result.mutable_data());
    return result;
  }

 private:
  static std::vector<StreamColumn> columns_of(const Doubles& columns, py::ssize_t n) {
    std::vector<StreamColumn> result;
    for (py::ssize_t i = 0; i < n; ++i) result.push_back(column_of(columns.data(i, 0)));
    return result;
  }

  static Stream make(std::shared_ptr<Model> model, std::size_t n_names, const Doubles& columns,
                     const Doubles& sums) {
    const auto n = static_cast<py::ssize_t>(n_names);
    require_columns(columns, n + 1);
    require(sums.ndim() == 1 && sums.size() == sum_fields, "sums: got ", sums.size(),
            " numbers, needed ", sum_fields);
    const double* s = sums.data();
    return {std::move(model), columns_of(columns, n), column_of(columns.data(n, 0)),
            PrequentialSums{s[0], s[1], s[2], s[3], s[4], s[5], s[6]}};
  }

  const double* row(const py::dict& x) {
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      PyObject* value = PyDict_GetItemWithError(x.ptr(), keys_[i].ptr());
      if (value == nullptr && PyErr_Occurred() != nullptr) throw py::error_already_set();
      if (value == nullptr || value == Py_None) {
        row_[i] = std::nan("");
        continue;
      }
      row_[i] = PyFloat_AsDouble(value);
      if (row_[i] == -1 && PyErr_Occurred() != nullptr) {
        PyErr_Clear();
        throw py::type_error(
            text("x: got ", std::string(py::repr(value)), " for ", names_[i], ", needed a number"));
      }
      require(!std::isinf(row_[i]), "x: got ", row_[i], " for ", names_[i],
              ", needed a finite number, or NaN where it is missing");
    }
    return row_.data();
  }

  std::vector<std::string> names_;
  std::vector<py::object> keys_;
  py::function rescale_;
  std::vector<double> row_;
  Stream stream_;
};

}  // namespace

void bind_stream(py::module_& m) {
  m.def("bounded_leverage", py::vectorize(math::bounded_leverage), py::arg("z"),
        "Standardized inputs, those beyond 6 standard deviations by their logarithm; see "
        "math/leverage.h.");
  m.def("leverage_slope", py::vectorize(math::leverage_slope), py::arg("z"),
        "The derivative of bounded_leverage.");
  py::class_<NamedStream>(m, "Stream", "One row after the other, as dicts; see models/stream.h.")
      .def(
          py::init<std::shared_ptr<Model>, std::vector<std::string>, const Doubles&, const Doubles&,
                   py::function>(),
          py::arg("model"), py::arg("names"), py::arg("columns"), py::arg("sums"),
          py::arg("rescale"),
          "columns: float64 (features + 1, 5), the last row for the target: mean and scale of the "
          "standardization; count, mean and sum of squared deviations of what was seen. sums: "
          "float64 (7,): rows, observed rows, log-likelihood, squared and absolute error, covered, "
          "correct. rescale() is called when the number of rows becomes a power of two.")
      .def("predict", &NamedStream::predict, py::arg("x"),
           "Mean and variance of the target, in its units.")
      .def("predict_proba", &NamedStream::predict_proba, py::arg("x"), py::arg("n_classes"))
      .def("learn", &NamedStream::learn, py::arg("x"), py::arg("y"))
      .def_property("columns", &NamedStream::columns, &NamedStream::set_columns,
                    "To set it changes the standardization alone.")
      .def_property_readonly("sums", &NamedStream::sums);
}

}  // namespace tagix::python
