#include "core/model.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "core/require.h"
#include "graph/executor.h"

namespace tagix {
namespace {

std::size_t float_bytes(Index count) { return static_cast<std::size_t>(count) * sizeof(float); }

Index count_parameters(const std::vector<ParameterSpec>& specs) {
  Index count = 0;
  for (const ParameterSpec& spec : specs) count += spec.size();
  return count;
}

/// What each array of parameters forgets in a step; empty where none forgets anything.
std::vector<ForgettingStep> forgetting_steps(const std::vector<ParameterSpec>& specs,
                                             const std::optional<Forgetting>& forgetting) {
  std::vector<ForgettingStep> steps;
  bool any = forgetting.has_value();
  for (const ParameterSpec& spec : specs) {
    require(!forgetting || spec.constants.empty(),
            "forgetting: got a network with nn.ClassEmbedding, ",
            "whose constants cannot drift, needed one without");
    const float prior_var = spec.prior_std * spec.prior_std;
    ForgettingStep step{0, prior_var, spec.least_var, 0};
    if (forgetting) {
      step.process_var = static_cast<float>(forgetting->process_noise()) * prior_var;
      step.drifted_var = static_cast<float>(forgetting->inflation()) * prior_var;
    }
    any = any || spec.least_var > 0;
    steps.push_back(step);
  }
  return any ? steps : std::vector<ForgettingStep>{};
}

/// The number of values that a NoiseView over rows x cols reads.
Index broadcast_size(const NoiseView& view, Index rows, Index cols) {
  return ((rows - 1) * view.row_stride) + ((cols - 1) * view.col_stride) + 1;
}

void require_finite_prediction(const PredictionArrays& prediction, Index size) {
  for (Index i = 0; i < size; ++i) {
    const float mean = prediction.mean[i];
    const float var = prediction.has_noise() ? prediction.total_var[i] : prediction.var[i];
    require(std::isfinite(mean) && std::isfinite(var), "x: the prediction overflows float32 (mean ",
            mean, ", variance ", var, " at flat position ", i,
            "), needed inputs of a smaller scale");
  }
}

/// Up to `count` rows from `first` on.
HostMoments row_slice(const HostMoments& input, Index first, Index count) {
  return input.slice(first * input.cols, std::min(count, input.rows - first), input.cols);
}

}  // namespace

struct Model::Workspace {
  Workspace(Backend& backend, const std::shared_ptr<const Graph>& graph)
      : graph(graph),
        executor(tagix::make_executor(backend, graph)),
        input(backend),
        target(backend),
        noise_var(backend),
        weight(backend),
        values(backend),
        variances(backend),
        state(backend) {}

