#include "models/encoding.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/require.h"

namespace tagix {

Encoding::Encoding(Index n_columns, std::vector<Score> scores, const std::vector<Ramp>& ramps)
    : n_columns_(n_columns), scores_(std::move(scores)) {
  const auto check_column = [&](Index column) {
    require(column >= 0 && column < n_columns_, "encoding: got column ", column, " of ",
            n_columns_);
  };
  for (const Score& score : scores_) {
    check_column(score.column);
    const std::size_t n = score.knots.size();
    require(n >= 2 && score.values.size() == n, "encoding: got ", n, " knots and ",
            score.values.size(), " values, needed as many of both, at least 2");
    require(std::isfinite(score.slope), "encoding: got a slope of ", score.slope);
    for (std::size_t i = 0; i < n; ++i) {
      require(std::isfinite(score.knots[i]) && std::isfinite(score.values[i]) &&
                  (i == 0 || score.knots[i] > score.knots[i - 1]),
              "encoding: got knots that do not rise, or numbers that are not finite");
    }
  }
  for (const Ramp& ramp : ramps) {
    check_column(ramp.column);
    const auto start = static_cast<float>(ramp.start), end = static_cast<float>(ramp.end);
    require(std::isfinite(start) && std::isfinite(end) && std::isfinite(ramp.centre) && start < end,
            "encoding: got a ramp from ", ramp.start, " to ", ramp.end, " about ", ramp.centre,
            ", needed finite numbers, the end above the start");
    ramp_columns_.push_back(ramp.column);
    start_.push_back(start);
    rise_.push_back(1 / (end - start));
    centre_.push_back(static_cast<float>(ramp.centre));
    ends_.insert(ends_.end(), {ramp.start, ramp.end});
  }
}

void Encoding::encode(const float* row, Index columns, float* inputs) const {
  std::copy(row, row + n_columns_, inputs);
  for (const Score& each : scores_) {
    const auto z = static_cast<double>(row[each.column]);
    inputs[each.column] = static_cast<float>(score(each)(z));
  }
  float* const ramps = inputs + n_columns_;
  const std::size_t n = ramp_columns_.size();
  for (std::size_t i = 0; i < n; ++i) {
    const float share = (row[ramp_columns_[i]] - start_[i]) * rise_[i];
    ramps[i] = std::min(std::max(share, 0.0f), 1.0f) - centre_[i];
  }
  std::copy(row + n_columns_, row + columns, ramps + n);
}

void Encoding::encode(const float* row, const float* row_var, Index columns, float* inputs,
                      float* inputs_var) const {
  encode(row, columns, inputs);
  std::copy(row_var, row_var + n_columns_, inputs_var);
  const auto write = [&](const math::PiecewiseLinear& function, Index column, std::size_t input) {
    inputs_var[input] = 0;
    if (!(row_var[column] > 0)) return;
    const auto moments =
        function.moments(static_cast<double>(row[column]), static_cast<double>(row_var[column]));
    inputs[input] = static_cast<float>(moments.mean);
    inputs_var[input] = static_cast<float>(moments.var);
  };
  for (const Score& each : scores_) {
    write(score(each), each.column, static_cast<std::size_t>(each.column));
  }
  const auto first = static_cast<std::size_t>(n_columns_);
  for (std::size_t i = 0; i < ramp_columns_.size(); ++i) {
    const auto centre = static_cast<double>(centre_[i]);
    const double values[] = {-centre, 1 - centre};
    write({&ends_[2 * i], values, 2, 0}, ramp_columns_[i], first + i);
  }
  std::copy(row_var + n_columns_, row_var + columns, inputs_var + first + ramp_columns_.size());
}

void Encoding::slopes(const float* row, Index columns, float* slopes) const {
  std::fill(slopes, slopes + n_inputs(columns), 1.0f);
  for (const Score& each : scores_) {
    const auto z = static_cast<double>(row[each.column]);
    slopes[each.column] = static_cast<float>(score(each).derivative(z));
  }
  float* const ramps = slopes + n_columns_;
  for (std::size_t i = 0; i < ramp_columns_.size(); ++i) {
    const double values[] = {0, 1};
    const math::PiecewiseLinear ramp{&ends_[2 * i], values, 2, 0};
    ramps[i] = static_cast<float>(ramp.derivative(static_cast<double>(row[ramp_columns_[i]])));
  }
}

}  // namespace tagix
