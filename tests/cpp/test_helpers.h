#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/memory.h"
#include "float64_network.h"
#include "models/batch_source.h"
#include "models/model.h"
#include "models/trainer.h"

namespace tagix::test {

inline const float missing = std::numeric_limits<float>::quiet_NaN();

/// Numbers drawn evenly from [low, high], the same in every run.
inline std::vector<float> uniform_floats(std::size_t count, double low, double high,
                                         unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    value = static_cast<float>(low + (high - low) * (engine() * 0x1p-32));
  }
  return values;
}

inline std::vector<double> doubles(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

/// Means and variances on the host, as Model takes and gives them.
struct HostPair {
  std::vector<float> mean, var;
};

inline HostPair parameters_of(const Model& model) {
  HostPair pair;
  pair.mean.resize(static_cast<std::size_t>(model.parameter_count()));
  pair.var.resize(pair.mean.size());
  model.get_parameters(pair.mean, pair.var);
  return pair;
}

/// Steps of training on batches in the backend's memory, one at a time.
class TrainingSteps {
 public:
  explicit TrainingSteps(Model& model)
      : model_(model),
        executor_(model.make_executor(*model.input_features())),
        state_(model.backend()) {}

  /// One step; returns what it recorded. Throws as a Trainer does.
  PredictionSums step(const BatchSource::Batch& batch) {
    const TrainingState start;
    state_.assign(start);
    executor_->train(model_.rule(), batch, batch.input.rows, model_.parameter_view(),
                     state_.data());
    const TrainingState end = state_.first();
    require_no_failure(end);
    return end.sums;
  }

 private:
  Model& model_;
  std::unique_ptr<Executor> executor_;
  Buffer<TrainingState> state_;
};

/// The largest difference of means in standard deviations (those of the truth, or `floor` where
/// that is larger), and of variances relative to the truth.
struct Difference {
  double mean = 0, var = 0;
};

inline Difference difference(const std::vector<float>& mean, const std::vector<float>& var,
                             const std::vector<double>& true_mean,
                             const std::vector<double>& true_var) {
  REQUIRE(mean.size() == true_mean.size());
  REQUIRE(var.size() == true_var.size());
  Difference largest;
  const auto include = [](double& so_far, double value) {
    if (!(value <= so_far)) so_far = value;  // NaN counts as largest
  };
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const double error = std::fabs(mean[i] - true_mean[i]);
    include(largest.mean,
            error == 0 ? 0 : error / (std::fabs(true_mean[i]) + std::sqrt(std::fabs(true_var[i]))));
    const double var_error = std::fabs(var[i] - true_var[i]);
    include(largest.var, var_error == 0 ? 0 : var_error / std::fabs(true_var[i]));
  }
  return largest;
}

/// The message of the std::invalid_argument that `call` throws; "" if it throws none.
template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// CHECKs that `call` throws std::invalid_argument with a message that contains every part.
template <class Call>
void check_refused(const Call& call, const std::vector<std::string>& parts) {
  const std::string message = refusal(call);
  INFO("message: ", message);
  CHECK(!message.empty());
  for (const std::string& part : parts) {
    INFO("needed: ", part);
    CHECK(contains(message, part));
  }
}

}  // namespace tagix::test