  std::shared_ptr<const Graph> graph;
  std::unique_ptr<Executor> executor;
  Moments input;
  Buffer<float> target;
  Buffer<float> noise_var;
  Buffer<float> weight;
  Moments values;           // of a prediction that is taken apart
  Buffer<float> variances;  // its noise variances, then the sums; or probabilities of classes
  Buffer<TrainingState> state;
};

/// Takes a workspace from the model's pool, or a new one when all are in use or it is of another
/// graph, and puts it back.
class Model::WorkspaceLease {
 public:
  WorkspaceLease(const Model& model, const Sizes& sizes) : model_(model) {
    {
      const std::lock_guard lock(model.pool_mutex_);
      if (!model.pool_.empty()) {
        workspace_ = std::move(model.pool_.back());
        model.pool_.pop_back();
      }
    }
    if (!workspace_ || workspace_->graph != sizes.graph) {
      workspace_ = std::make_unique<Workspace>(*model.backend_, sizes.graph);
    }
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
             std::shared_ptr<Backend> backend, const std::optional<LearnedNoise>& noise,
             const std::optional<Forgetting>& forgetting, const math::ClassHead& classes)
    : Model(std::make_shared<const Topology>(std::move(network), std::vector<Shape>{}, noise), rule,
            seed, std::move(backend), noise, forgetting, classes) {}

Model::Model(std::shared_ptr<const Topology> topology, UpdateRule rule, std::uint64_t seed,
             std::shared_ptr<Backend> backend, const std::optional<LearnedNoise>& noise,
             const std::optional<Forgetting>& forgetting, const math::ClassHead& classes)
    : backend_(std::move(backend)),
      topology_(std::move(topology)),
      rule_(rule),
      seed_(seed),
      noise_head_{noise ? noise->link : math::NoiseLink::none,
                  rule.kind == UpdateRule::Kind::information,
                  noise && rule.kind == UpdateRule::Kind::information
                      ? static_cast<float>(noise->belief_precision)
                      : 0.0f},
      class_head_(classes),
      specs_(topology_->parameters()),
      parameter_count_(count_parameters(specs_)),
      parameters_(*backend_, 1, parameter_count_),
      forgetting_(forgetting),
      forgetting_steps_(forgetting_steps(specs_, forgetting)),
      drift_(*backend_) {
  require(!classes.exists() || !noise,
          "likelihood: got one of classes for a network that infers noise, needed noise=None");
  require(!classes.exists() || !forgetting || !forgetting->tests_drift(),
          "forgetting: got a test for drift with classes, needed drift_level=None: it goes by the "
          "errors of numbers");
  if (const auto features = input_features()) sizes_for(*features);
  const math::DriftState no_drift;
  drift_.assign(&no_drift, 1);
  std::vector<float> mean(static_cast<std::size_t>(parameter_count_)), var(mean.size());
  Index offset = 0;
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const Index size = specs_[i].size();
    const float std = specs_[i].prior_std;
    const std::vector<float>& known = specs_[i].prior_mean;
    math::NormalRow{seed, math::RandomStream::parameters, 0, i}.write(size, mean.data() + offset);
    for (Index k = 0; k < size; ++k) {
      const auto at = static_cast<std::size_t>(offset + k);
      mean[at] = known.empty() ? mean[at] * std : known[static_cast<std::size_t>(k)];
      var[at] = std * std;
    }
    for (const ConstantElement& constant : specs_[i].constants) {
      const auto at = static_cast<std::size_t>(offset + constant.index);
      mean[at] = constant.value;
      var[at] = 0;
    }
    offset += size;
  }
  set_parameters(mean.data(), var.data());
}

Model::Model(const Model& other, std::shared_ptr<Backend> backend)
    : backend_(std::move(backend)),
      topology_(other.topology_),
      rule_(other.rule_),
      seed_(other.seed_),
      noise_head_(other.noise_head_),
      class_head_(other.class_head_),
      specs_(other.specs_),
      parameter_count_(other.parameter_count_),
      parameters_(*backend_, 1, parameter_count_),
      forgetting_(other.forgetting_),
      forgetting_steps_(other.forgetting_steps_),
      drift_(*backend_),
      epochs_trained_(other.epochs_trained()) {
  const math::DriftState drift = other.drift_.first();
  drift_.assign(&drift, 1);
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

Model::Sizes Model::sizes_for(Index input_features) const {
  const std::shared_ptr<const Graph>& graph = topology_->graph_for(input_features);
  const Index outputs = noise_head_.n_targets(graph->output_shape().size());
  require(!class_head_.exists() || outputs == class_head_.n_outputs(), "likelihood: got ", outputs,
          " outputs of the last layer, needed ", class_head_.n_outputs(), " for ",
          class_head_.n_classes, " classes");
  return {graph, outputs, class_head_.exists() ? 1 : outputs};
}

Index Model::output_features(Index input_features) const {
  return sizes_for(input_features).outputs;
}

Index Model::target_features(Index input_features) const {
  return sizes_for(input_features).targets;
}

void Model::check_input(const HostMoments& input) const {
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

void Model::write(ConstMomentsView prediction, NoiseView noise,
                  const PredictionArrays& output) const {
  const Index outputs = noise_head_.n_targets(prediction.cols);
  const MomentsView values{output.mean, output.var, prediction.rows, outputs};
  if (output.has_noise()) {
    backend_->split_prediction(prediction, noise, values, output.noise_var, output.total_var);
  } else {
    backend_->copy(prediction, values);
  }
}

void Model::write_to_host(Workspace& workspace, ConstMomentsView prediction, NoiseView noise,
                          const PredictionArrays& output) const {
  if (backend_->reads_host_memory()) {
    write(prediction, noise, output);
    return;
  }
  if (!output.has_noise()) {
    download(*backend_, prediction, output.mean, output.var);
    return;
  }
  const Index outputs = noise_head_.n_targets(prediction.cols), size = prediction.rows * outputs;
  workspace.values.resize(prediction.rows, outputs);
  workspace.variances.resize(2 * size);
  float* noise_var = workspace.variances.data();
  const MomentsView values = workspace.values.view();
  write(prediction, noise, {values.mean, values.var, noise_var, noise_var + size});
  download(*backend_, values, output.mean, output.var);
  backend_->download(noise_var, output.noise_var, float_bytes(size));
  backend_->download(noise_var + size, output.total_var, float_bytes(size));
}

void Model::predict(HostMoments input, NoiseView noise, const PredictionArrays& output) const {
  const Sizes sizes = sizes_for(input.cols);
  const Index outputs = sizes.outputs;
  check_input(input);
  if (output.has_noise() && input.rows > 0) check_noise(noise, input.rows, outputs);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this, sizes);
  Workspace& workspace = *lease;
  if (output.has_noise()) noise = load(workspace, noise, input.rows, outputs);
  const Index rows = workspace.executor->prediction_rows();
  for (Index first = 0; first < input.rows; first += rows) {
    const ConstMomentsView prediction = workspace.executor->predict(
        parameters_.view(), upload(workspace, row_slice(input, first, rows)));
    write_to_host(workspace, prediction, noise.from_row(first), output.from(first * outputs));
  }
}

void Model::predict_proba(HostMoments input, float* probabilities) const {
  if (!class_head_.exists()) throw std::logic_error("predict_proba: the network has no classes");
  const Sizes sizes = sizes_for(input.cols);
  check_input(input);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this, sizes);
  Workspace& workspace = *lease;
  const Index rows = workspace.executor->prediction_rows(), n_classes = class_head_.n_classes;
  for (Index first = 0; first < input.rows; first += rows) {
    const ConstMomentsView prediction = workspace.executor->predict(
        parameters_.view(), upload(workspace, row_slice(input, first, rows)));
    workspace.variances.resize(prediction.rows * n_classes);
    backend_->class_probabilities(prediction, class_head_, workspace.variances.data());
    backend_->download(workspace.variances.data(), probabilities + first * n_classes,
                       float_bytes(prediction.rows * n_classes));
  }
}

void Model::jacobian(HostMoments input, Index n_inputs, float* jacobian) const {
  require(n_inputs >= 0 && n_inputs <= input.cols, "n_inputs: got ", n_inputs, ", needed 0 to ",
          input.cols);
  linearize(input, n_inputs, jacobian, nullptr);
}

void Model::covariance(HostMoments input, float* covariance) const {
  linearize(input, 0, nullptr, covariance);
}

void Model::linearize(const HostMoments& input, Index n_inputs, float* jacobian,
                      float* covariance) const {
  const Sizes sizes = sizes_for(input.cols);
  const Index outputs = sizes.outputs;
  check_input(input);
  const Linearization wanted{outputs, n_inputs, covariance != nullptr};
  const Index row_size = outputs * std::max(wanted.n_directions, wanted.covariance ? outputs : 0);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this, sizes);
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
    write(linearized.jacobian, outputs * n_inputs, jacobian);
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
    math::NormalRow{seed, math::RandomStream::weight_draw, 0, i}.write(size, numbers.data());
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

std::unique_ptr<Executor> Model::make_executor(Index input_features) const {
  return tagix::make_executor(*backend_, sizes_for(input_features).graph);
}

void Model::read_parameters(const std::function<void(ConstMomentsView)>& read) const {
  const auto lock = lock_for_reading();
  read(parameters_.view());
}

void Model::change_parameters(const std::function<void(MomentsView)>& change) {
  const auto lock = lock_for_change();
  change(parameters_.view());
}

void Model::check_noise(NoiseView noise, Index rows, Index outputs) const {
  if (noise.weight != nullptr) require_weights(noise.weight, rows);
  if (noise_head_.exists() || class_head_.exists()) {
    require(noise.data == nullptr, "noise: got noise variances, needed none: the network ",
            class_head_.exists() ? "predicts classes" : "infers its noise");
    return;
  }
  require(noise.data != nullptr,
          "noise: got none, needed noise variances: the network does not "
          "infer its noise");
  require_positive("noise", noise.data, broadcast_size(noise, rows, outputs));
}

void Model::check_targets(const Sizes& sizes, const HostMoments& input, const float* target,
                          NoiseView noise) const {
  check_input(input);
  require(input.rows >= 1, "x: got 0 rows, needed at least 1");
  require_targets(target, input.rows, sizes.targets);
  check_noise(noise, input.rows, sizes.outputs);
}

void Model::require_targets(const float* target, Index rows, Index cols) const {
  require_finite_or_missing("y", target, rows * cols);
  if (!class_head_.exists()) return;
  for (Index i = 0; i < rows; ++i) {
    if (std::isnan(target[i])) continue;
    const auto label = class_head_.label_of(target[i]);
    require(label >= 0 && static_cast<float>(label) == target[i], "y: got ", target[i], " at row ",
            i, ", needed a class, an integer from 0 to ", class_head_.n_classes - 1, ", or NaN");
  }
}

NoiseView Model::load(Workspace& workspace, NoiseView noise, Index rows, Index outputs) const {
  noise.head = noise_head_;
  noise.classes = class_head_;
  if (noise.weight != nullptr) noise.mean_weight = mean_weight_of(noise.weight, rows);
  if (backend_->reads_host_memory()) return noise;
  if (noise.data != nullptr) {
    workspace.noise_var.assign(noise.data, broadcast_size(noise, rows, outputs));
    noise.data = workspace.noise_var.data();
  }
  if (noise.weight != nullptr) {
    workspace.weight.assign(noise.weight, rows);
    noise.weight = workspace.weight.data();
  }
  return noise;
}

Model::Batch Model::load(Workspace& workspace, const Sizes& sizes, const HostMoments& input,
                         const float* target, NoiseView noise) const {
  noise = load(workspace, noise, input.rows, sizes.outputs);
  if (backend_->reads_host_memory()) return {input, target, noise};
  workspace.target.assign(target, input.rows * sizes.targets);
  return {upload(workspace, input), workspace.target.data(), noise};
}

Learned Model::learn(Workspace& workspace, const Batch& batch, bool need_input_delta) const {
  return workspace.executor->learn(parameters_.view(), batch.input,
                                   {batch.target, batch.noise, spread_of(batch)}, need_input_delta);
}

float Model::spread_of(const Batch& batch) const {
  return rule_.spread(batch.input.rows, batch.noise.mean_weight);
}

void Model::set_epochs_trained(Index epochs) {
  require(epochs >= 0, "epochs_trained: got ", epochs, ", needed at least 0");
  epochs_trained_ = epochs;
}

void Model::update(HostMoments input, const float* target, NoiseView noise,
                   const PredictionArrays& prediction) {
  const Sizes sizes = sizes_for(input.cols);
  check_targets(sizes, input, target, noise);
  const auto lock = lock_for_change();
  WorkspaceLease lease(*this, sizes);
  Workspace& workspace = *lease;
  const Batch batch = load(workspace, sizes, input, target, noise);
  const ConstMomentsView output = learn(workspace, batch, false).prediction;
  write_to_host(workspace, output, batch.noise, prediction);
  require_finite_prediction(prediction, input.rows * sizes.outputs);
  const TrainingState start;
  workspace.state.assign(&start, 1);
  change_by(workspace, batch, output);
  require_no_failure(workspace.state.first());
}

void Model::change_by(Workspace& workspace, const Batch& batch, ConstMomentsView prediction) {
  TrainingState* state = workspace.state.data();
  if (forgets()) backend_->record_predictions(prediction, batch.target, batch.noise, state);
  workspace.executor->update(rule_, batch.input.rows, parameters_.view(), state);
  forget(parameters_.view(), state);
}

void Model::forget(MomentsView parameters, TrainingState* state) {
  if (!forgets()) return;
  const bool tests = forgetting_ && forgetting_->tests_drift();
  if (tests) backend_->test_drift(*forgetting_, state, drift_.data());
  Index offset = 0;
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const Index size = specs_[i].size();
    const ForgettingStep& step = forgetting_steps_[i];
    if (forgetting_ || step.least_var > 0) {
      backend_->forget(step, tests ? drift_.data() : nullptr, state, size, parameters.var + offset);
    }
    offset += size;
  }
}

