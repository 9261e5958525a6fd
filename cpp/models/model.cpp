#include "models/model.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "core/require.h"
#include "graph/graph_executor.h"

namespace tagix {
namespace {

Index count_parameters(const std::vector<ParameterSpec>& specs) {
  Index count = 0;
  for (const ParameterSpec& spec : specs) count += spec.size();
  return count;
}

/// What each array of parameters forgets in a step; empty where none forgets anything.
std::vector<ParameterWalk> parameter_walks(const std::vector<ParameterSpec>& specs,
                                           const std::optional<Forgetting>& forgetting) {
  std::vector<ParameterWalk> steps;
  bool any = forgetting.has_value();
  for (const ParameterSpec& spec : specs) {
    require(!forgetting || spec.constants.empty(),
            "forgetting: got a network with nn.ClassEmbedding, ",
            "whose constants cannot drift, needed one without");
    const float prior_var = spec.prior_std * spec.prior_std;
    ParameterWalk step{0, prior_var, spec.least_var, 0};
    if (forgetting) {
      step.process_var = static_cast<float>(forgetting->process_noise()) * prior_var;
      step.drifted_var = static_cast<float>(forgetting->inflation()) * prior_var;
    }
    any = any || spec.least_var > 0;
    steps.push_back(step);
  }
  return any ? steps : std::vector<ParameterWalk>{};
}

/// Up to `count` rows from `first` on.
template <class Input>
Input row_slice(const Input& input, Index first, Index count) {
  return input.slice(first * input.cols, std::min(count, input.rows - first), input.cols);
}

}  // namespace

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
    if (!workspace_ || workspace_->graph() != sizes.graph.get()) {
      workspace_ = std::make_unique<Workspace>(*model.backend_, sizes.graph, model.noise_head_,
                                               model.class_head_);
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
      parameter_walks_(parameter_walks(specs_, forgetting)),
      drift_(*backend_) {
  require(!classes.exists() || !noise,
          "likelihood: got one of classes for a network that infers noise, needed noise=None");
  require(!classes.exists() || !forgetting || !forgetting->tests_drift(),
          "forgetting: got a test for drift with classes, needed drift_level=None: it goes by the "
          "errors of numbers");
  if (const auto features = input_features()) sizes_for(*features);
  drift_.assign(math::DriftState{});
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
  set_parameters(on_host(mean), on_host(var));
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
      parameter_walks_(other.parameter_walks_),
      drift_(*backend_),
      epochs_trained_(other.epochs_trained()) {
  drift_.assign(other.drift_.first());
  std::vector<float> mean(static_cast<std::size_t>(parameter_count_)), var(mean.size());
  other.get_parameters(on_host(mean), on_host(var));
  write_parameters(on_host(mean), on_host(var));
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

void Model::get_parameters(HostPointer<float> mean, HostPointer<float> var) const {
  const auto lock = lock_for_reading();
  download(*backend_, parameters_.view(), mean, var);
}

void Model::set_parameters(HostPointer<const float> mean, HostPointer<const float> var) {
  require_finite("mean", mean, parameter_count_);
  require_variances("var", var, parameter_count_);
  const auto lock = lock_for_change();
  write_parameters(mean, var);
}

void Model::write_parameters(HostPointer<const float> mean, HostPointer<const float> var) {
  const MomentsView view = parameters_.view();
  backend_->upload(mean, view.mean, parameter_count_);
  backend_->upload(var, view.var, parameter_count_);
  are_parameters_known_ =
      std::all_of(var.get(), var.get() + parameter_count_, [](float each) { return each == 0; });
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

template <class Input, class Output>
void Model::predict_rows(const Input& input, const HostNoise& noise, const Output& output,
                         Variances variances) const {
  const Sizes sizes = sizes_for(input.cols);
  const Index outputs = sizes.outputs;
  if (input.rows == 0) return;
  if (output.has_noise()) check_noise(noise, input.rows, outputs);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this, sizes);
  Workspace& workspace = *lease;
  if constexpr (std::is_same_v<Input, ConstMomentsView>) workspace.start();
  workspace.check_input(input);
  NoiseView loaded_noise;
  if (output.has_noise()) loaded_noise = workspace.load_noise(noise, input.rows, outputs);
  const Index rows = workspace.executor().prediction_rows();
  for (Index first = 0; first < input.rows; first += rows) {
    const ConstMomentsView prediction =
        predicted(workspace, workspace.load(row_slice(input, first, rows)), variances);
    workspace.write(prediction, loaded_noise.from_row(first), output.from(first * outputs));
  }
  workspace.end_check(input);
}

void Model::predict(const HostMoments& input, const HostNoise& noise,
                    const HostPredictionArrays& output, Variances variances) const {
  predict_rows(input, noise, output, variances);
}

void Model::predict(const ConstMomentsView& input, const HostNoise& noise,
                    const PredictionArrays& output, Variances variances) const {
  predict_rows(input, noise, output, variances);
}

ConstMomentsView Model::predicted(Workspace& workspace, ConstMomentsView rows,
                                  Variances variances) const {
  Executor& executor = workspace.executor();
  const ConstMomentsView parameters = parameters_for(rows, parameters_.view());
  // Where there are no variances, both are 0.
  if (variances == Variances::diagonal || parameters.var == nullptr) {
    return executor.predict(parameters, rows);
  }
  const Index n = output_features(rows.cols);
  const Linearized linearized =
      executor.linearize(parameters, rows, {n, 0, Covariances::variances});
  return workspace.with_variances(linearized.prediction, linearized.covariance, n);
}

void Model::predict_proba(const HostMoments& input, HostPointer<float> probabilities,
                          Variances variances) const {
  if (!class_head_.exists()) throw std::logic_error("predict_proba: the network has no classes");
  const Sizes sizes = sizes_for(input.cols);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this, sizes);
  Workspace& workspace = *lease;
  workspace.check_input(input);
  const Index rows = workspace.executor().prediction_rows();
  for (Index first = 0; first < input.rows; first += rows) {
    const ConstMomentsView prediction =
        predicted(workspace, workspace.load(row_slice(input, first, rows)), variances);
    workspace.write_probabilities(prediction, probabilities + first * class_head_.n_classes);
  }
}

void Model::jacobian(const HostMoments& input, Index n_inputs, HostPointer<float> jacobian) const {
  require(n_inputs >= 0 && n_inputs <= input.cols, "n_inputs: got ", n_inputs, ", needed 0 to ",
          input.cols);
  linearize(input, n_inputs, jacobian, nullptr);
}

void Model::covariance(const HostMoments& input, HostPointer<float> covariance) const {
  linearize(input, 0, nullptr, covariance);
}

void Model::linearize(const HostMoments& input, Index n_inputs, HostPointer<float> jacobian,
                      HostPointer<float> covariance) const {
  const Sizes sizes = sizes_for(input.cols);
  const Index outputs = sizes.outputs;
  const Linearization wanted{outputs, n_inputs,
                             covariance != nullptr ? Covariances::all : Covariances::none};
  const Index row_size = std::max(outputs * wanted.n_directions, wanted.n_covariances());
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this, sizes);
  Workspace& workspace = *lease;
  workspace.check_input(input);
  constexpr Index max_floats = 1 << 22;
  const Index rows = std::min(workspace.executor().prediction_rows(),
                              std::max<Index>(1, max_floats / std::max<Index>(1, row_size)));
  for (Index first = 0; first < input.rows; first += rows) {
    const HostMoments part = row_slice(input, first, rows);
    const Linearized linearized =
        workspace.executor().linearize(parameters_.view(), workspace.load(part), wanted);
    const auto write = [&](const float* values, Index each, HostPointer<float> host) {
      if (host == nullptr) return;
      backend_->download(values, host + first * each, part.rows * each);
    };
    write(linearized.jacobian, outputs * n_inputs, jacobian);
    write(linearized.covariance, outputs * outputs, covariance);
  }
}

std::shared_ptr<Model> Model::draw(std::uint64_t seed) const {
  auto drawn = std::make_shared<Model>(*this, backend_);
  std::vector<float> mean(static_cast<std::size_t>(parameter_count_)), var(mean.size());
  drawn->get_parameters(on_host(mean), on_host(var));
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
  drawn->set_parameters(on_host(mean), on_host(var));
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
  are_parameters_known_ = false;
  change(parameters_.view());
}

ConstMomentsView Model::parameters_for(ConstMomentsView input, ConstMomentsView parameters) const {
  if (are_parameters_known_ && input.var == nullptr) parameters.var = nullptr;
  return parameters;
}

void Model::check_noise(const HostNoise& noise, Index rows, Index outputs) const {
  if (noise.weight != nullptr) require_weights(noise.weight, rows);
  if (noise_head_.exists() || class_head_.exists()) {
    require(noise.data == nullptr, "noise: got noise variances, needed none: the network ",
            class_head_.exists() ? "predicts classes" : "infers its noise");
    return;
  }
  require(noise.data != nullptr,
          "noise: got none, needed noise variances: the network does not "
          "infer its noise");
  require_positive("noise", noise.data, noise.n_values(rows, outputs));
}

template <class Input, class Target>
Model::Batch Model::checked_batch(Workspace& workspace, const Sizes& sizes, const Input& input,
                                  Target target, const HostNoise& noise) const {
  require(input.rows >= 1, "x: got 0 rows, needed at least 1");
  workspace.start();
  workspace.check_input(input);
  workspace.check_target(target, input.rows, sizes.targets);
  check_noise(noise, input.rows, sizes.outputs);
  return {workspace.load(input), workspace.load_target(target, input.rows * sizes.targets),
          workspace.load_noise(noise, input.rows, sizes.outputs)};
}

Learned Model::learn(Workspace& workspace, const Batch& batch, bool need_input_delta) const {
  return workspace.executor().learn(parameters_.view(), batch.input,
                                    {batch.target, batch.noise, spread_of(batch)},
                                    need_input_delta);
}

float Model::spread_of(const Batch& batch) const {
  return rule_.spread(batch.input.rows, batch.noise.mean_weight);
}

void Model::set_epochs_trained(Index epochs) {
  require(epochs >= 0, "epochs_trained: got ", epochs, ", needed at least 0");
  epochs_trained_ = epochs;
}

template <class Input, class Target, class Output>
void Model::update_rows(const Input& input, Target target, const HostNoise& noise,
                        const Output& prediction) {
  const Sizes sizes = sizes_for(input.cols);
  const auto lock = lock_for_change();
  WorkspaceLease lease(*this, sizes);
  Workspace& workspace = *lease;
  const Batch batch = checked_batch(workspace, sizes, input, target, noise);
  const ConstMomentsView output = learn(workspace, batch, false).prediction;
  workspace.write(output, batch.noise, prediction);
  workspace.check_prediction(output, prediction);
  change_by(workspace, batch, output);
  workspace.end_check(input, target, input.rows * sizes.targets, prediction);
}

void Model::update(const HostMoments& input, HostPointer<const float> target,
                   const HostNoise& noise, const HostPredictionArrays& prediction) {
  update_rows(input, target, noise, prediction);
}

void Model::update(const ConstMomentsView& input, const float* target, const HostNoise& noise,
                   const PredictionArrays& prediction) {
  update_rows(input, target, noise, prediction);
}

void Model::change_by(Workspace& workspace, const Batch& batch, ConstMomentsView prediction) {
  TrainingState* state = workspace.state();
  if (forgets()) backend_->sum_predictions(prediction, batch.target, batch.noise, state);
  workspace.executor().update(rule_, batch.input.rows, parameters_.view(), state);
  forget(parameters_.view(), state);
}

void Model::forget(MomentsView parameters, TrainingState* state) {
  if (!forgets()) return;
  are_parameters_known_ = false;
  const bool tests = forgetting_ && forgetting_->tests_drift();
  if (tests) backend_->test_drift(*forgetting_, state, drift_.data());
  Index offset = 0;
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const Index size = specs_[i].size();
    const ParameterWalk& step = parameter_walks_[i];
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
  drift_.assign(drift);
}

Innovations Model::innovations(const HostMoments& input, HostPointer<const float> target,
                               const HostNoise& noise) const {
  const Sizes sizes = sizes_for(input.cols);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this, sizes);
  Workspace& workspace = *lease;
  const Batch batch = checked_batch(workspace, sizes, input, target, noise);
  const Learned learned = learn(workspace, batch, true);
  Moments output_delta(*backend_, learned.prediction.rows, learned.prediction.cols);
  backend_->observe(learned.prediction, batch.target, batch.noise, spread_of(batch),
                    output_delta.view());
  const auto both_planes = [this](ConstMomentsView view) {
    std::vector<float> host(static_cast<std::size_t>(2 * view.size()));
    download(*backend_, view, on_host(host), on_host(host) + view.size());
    return host;
  };
  Innovations result;
  result.output = both_planes(output_delta.view());
  result.input = both_planes(learned.input_delta);
  result.parameters = both_planes(workspace.executor().innovation());
  return result;
}

PredictionSums Model::evaluate(const HostMoments& input, HostPointer<const float> target,
                               const HostNoise& noise) const {
  const Sizes sizes = sizes_for(input.cols);
  const auto lock = lock_for_reading();
  WorkspaceLease lease(*this, sizes);
  Workspace& workspace = *lease;
  require(input.rows >= 1, "x: got 0 rows, needed at least 1");
  workspace.start();
  // Looked at as a whole, so that a message has the position in what the user gave.
  workspace.check_input(input);
  workspace.check_target(target, input.rows, sizes.targets);
  check_noise(noise, input.rows, sizes.outputs);
  const Index rows = workspace.executor().prediction_rows();
  for (Index first = 0; first < input.rows; first += rows) {
    const HostMoments part = row_slice(input, first, rows);
    const ConstMomentsView loaded = workspace.load(part);
    const ConstMomentsView output =
        workspace.executor().predict(parameters_for(loaded, parameters_.view()), loaded);
    const float* const targets =
        workspace.load_target(target + first * sizes.targets, part.rows * sizes.targets);
    backend_->sum_predictions(output, targets,
                              workspace.load_noise(noise.from_row(first), part.rows, sizes.outputs),
                              workspace.state());
  }
  const TrainingState end = workspace.end();
  require_no_failure(end);
  return end.sums;
}

}  // namespace tagix
