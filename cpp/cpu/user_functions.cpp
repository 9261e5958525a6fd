#include "cpu/user_functions.h"

#include <algorithm>
#include <variant>

#include "core/function_moments.h"
#include "cpu/pieces.h"

namespace tagix::cpu {

UserFunctions::UserFunctions(Backend& backend, const TilePlan& plan)
    : backend_(backend),
      plan_(plan),
      kept_(backend),
      input_(backend),
      output_(backend),
      jacobian_(backend) {
  Index widest = 0;
  for (Index phase = 0; phase + 1 < plan.n_phases(); ++phase) {
    widest = std::max(widest, plan.function_above(phase).features);
  }
  constexpr Index planes = 5;  // two of input, two of output and the Jacobian
  floats_per_row_ = planes * widest + ceil_div(plan.kept_size, TilePlan::tile_rows);
}

Index UserFunctions::rows_at_once(Index batch_size) const {
  if (!exist()) return batch_size;
  // The layers of common widths then take some megabytes, and the widest ones 64.
  constexpr Index most_rows = 2048, most_floats = Index{1} << 24;
  const Index tiles = most_floats / (TilePlan::tile_rows * floats_per_row_);
  return std::min({batch_size, most_rows, std::max<Index>(1, tiles) * TilePlan::tile_rows});
}

void UserFunctions::keep(Index rows) {
  kept_.resize(ceil_div(rows, TilePlan::tile_rows) * plan_.kept_size);
}

MomentsView UserFunctions::room(Index phase, Index rows) {
  input_.resize(rows, plan_.function_above(phase).features);
  return input_.view();
}

ConstMomentsView UserFunctions::call(Index phase, ConstMomentsView input) {
  const auto& own = std::get<UserFunction>(plan_.function_above(phase).function);
  output_.resize(input.rows, input.cols);
  jacobian_.resize(input.size());
  function_forward(backend_, *own.function, own.form, input, output_.view(), jacobian_.data());
  return output_.view();
}

}  // namespace tagix::cpu