math::DriftState Model::drift() const {
  const auto lock = lock_for_reading();
  return drift_.first();
}

void Model::set_drift(const math::DriftState& drift) {
  for (double sum : {drift.chi_square, drift.weight, drift.square_weight}) {
    require(std::isfinite(sum) && sum >= 0, "drift: got a sum of ", sum,
            ", needed a finite number of at least 0");
  }
  require(drift.n_drifts >= 0, "drift: got a count of ", drift.n_drifts, ", needed at least 0");
  const auto lock = lock_for_change();
  drift_.assign(&drift, 1);
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

void Model::predict_on_device(ConstMomentsView input, NoiseView noise,
                              const PredictionArrays& output) const {
  const Sizes sizes = sizes_for(input.cols);
  const Index outputs = sizes.outputs;
  if (input.rows == 0) return;
  if (output.has_noise()) check_noise(noise, input.rows, outputs);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this, sizes);
  Workspace& workspace = *lease;
  queue_input_check(workspace, input);
  if (output.has_noise()) noise = load(workspace, noise, input.rows, outputs);
  const Index rows = workspace.executor->prediction_rows();
  for (Index first = 0; first < input.rows; first += rows) {
    const ConstMomentsView prediction =
        workspace.executor->predict(parameters_.view(), row_slice(input, first, rows));
    write(prediction, noise.from_row(first), output.from(first * outputs));
  }
  if (workspace.state.first().failure != Failure::none) require_finite_input(input);
}

