#include "core/model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/require.h"

namespace tagix {
namespace {

std::size_t float_bytes(Index count) { return static_cast<std::size_t>(count) * sizeof(float); }

Index count_parameters(const std::vector<ParameterSpec>& specs) {
  Index count = 0;
  for (const ParameterSpec& spec : specs) count += spec.size();
  return count;
}

/// The number of values that a BroadcastView over rows x cols reads.
Index broadcast_size(const BroadcastView& view, Index rows, Index cols) {
  return ((rows - 1) * view.row_stride) + ((cols - 1) * view.col_stride) + 1;
}

void require_finite_prediction(const float* mean, const float* var, Index size) {
  for (Index i = 0; i < size; ++i) {
    require(std::isfinite(mean[i]) && std::isfinite(var[i]),
            "x: the prediction overflows float32 (mean ", mean[i], ", variance ", var[i],
            " at flat position ", i, "), needed inputs of a smaller scale");
  }
}

/// Up to `count` rows from `first` on.
HostMoments row_slice(const HostMoments& input, Index first, Index count) {
  return input.slice(first * input.cols, std::min(count, input.rows - first), input.cols);
}

}  // namespace

struct Model::Workspace {
  Workspace(Backend& backend, std::shared_ptr<const Layer> network)
      : executor(tagix::make_executor(backend, std::move(network))),
        input(backend),
        target(backend),
        noise_var(backend),
        state(backend) {}

  std::unique_ptr<Executor> executor;
  Moments input;
  Buffer<float> target;
  Buffer<float> noise_var;
  Buffer<TrainingState> state;
};

/// Takes a workspace from the model's pool, or a new one when all are in use, and puts it back.
class Model::WorkspaceLease {
 public:
  explicit WorkspaceLease(const Model& model) : model_(model) {
    {
      const std::lock_guard lock(model.pool_mutex_);
      if (!model.pool_.empty()) {
        workspace_ = std::move(model.pool_.back());
        model.pool_.pop_back();
      }
    }
    if (!workspace_) workspace_ = std::make_unique<Workspace>(*model.backend_, model.network_);
  }
  WorkspaceLease(const WorkspaceLease&) = delete;
  WorkspaceLease& operator=(const WorkspaceLease&) = delete;
  ~WorkspaceLease() {
    const std::lock_guard lock(model_.pool_mutex_);
    model_.pool_.push_back(std::move(workspace_));
  }

  Workspace& operator*() { return *workspace_; }

 private:
  const Model& model_;
  std::unique_ptr<Workspace> workspace_;
};

Model::Model(std::shared_ptr<const Layer> network, UpdateRule rule, std::uint64_t seed,
             std::shared_ptr<Backend> backend)
    : backend_(std::move(backend)),
      network_(std::move(network)),
      rule_(rule),
      seed_(seed),
      specs_(network_->parameters()),
      parameter_count_(count_parameters(specs_)),
      parameters_(*backend_, 1, parameter_count_) {
  std::vector<float> mean(static_cast<std::size_t>(parameter_count_)), var(mean.size());
  Index offset = 0;
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const Index size = specs_[i].size();
    const float std = specs_[i].prior_std;
    math::normal_row(seed, math::RandomStream::parameters, 0, i, size, mean.data() + offset);
    for (Index k = offset; k < offset + size; ++k) {
      mean[static_cast<std::size_t>(k)] *= std;
      var[static_cast<std::size_t>(k)] = std * std;
    }
    offset += size;
  }
  set_parameters(mean.data(), var.data());
}

Model::Model(const Model& other, std::shared_ptr<Backend> backend)
    : backend_(std::move(backend)),
      network_(other.network_),
      rule_(other.rule_),
      seed_(other.seed_),
      specs_(other.specs_),
      parameter_count_(other.parameter_count_),
      parameters_(*backend_, 1, parameter_count_),
      epochs_trained_(other.epochs_trained()) {
  std::vector<float> mean(static_cast<std::size_t>(parameter_count_)), var(mean.size());
  other.get_parameters(mean.data(), var.data());
  const MomentsView view = parameters_.view();
  backend_->upload(mean.data(), view.mean, float_bytes(parameter_count_));
  backend_->upload(var.data(), view.var, float_bytes(parameter_count_));
}

