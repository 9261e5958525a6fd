#include "core/training_state.h"

#include "core/require.h"
#include "math/normal.h"

namespace tagix {

PredictionSums& PredictionSums::operator+=(const PredictionSums& other) {
  squared_error += other.squared_error;
  var += other.var;
  noise_var += other.noise_var;
  chi_square += other.chi_square;
  log_likelihood += other.log_likelihood;
  n_observed += other.n_observed;
  return *this;
}

void PredictionSums::add(double target, double mean, double prediction_var,
                         double target_noise_var) {
  const double error = target - mean, total_var = prediction_var + target_noise_var;
  squared_error += error * error;
  var += prediction_var;
  noise_var += target_noise_var;
  chi_square += error * error / total_var;
  log_likelihood += math::normal_log_density(target, mean, total_var);
  ++n_observed;
}

void PredictionSums::add(const math::RecordedClass& observed) {
  squared_error += observed.squared_error;
  var += observed.var;
  chi_square += observed.chi_square;
  log_likelihood += observed.log_likelihood;
  ++n_observed;
}

void require_no_failure(const TrainingState& state) {
  require(state.failure != Failure::prediction,
          "x: the predictions overflow float32, needed inputs of a smaller scale");
  require(state.failure != Failure::innovation,
          "y: the innovations overflow float32, needed targets of a smaller scale, or a larger "
          "noise variance");
}

}  // namespace tagix
