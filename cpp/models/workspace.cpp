#include "models/workspace.h"

#include <cmath>
#include <utility>

#include "core/require.h"
#include "graph/graph_executor.h"

namespace tagix {
namespace {

void require_finite_prediction(const HostPredictionArrays& prediction, Index size) {
  const auto vars = prediction.has_noise() ? prediction.total_var : prediction.var;
  if (all_finite(prediction.mean, size) && all_finite(vars, size)) return;
  for (Index i = 0; i < size; ++i) {
    const float mean = prediction.mean[i], var = vars[i];
    require(std::isfinite(mean) && std::isfinite(var), "x: the prediction overflows float32 (mean ",
            mean, ", variance ", var, " at flat position ", i,
            "), needed inputs of a smaller scale");
  }
}

}  // namespace

void require_targets(const math::ClassHead& classes, HostPointer<const float> target, Index rows,
                     Index cols) {
  require_finite_or_missing("y", target, rows * cols);
  if (!classes.exists()) return;
  for (Index i = 0; i < rows; ++i) {
    if (std::isnan(target[i])) continue;
    const auto label = classes.label_of(target[i]);
    require(label >= 0 && static_cast<float>(label) == target[i], "y: got ", target[i], " at row ",
            i, ", needed a class, an integer from 0 to ", classes.n_classes - 1, ", or NaN");
  }
}

Workspace::Workspace(Backend& backend, std::shared_ptr<const Graph> graph,
                     math::NoiseHead noise_head, math::ClassHead class_head)
    : backend_(backend),
      graph_(std::move(graph)),
      noise_head_(noise_head),
      class_head_(class_head),
      executor_(make_executor(backend, graph_)),
      input_(backend),
      target_(backend),
      noise_var_(backend),
      weight_(backend),
      calibrated_(backend),
      values_(backend),
      variances_(backend),
      state_(backend) {}

std::vector<float> Workspace::to_host(const float* values, Index size) const {
  std::vector<float> host(static_cast<std::size_t>(size));
  backend_.download(values, on_host(host), size);
  return host;
}

void Workspace::check_input(const HostMoments& input) {
  require_finite("x", input.mean, input.size());
  if (input.var != nullptr) require_variances("x_var", input.var, input.size());
}

void Workspace::check_input(const ConstMomentsView& input) {
  if (input.var != nullptr) {
    const std::vector<float> var = to_host(input.var, input.size());
    require_variances("x_var", on_host(var), input.size());
  }
  backend_.check_finite({input.mean, input.mean, input.rows, input.cols}, state());
}

void Workspace::check_target(HostPointer<const float> target, Index rows, Index cols) const {
  require_targets(class_head_, target, rows, cols);
}

// An infinite target is found by what is learned from it.
void Workspace::check_target(const float*, Index, Index) const {}

void Workspace::check_prediction(ConstMomentsView prediction, const HostPredictionArrays& output) {
  require_finite_prediction(output, n_values(prediction));
}

void Workspace::check_prediction(ConstMomentsView prediction, const PredictionArrays&) {
  backend_.check_finite(prediction, state());
}

void Workspace::end_check(const HostMoments&) const {}

void Workspace::end_check(const ConstMomentsView& input) const {
  if (end().failure == Failure::none) return;
  const std::vector<float> mean = to_host(input.mean, input.size());
  require_finite("x", on_host(mean), input.size());
}

void Workspace::end_check(const HostMoments&, HostPointer<const float>, Index,
                          const HostPredictionArrays&) const {
  require_no_failure(end());
}

void Workspace::end_check(const ConstMomentsView& input, const float* target, Index n_targets,
                          const PredictionArrays& output) const {
  const TrainingState state = end();
  if (state.failure == Failure::none) return;
  end_check(input);
  const std::vector<float> targets = to_host(target, n_targets);
  require_finite_or_missing("y", on_host(targets), n_targets);
  const Index size = input.rows * noise_head_.n_targets(graph_->output_shape().size());
  std::vector<float> mean = to_host(output.mean, size);
  std::vector<float> var = to_host(output.has_noise() ? output.total_var : output.var, size);
  require_finite_prediction({on_host(mean), on_host(var)}, size);
  require_no_failure(state);
}

ConstMomentsView Workspace::load(const HostMoments& input) {
  if (backend_.reads_host_memory()) {
    return {backend_.in_place(input.mean), backend_.in_place(input.var), input.rows, input.cols};
  }
  input_.resize(input.rows, input.cols);
  const MomentsView view = input_.view();
  backend_.upload(input.mean, view.mean, input.size());
  if (input.var == nullptr) return {view.mean, nullptr, input.rows, input.cols};
  backend_.upload(input.var, view.var, input.size());
  return view;
}

const float* Workspace::load_target(HostPointer<const float> target, Index size) {
  return on_device(backend_, target, size, target_);
}

NoiseView Workspace::load_noise(const HostNoise& noise, Index rows, Index outputs) {
  return {on_device(backend_, noise.data, noise.n_values(rows, outputs), noise_var_),
          noise.row_stride,
          noise.col_stride,
          noise_head_,
          class_head_,
          on_device(backend_, noise.weight, rows, weight_),
          noise.weight == nullptr ? 1 : mean_weight_of(noise.weight, rows)};
}

void Workspace::write(ConstMomentsView prediction, NoiseView noise,
                      const PredictionArrays& output) {
  const MomentsView values{output.mean, output.var, prediction.rows,
                           noise_head_.n_targets(prediction.cols)};
  if (output.has_noise()) {
    backend_.split_prediction(prediction, noise, values, output.noise_var, output.total_var);
  } else {
    backend_.copy(prediction, values);
  }
}

void Workspace::write(ConstMomentsView prediction, NoiseView noise,
                      const HostPredictionArrays& output) {
  if (backend_.reads_host_memory()) {
    write(
        prediction, noise,
        PredictionArrays{backend_.in_place(output.mean), backend_.in_place(output.var),
                         backend_.in_place(output.noise_var), backend_.in_place(output.total_var)});
    return;
  }
  if (!output.has_noise()) {
    download(backend_, prediction, output.mean, output.var);
    return;
  }
  const Index size = n_values(prediction);
  values_.resize(prediction.rows, size / prediction.rows);
  variances_.resize(2 * size);
  float* const noise_var = variances_.data();
  float* const total_var = noise_var + size;
  const MomentsView values = values_.view();
  write(prediction, noise, PredictionArrays{values.mean, values.var, noise_var, total_var});
  download(backend_, values, output.mean, output.var);
  backend_.download(noise_var, output.noise_var, size);
  backend_.download(total_var, output.total_var, size);
}

ConstMomentsView Workspace::with_variances(ConstMomentsView prediction, const float* variances,
                                           Index n) {
  const Index rows = prediction.rows, cols = prediction.cols;
  calibrated_.resize(rows, cols);
  const MomentsView calibrated = calibrated_.view();
  backend_.copy(prediction, calibrated);
  backend_.copy_columns({variances, nullptr, rows, n, n}, {calibrated.var, nullptr, rows, n, cols});
  return calibrated;
}

void Workspace::write_probabilities(ConstMomentsView prediction, HostPointer<float> probabilities) {
  const Index size = prediction.rows * class_head_.n_classes;
  variances_.resize(size);
  backend_.class_probabilities(prediction, class_head_, variances_.data());
  backend_.download(variances_.data(), probabilities, size);
}

}  // namespace tagix
