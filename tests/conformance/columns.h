#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// Columns of wider matrices: copied, added, or set to 0. `known` values have no variances; a
/// target of `means_alone` has none.
struct Columns : Operation {
  enum class Kind { copy, add, clear };

  Kind kind;
  Index cols, values_first, target_first;
  bool known, means_alone;
  HostGaussians values, target;

  Columns(Kind kind, Index rows, Index cols, Index values_first, Index target_first, bool known,
          bool means_alone)
      : kind(kind),
        cols(cols),
        values_first(values_first),
        target_first(target_first),
        known(known),
        means_alone(means_alone) {
    RandomInputs random(rows + 61 * cols + values_first);
    values = random.gaussians(rows, cols + 2 * values_first);
    target = random.gaussians(rows, cols + 3 * target_first);
    if (known) values.var.clear();
  }

  std::string name() const override {
    const char* names[] = {"copy_columns", "add_columns", "clear_columns"};
    return text(names[static_cast<int>(kind)], " ", values.rows, " x ", cols, ", from ",
                values_first, " to ", target_first, known ? ", known" : "",
                means_alone ? ", means alone" : "");
  }

  Cost cost() const override {
    const double planes = kind == Kind::clear ? 1 : kind == Kind::copy ? 2 : 3;
    return {0, 4 * 2 * planes * static_cast<double>(values.rows * cols)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstColumnsView from = arrays.input(values).columns(values_first, cols);
    ColumnsView to = arrays.in_place(target).columns(target_first, cols);
    if (means_alone) to.var = nullptr;
    return [=, this, &backend = arrays.backend()] {
      if (kind == Kind::copy) backend.copy_columns(from, to);
      if (kind == Kind::add) backend.add_columns(from, to);
      if (kind == Kind::clear) backend.clear_columns(to);
    };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 1, {}}, var{"var", 1, {}};
    for (Index row = 0; row < target.rows; ++row) {
      for (Index col = 0; col < target.cols; ++col) {
        const auto to = static_cast<std::size_t>(row * target.cols + col);
        const Index k = col - target_first;
        const bool is_target = k >= 0 && k < cols;
        const auto from = static_cast<std::size_t>(row * values.cols + values_first + k);
        mean.values.push_back(is_target ? result(values.mean[from], target.mean[to])
                                        : exactly(target.mean[to]));
        const bool changes_var = is_target && !means_alone;
        var.values.push_back(changes_var ? result(known ? 0 : values.var[from], target.var[to])
                                         : exactly(target.var[to]));
      }
    }
    return {mean, var};
  }

  Sum result(double value, double before) const {
    if (kind == Kind::clear) return exactly(0);
    return kind == Kind::copy ? exactly(value) : sum_of({value, before});
  }

  static Operations cases_of(Kind kind) {
    Operations cases;
    const auto add_case = [&](Index rows, Index cols, Index from, Index to, bool known,
                              bool means_alone) {
      cases.push_back(std::make_unique<Columns>(kind, rows, cols, from, to, known, means_alone));
    };
    for (Index rows : {1, 2, 7, 300}) {
      for (Index cols : {1, 3, 16, 33}) {
        add_case(rows, cols, 0, 0, false, false);
        add_case(rows, cols, 2, 5, rows == 7, false);
        add_case(rows, cols, 0, 1, false, cols == 3);
        add_case(rows, cols, 3, 0, true, true);
      }
    }
    add_case(1, 20000, 0, 0, false, false);
    add_case(300, 70, 0, 0, true, false);
    return cases;
  }
  static Operations benchmarks_of(Kind kind) {
    Operations cases;
    cases.push_back(std::make_unique<Columns>(kind, 2048, 64, 32, 32, false, false));
    return cases;
  }
};

struct CopyColumns final {
  static Operations cases() { return Columns::cases_of(Columns::Kind::copy); }
  static Operations benchmarks() { return Columns::benchmarks_of(Columns::Kind::copy); }
};
struct AddColumns final {
  static Operations cases() { return Columns::cases_of(Columns::Kind::add); }
  static Operations benchmarks() { return Columns::benchmarks_of(Columns::Kind::add); }
};
struct ClearColumns final {
  static Operations cases() { return Columns::cases_of(Columns::Kind::clear); }
  static Operations benchmarks() { return Columns::benchmarks_of(Columns::Kind::clear); }
};

}  // namespace tagix::conformance
