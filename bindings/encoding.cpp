#include "models/encoding.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.h"
#include "bindings.h"

namespace tagix::python {
namespace {

void require_numbers(const char* name, const Doubles& array, py::ssize_t rows) {
  require(array.ndim() == 2 && array.shape(0) == rows, name, ": got an array of ", array.size(),
          " numbers, needed ", rows, " rows of them");
}

Encoding make(Index n_columns, const Doubles& scores, const Doubles& knots, const Doubles& ramps) {
  require_numbers("scores", scores, 3);
  require_numbers("knots", knots, 2);
  require_numbers("ramps", ramps, 4);
  std::vector<Encoding::Score> of_columns;
  py::ssize_t done = 0;
  for (py::ssize_t i = 0; i < scores.shape(1); ++i) {
    const double count = scores.at(2, i);
    require(count >= 0 && count <= static_cast<double>(knots.shape(1) - done), "scores: got ",
            count, " knots, needed no more than there are");
    const auto n = static_cast<py::ssize_t>(count);
    const double *const first = knots.data() + done, *const values = first + knots.shape(1);
    of_columns.push_back({static_cast<Index>(scores.at(0, i)), scores.at(1, i),
                          std::vector<double>(first, first + n),
                          std::vector<double>(values, values + n)});
    done += n;
  }
  std::vector<Encoding::Ramp> of_ramps;
  for (py::ssize_t i = 0; i < ramps.shape(1); ++i) {
    of_ramps.push_back(
        {static_cast<Index>(ramps.at(0, i)), ramps.at(1, i), ramps.at(2, i), ramps.at(3, i)});
  }
  return {n_columns, std::move(of_columns), of_ramps};
}

/// Throws unless x, (rows, columns), has the columns that the encoding reads.
void require_columns_of(const Encoding& encoding, const Array& x) {
  require_matrix("x", x);
  require(x.shape(1) >= encoding.n_columns(), "x: got ", x.shape(1), " columns, needed at least ",
          encoding.n_columns());
}

/// An array of inputs for the rows of x, written by write(row, inputs).
template <class Write>
Array written(const Encoding& encoding, const Array& x, Write write) {
  require_columns_of(encoding, x);
  const Index rows = x.shape(0), width = encoding.n_inputs(x.shape(1));
  Array result = empty({rows, width});
  float* const inputs = result.mutable_data();
  const py::gil_scoped_release release;
  for (Index row = 0; row < rows; ++row) write(row, inputs + row * width);
  return result;
}

}  // namespace

void bind_encoding(py::module_& m) {
  py::class_<Encoding>(m, "Encoding",
                       "Inputs that are piecewise linear in the columns of standardized rows; see "
                       "models/encoding.h.")
      .def(py::init(&make), py::arg("n_columns"), py::arg("scores"), py::arg("knots"),
           py::arg("ramps"),
           "scores: float64 (3, n_scores): column, slope beyond the knots, number of knots; knots: "
           "float64 (2, all knots): where they are, and the values there; ramps: float64 "
           "(4, n_ramps): column, start, end, centre. Raises ValueError for numbers that are not "
           "those of an encoding.")
      .def(
          "inputs",
          [](const Encoding& encoding, const Array& x) {
            const float* const rows = x.data();
            const Index columns = x.ndim() == 2 ? x.shape(1) : 0;
            return written(encoding, x, [&](Index row, float* inputs) {
              encoding.encode(rows + row * columns, columns, inputs);
            });
          },
          py::arg("x"), "Inputs (rows, inputs) of rows (rows, columns) that are known.")
      .def(
          "moments",
          [](const Encoding& encoding, const Array& x, const Array& x_var) {
            require_columns_of(encoding, x);
            require_matrix("x_var", x_var, x.shape(1));
            require_same_rows("x_var", x_var, "x", x);
            const float *const rows = x.data(), *const vars = x_var.data();
            const Index columns = x.shape(1), width = encoding.n_inputs(columns);
            Array inputs_var = empty({x.shape(0), width});
            float* const var = inputs_var.mutable_data();
            Array inputs = written(encoding, x, [&](Index row, float* mean) {
              encoding.encode(rows + row * columns, vars + row * columns, columns, mean,
                              var + row * width);
            });
            return std::make_tuple(std::move(inputs), std::move(inputs_var));
          },
          py::arg("x"), py::arg("x_var"), "Means and variances of the inputs of Gaussian rows.")
      .def(
          "slopes",
          [](const Encoding& encoding, const Array& x) {
            const float* const rows = x.data();
            const Index columns = x.ndim() == 2 ? x.shape(1) : 0;
            return written(encoding, x, [&](Index row, float* slopes) {
              encoding.slopes(rows + row * columns, columns, slopes);
            });
          },
          py::arg("x"), "The derivative of each input by its column, (rows, inputs).");
}

}  // namespace tagix::python