void Model::update_on_device(ConstMomentsView input, const float* target, NoiseView noise,
                             const PredictionArrays& prediction) {
  require(input.rows >= 1, "x: got 0 rows, needed at least 1");
  const Sizes sizes = sizes_for(input.cols);
  const Index size = input.rows * sizes.outputs, n_targets = input.rows * sizes.targets;
  check_noise(noise, input.rows, sizes.outputs);
  const auto lock = lock_for_change();
  WorkspaceLease lease(*this, sizes);
  Workspace& workspace = *lease;
  queue_input_check(workspace, input);
  noise = load(workspace, noise, input.rows, sizes.outputs);
  const Batch batch{input, target, noise};
  const ConstMomentsView output = learn(workspace, batch, false).prediction;
  write(output, noise, prediction);
  backend_->check_innovation(output, workspace.state.data());
  // Changes nothing if anything above has failed. A target that is infinite fails here.
  change_by(workspace, batch, output);
  const TrainingState end = workspace.state.first();
  if (end.failure == Failure::none) return;
  require_finite_input(input);
  require_finite_or_missing("y", to_host(target, n_targets).data(), n_targets);
  std::vector<float> mean = to_host(prediction.mean, size);
  std::vector<float> var =
      to_host(prediction.has_noise() ? prediction.total_var : prediction.var, size);
  require_finite_prediction({mean.data(), var.data()}, size);
  require_no_failure(end);
}