Model::~Model() = default;

std::shared_lock<std::shared_mutex> Model::lock_for_reading() const {
  const std::lock_guard gate(gate_);
  return std::shared_lock(mutex_);
}

std::unique_lock<std::shared_mutex> Model::lock_for_change() const {
  const std::lock_guard gate(gate_);
  return std::unique_lock(mutex_);
}

void Model::get_parameters(float* mean, float* var) const {
  const auto lock = lock_for_reading();
  download(*backend_, parameters_.view(), mean, var);
}

void Model::set_parameters(const float* mean, const float* var) {
  require_finite("mean", mean, parameter_count_);
  require_variances("var", var, parameter_count_);
  const auto lock = lock_for_change();
  const MomentsView view = parameters_.view();
  backend_->upload(mean, view.mean, float_bytes(parameter_count_));
  backend_->upload(var, view.var, float_bytes(parameter_count_));
}

Index Model::output_features(Index input_features) const {
  if (const std::optional<Index> needed = network_->input_features()) {
    require(input_features == *needed, "x: got ", input_features, " features, needed ", *needed);
  }
  return network_->output_features(input_features);
}

void Model::check_input(const HostMoments& input) const {
  output_features(input.cols);
  require_finite("x", input.mean, input.size());
  if (input.var != nullptr) require_variances("x_var", input.var, input.size());
}

ConstMomentsView Model::upload(Workspace& workspace, const HostMoments& input) const {
  if (backend_->reads_host_memory()) return input;
  workspace.input.resize(input.rows, input.cols);
  MomentsView view = workspace.input.view();
  backend_->upload(input.mean, view.mean, float_bytes(input.size()));
  if (input.var == nullptr) return {view.mean, nullptr, input.rows, input.cols};
  backend_->upload(input.var, view.var, float_bytes(input.size()));
  return view;
}

void Model::predict(HostMoments input, float* mean, float* var) const {
  check_input(input);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this);
  Workspace& workspace = *lease;
  const Index rows = workspace.executor->prediction_rows();
  for (Index first = 0; first < input.rows; first += rows) {
    const ConstMomentsView output = workspace.executor->predict(
        parameters_.view(), upload(workspace, row_slice(input, first, rows)));
    download(*backend_, output, mean, var);
    mean += output.size();
    var += output.size();
  }
}

void Model::jacobian(HostMoments input, float* jacobian) const {
  linearize(input, jacobian, nullptr);
}

void Model::covariance(HostMoments input, float* covariance) const {
  linearize(input, nullptr, covariance);
}

void Model::linearize(const HostMoments& input, float* jacobian, float* covariance) const {
  check_input(input);
  const Index outputs = output_features(input.cols);
  const Linearization wanted{outputs, jacobian == nullptr ? 0 : input.cols, covariance != nullptr};
  const Index row_size = outputs * std::max(wanted.n_directions, wanted.covariance ? outputs : 0);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this);
  Workspace& workspace = *lease;
  constexpr Index max_floats = 1 << 22;
  const Index rows = std::min(workspace.executor->prediction_rows(),
                              std::max<Index>(1, max_floats / std::max<Index>(1, row_size)));
  for (Index first = 0; first < input.rows; first += rows) {
    const HostMoments part = row_slice(input, first, rows);
    const Linearized linearized =
        workspace.executor->linearize(parameters_.view(), upload(workspace, part), wanted);
    const auto write = [&](const float* values, Index each, float* host) {
      if (host == nullptr) return;
      backend_->download(values, host + first * each, float_bytes(part.rows * each));
    };
    write(linearized.jacobian, outputs * input.cols, jacobian);
    write(linearized.covariance, outputs * outputs, covariance);
  }
}

std::shared_ptr<Model> Model::draw(std::uint64_t seed) const {
  auto drawn = std::make_shared<Model>(*this, backend_);
  std::vector<float> mean(static_cast<std::size_t>(parameter_count_)), var(mean.size());
  drawn->get_parameters(mean.data(), var.data());
  Index offset = 0;
  std::vector<float> numbers;
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const Index size = specs_[i].size();
    numbers.resize(static_cast<std::size_t>(size));
    math::normal_row(seed, math::RandomStream::weight_draw, 0, i, size, numbers.data());
    for (Index k = 0; k < size; ++k) {
      const auto at = static_cast<std::size_t>(offset + k);
      mean[at] += std::sqrt(var[at]) * numbers[static_cast<std::size_t>(k)];
      var[at] = 0;
    }
    offset += size;
  }
  drawn->set_parameters(mean.data(), var.data());
  return drawn;
}

std::unique_ptr<Executor> Model::make_executor() const {
  return tagix::make_executor(*backend_, network_);
}

void Model::read_parameters(const std::function<void(ConstMomentsView)>& read) const {
  const auto lock = lock_for_reading();
  read(parameters_.view());
}

void Model::change_parameters(const std::function<void(MomentsView)>& change) {
  const auto lock = lock_for_change();
  change(parameters_.view());
}

void Model::check_targets(const HostMoments& input, const float* target,
                          BroadcastView noise_var) const {
  check_input(input);
  require(input.rows >= 1, "x: got 0 rows, needed at least 1");
  const Index outputs = output_features(input.cols);
  require_finite_or_missing("y", target, input.rows * outputs);
  require_positive("noise", noise_var.data, broadcast_size(noise_var, input.rows, outputs));
}

Model::Batch Model::load(Workspace& workspace, const HostMoments& input, const float* target,
                         BroadcastView noise_var) const {
  if (backend_->reads_host_memory()) return {input, target, noise_var};
  const Index outputs = network_->output_features(input.cols);
  workspace.target.assign(target, input.rows * outputs);
  workspace.noise_var.assign(noise_var.data, broadcast_size(noise_var, input.rows, outputs));
  noise_var.data = workspace.noise_var.data();
  return {upload(workspace, input), workspace.target.data(), noise_var};
}

Learned Model::learn(Workspace& workspace, const Batch& batch, bool need_input_delta) const {
  return workspace.executor->learn(parameters_.view(), batch.input,
                                   {batch.target, batch.noise_var, rule_.spread(batch.input.rows)},
                                   need_input_delta);
}

void Model::set_epochs_trained(Index epochs) {
  require(epochs >= 0, "epochs_trained: got ", epochs, ", needed at least 0");
  epochs_trained_ = epochs;
}

void Model::update(HostMoments input, const float* target, BroadcastView noise_var, float* mean,
                   float* var) {
  check_targets(input, target, noise_var);
  const auto lock = lock_for_change();
  WorkspaceLease lease(*this);
  Workspace& workspace = *lease;
  const Batch batch = load(workspace, input, target, noise_var);
  const ConstMomentsView prediction = learn(workspace, batch, false).prediction;
  download(*backend_, prediction, mean, var);
  require_finite_prediction(mean, var, prediction.size());
  const TrainingState start;
  workspace.state.assign(&start, 1);
  workspace.executor->update(rule_, input.rows, parameters_.view(), workspace.state.data());
  require_no_failure(workspace.state.first());
}

std::vector<float> Model::to_host(const float* values, Index size) const {
  std::vector<float> host(static_cast<std::size_t>(size));
  backend_->download(values, host.data(), float_bytes(size));
  return host;
}

void Model::queue_input_check(Workspace& workspace, ConstMomentsView input) const {
  if (input.var != nullptr) {
    require_variances("x_var", to_host(input.var, input.size()).data(), input.size());
  }
  const TrainingState start;
  workspace.state.assign(&start, 1);
  backend_->check_innovation({input.mean, input.mean, input.rows, input.cols},
                             workspace.state.data());
}