Innovations Model::innovations(HostMoments input, const float* target, NoiseView noise) const {
  const Sizes sizes = sizes_for(input.cols);
  check_targets(sizes, input, target, noise);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this, sizes);
  Workspace& workspace = *lease;
  const Batch batch = load(workspace, sizes, input, target, noise);
  const Learned learned = learn(workspace, batch, true);
  Moments output_delta(*backend_, learned.prediction.rows, learned.prediction.cols);
  backend_->observe(learned.prediction, batch.target, batch.noise, spread_of(batch),
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

PredictionSums Model::evaluate(HostMoments input, const float* target, NoiseView noise) const {
  const Sizes sizes = sizes_for(input.cols);
  check_targets(sizes, input, target, noise);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this, sizes);
  Workspace& workspace = *lease;
  const TrainingState start;
  workspace.state.assign(&start, 1);
  const Index rows = workspace.executor->prediction_rows();
  for (Index first = 0; first < input.rows; first += rows) {
    const Batch batch =
        load(workspace, sizes, row_slice(input, first, rows), target, noise.from_row(first));
    const ConstMomentsView output = workspace.executor->predict(parameters_.view(), batch.input);
    backend_->record_predictions(output, batch.target, batch.noise, workspace.state.data());
    target += output.rows * batch.noise.n_targets(output.cols);
  }
  const TrainingState end = workspace.state.first();
  require_no_failure(end);
  return end.sums;
}

}  // namespace tagix