void Model::require_finite_input(ConstMomentsView input) const {
  require_finite("x", to_host(input.mean, input.size()).data(), input.size());
}

void Model::predict_on_device(ConstMomentsView input, MomentsView output) const {
  output_features(input.cols);
  if (input.rows == 0) return;
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this);
  Workspace& workspace = *lease;
  queue_input_check(workspace, input);
  const Index rows = workspace.executor->prediction_rows();
  for (Index first = 0; first < input.rows; first += rows) {
    const ConstMomentsView prediction =
        workspace.executor->predict(parameters_.view(), row_slice(input, first, rows));
    backend_->copy(prediction, output.slice(first * output.cols, prediction.rows, prediction.cols));
  }
  if (workspace.state.first().failure != Failure::none) require_finite_input(input);
}

void Model::update_on_device(ConstMomentsView input, const float* target, BroadcastView noise_var,
                             MomentsView prediction) {
  require(input.rows >= 1, "x: got 0 rows, needed at least 1");
  const Index outputs = output_features(input.cols);
  const Index noise_size = broadcast_size(noise_var, input.rows, outputs);
  require_positive("noise", noise_var.data, noise_size);
  const auto lock = lock_for_change();
  WorkspaceLease lease(*this);
  Workspace& workspace = *lease;
  queue_input_check(workspace, input);
  workspace.noise_var.assign(noise_var.data, noise_size);
  noise_var.data = workspace.noise_var.data();
  backend_->copy(learn(workspace, {input, target, noise_var}, false).prediction, prediction);
  backend_->check_innovation(prediction, workspace.state.data());
  // Changes nothing if anything above has failed. A target that is infinite fails here.
  workspace.executor->update(rule_, input.rows, parameters_.view(), workspace.state.data());
  const TrainingState end = workspace.state.first();
  if (end.failure == Failure::none) return;
  require_finite_input(input);
  const Index size = prediction.size();
  require_finite_or_missing("y", to_host(target, size).data(), size);
  require_finite_prediction(to_host(prediction.mean, size).data(),
                            to_host(prediction.var, size).data(), size);
  require_no_failure(end);
}

Innovations Model::innovations(HostMoments input, const float* target,
                               BroadcastView noise_var) const {
  check_targets(input, target, noise_var);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this);
  Workspace& workspace = *lease;
  const Batch batch = load(workspace, input, target, noise_var);
  const Learned learned = learn(workspace, batch, true);
  Moments output_delta(*backend_, learned.prediction.rows, learned.prediction.cols);
  backend_->observe(learned.prediction, batch.target, batch.noise_var, rule_.spread(input.rows),
                    output_delta.view());
  const auto both_planes = [this](ConstMomentsView view) {
    std::vector<float> host(static_cast<std::size_t>(2 * view.size()));
    download(*backend_, view, host.data(), host.data() + view.size());
    return host;
  };
  Innovations result;
  result.output = both_planes(output_delta.view());
  result.input = both_planes(learned.input_delta);
  result.parameters = both_planes(workspace.executor->innovation());
  return result;
}

PredictionSums Model::evaluate(HostMoments input, const float* target,
                               BroadcastView noise_var) const {
  check_targets(input, target, noise_var);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this);
  Workspace& workspace = *lease;
  const TrainingState start;
  workspace.state.assign(&start, 1);
  const Index rows = workspace.executor->prediction_rows();
  for (Index first = 0; first < input.rows; first += rows) {
    const Batch batch = load(workspace, row_slice(input, first, rows), target, noise_var);
    const ConstMomentsView output = workspace.executor->predict(parameters_.view(), batch.input);
    backend_->record_predictions(output, batch.target, batch.noise_var, workspace.state.data());
    target += output.size();
    noise_var.data += output.rows * noise_var.row_stride;
  }
  const TrainingState end = workspace.state.first();
  require_no_failure(end);
  return end.sums;
}

}  // namespace tagix
