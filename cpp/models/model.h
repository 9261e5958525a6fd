#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/executor.h"
#include "core/forgetting.h"
#include "core/memory.h"
#include "core/noise.h"
#include "graph/topology.h"
#include "models/workspace.h"

namespace tagix {

/// What an update works out on its way: the innovations of outputs, parameters and inputs.
/// Matrices are host arrays (mean plane, then variance plane).
struct Innovations {
  std::vector<float> output;      ///< 2 x batch x out, with a noise head 2 x batch x 2 out
  std::vector<float> input;       ///< 2 x batch x in
  std::vector<float> parameters;  ///< 2 x parameter_count, in the order of Model::parameters
};

/// Which variances of its outputs a network gives.
enum class Variances {
  diagonal,    ///< those of the forward pass, which takes the units of each layer as independent
  calibrated,  ///< the diagonal of Executor::linearize's covariance: one reverse pass an output
};

/// A network with its parameters: it predicts, and observations change it.
///
/// It may infer the noise of its targets by a noise head; then it takes no noise variances, and the
/// HostNoise of a call is empty. `outputs` are the values that it predicts, whatever stands beside
/// them. Or its outputs give the probabilities of classes; then a row has one target, a class, NaN
/// where it is missing, and there is no noise either.
///
/// Predictions may run in several threads at once; a change waits for them and keeps them out.
/// Arguments are checked before anything changes, and a call that throws std::invalid_argument
/// leaves the parameters as they were.
class Model {
 public:
  /// Draws the means of the parameters from their priors with `seed`.
  /// With `noise`, adds a noise head; with `classes`, outputs give their probabilities. Throws
  /// std::invalid_argument for a network that cannot have them.
  Model(std::shared_ptr<const Layer> network, UpdateRule rule, std::uint64_t seed,
        std::shared_ptr<Backend> backend, const std::optional<LearnedNoise>& noise = {},
        const std::optional<Forgetting>& forgetting = {}, const math::ClassHead& classes = {});
  /// For a topology that has been made, of the same noise.
  Model(std::shared_ptr<const Topology> topology, UpdateRule rule, std::uint64_t seed,
        std::shared_ptr<Backend> backend, const std::optional<LearnedNoise>& noise,
        const std::optional<Forgetting>& forgetting, const math::ClassHead& classes);
  /// A copy on another backend: the same network, rule and seed, with the parameters and the epochs
  /// that `other` has now.
  Model(const Model& other, std::shared_ptr<Backend> backend);
  ~Model();

  Backend& backend() const { return *backend_; }
  const UpdateRule& rule() const { return rule_; }
  std::uint64_t seed() const { return seed_; }
  std::optional<Index> input_features() const { return topology_->input_features(); }
  /// Throws std::invalid_argument, naming the input x, if the network cannot take so many.
  Index output_features(Index input_features) const;
  /// How many targets a row has: outputs, or one class. Throws as output_features.
  Index target_features(Index input_features) const;
  /// What the outputs say of classes, if they do.
  math::ClassHead class_head() const { return class_head_; }
  /// The noise head, where there is one.
  math::NoiseHead noise_head() const { return noise_head_; }
  const std::vector<ParameterSpec>& parameters() const { return specs_; }
  /// What an input of so many features goes through. Throws as output_features.
  const Graph& graph(Index input_features) const { return *topology_->graph_for(input_features); }
  Index parameter_count() const { return parameter_count_; }

  /// The parameters in the backend's memory, one row in the order of parameters(). No lock is
  /// taken.
  MomentsView parameter_view() { return parameters_.view(); }

  /// Copies all parameters to or from host arrays of parameter_count() values. set_parameters
  /// needs finite means and finite variances of at least 0.
  void get_parameters(HostPointer<float> mean, HostPointer<float> var) const;
  void set_parameters(HostPointer<const float> mean, HostPointer<const float> var);

  /// Writes the prediction for `input` (batch x in). What is asked of the noise comes from the
  /// noise head, or from `noise`.
  ///
  /// Arrays in the backend's memory stay there, and the call returns when all has been done. What
  /// it refuses of them, it names as it does of arrays on the host, but part of the output may have
  /// been written then.
  void predict(const HostMoments& input, const HostNoise& noise, const HostPredictionArrays& output,
               Variances variances = Variances::diagonal) const;
  void predict(const ConstMomentsView& input, const HostNoise& noise,
               const PredictionArrays& output, Variances variances = Variances::diagonal) const;

  /// The probabilities of classes for `input`, written to an array of batch x n_classes. Throws
  /// std::logic_error for a network without classes.
  void predict_proba(const HostMoments& input, HostPointer<float> probabilities,
                     Variances variances = Variances::diagonal) const;

  /// d E[output] / d input at `input` (batch x in) by its first `n_inputs` columns, of the forward
  /// pass through means and variances, written to an array of batch x out x n_inputs.
  void jacobian(const HostMoments& input, Index n_inputs, HostPointer<float> jacobian) const;

  /// Covariances of the outputs for `input`, written to an array of batch x out x out; see
  /// Executor::linearize.
  void covariance(const HostMoments& input, HostPointer<float> covariance) const;

  /// The network with its means drawn from the posterior, from `seed` and the parameters alone, and
  /// variances of 0. Rule, seed, backend and epochs are those of this one.
  std::shared_ptr<Model> draw(std::uint64_t seed) const;

  /// Writes the prediction made before, then updates the parameters by targets (batch x
  /// target_features, NaN = missing) with their noise. For arrays in the backend's memory as
  /// predict.
  void update(const HostMoments& input, HostPointer<const float> target, const HostNoise& noise,
              const HostPredictionArrays& prediction);
  void update(const ConstMomentsView& input, const float* target, const HostNoise& noise,
              const PredictionArrays& prediction);

  /// The innovations that update would apply, without applying them.
  Innovations innovations(const HostMoments& input, HostPointer<const float> target,
                          const HostNoise& noise) const;

  /// How well the prediction for `input` meets targets, without an update.
  PredictionSums evaluate(const HostMoments& input, HostPointer<const float> target,
                          const HostNoise& noise) const;

  /// An executor of the network, for training and predictions on data in the backend's memory.
  /// Throws as output_features.
  std::unique_ptr<Executor> make_executor(Index input_features) const;

  /// Calls `read` or `change` with the parameters in the backend's memory: beside other readers, or
  /// alone. What either has queued must be done before it returns.
  void read_parameters(const std::function<void(ConstMomentsView)>& read) const;
  void change_parameters(const std::function<void(MomentsView)>& change);

  /// The parameters as Executor::predict takes them for an input: without variances where those are
  /// all 0, as in a network that was drawn, and the input has none.
  ConstMomentsView parameters_for(ConstMomentsView input, ConstMomentsView parameters) const;

  /// Whether parameters change between updates: then `forget` is to follow each one, of a batch
  /// that `state` has recorded.
  bool forgets() const { return !parameter_walks_.empty(); }
  /// Queues what the parameters forget after an update, in a call of change_parameters.
  void forget(MomentsView parameters, TrainingState* state);
  /// What the test of the data has led to so far.
  math::DriftState drift() const;
  /// Throws std::invalid_argument unless its numbers are finite and at least 0.
  void set_drift(const math::DriftState& drift);

  /// Epochs of training so far: the noise schedule and the random numbers of an epoch follow it.
  Index epochs_trained() const { return epochs_trained_; }
  /// Throws std::invalid_argument unless epochs >= 0.
  void set_epochs_trained(Index epochs);

 private:
  class WorkspaceLease;

  /// A batch in the backend's memory.
  struct Batch {
    ConstMomentsView input;
    const float* target;
    NoiseView noise;
  };

  /// What follows from the features of an input.
  struct Sizes {
    const std::shared_ptr<const Graph>& graph;
    Index outputs;
    Index targets;  ///< of a row
  };

  /// Writes them to the backend's memory.
  void write_parameters(HostPointer<const float> mean, HostPointer<const float> var);
  /// Throws as output_features.
  Sizes sizes_for(Index input_features) const;
  /// predict and update, wherever the arrays are.
  template <class Input, class Output>
  void predict_rows(const Input& input, const HostNoise& noise, const Output& output,
                    Variances variances) const;
  /// The prediction for rows in the backend's memory, until the next call of the workspace.
  ConstMomentsView predicted(Workspace& workspace, ConstMomentsView rows,
                             Variances variances) const;
  template <class Input, class Target, class Output>
  void update_rows(const Input& input, Target target, const HostNoise& noise,
                   const Output& prediction);
  /// Checks a batch, and takes its arrays to where the backend can use them. Throws
  /// std::invalid_argument for what cannot be learned from.
  template <class Input, class Target>
  Batch checked_batch(Workspace& workspace, const Sizes& sizes, const Input& input, Target target,
                      const HostNoise& noise) const;
  /// Throws unless `noise` has variances where there is neither a noise head nor a class head, and
  /// only there, and weights that are finite and at least 0, if any.
  void check_noise(const HostNoise& noise, Index rows, Index outputs) const;
  /// What Executor::linearize gives for an input of any length; null: not wanted.
  void linearize(const HostMoments& input, Index n_inputs, HostPointer<float> jacobian,
                 HostPointer<float> covariance) const;
  /// The rule's factor on prior variances in a batch.
  float spread_of(const Batch& batch) const;
  /// The prediction for a batch; what the parameters have to learn from it stays in the executor.
  Learned learn(Workspace& workspace, const Batch& batch, bool need_input_delta) const;
  /// Queues the update by a batch that was learned last, and what is forgotten after it.
  void change_by(Workspace& workspace, const Batch& batch, ConstMomentsView prediction);

  std::shared_ptr<Backend> backend_;
  std::shared_ptr<const Topology> topology_;
  UpdateRule rule_;
  std::uint64_t seed_;
  math::NoiseHead noise_head_;
  math::ClassHead class_head_;
  std::vector<ParameterSpec> specs_;
  Index parameter_count_;
  Moments parameters_;
  bool are_parameters_known_ = false;  // all variances are 0, and nothing has changed them since
  std::optional<Forgetting> forgetting_;
  /// One for each array of parameters, or none where nothing is ever forgotten.
  std::vector<ParameterWalk> parameter_walks_;
  Buffer<math::DriftState> drift_;
  std::atomic<Index> epochs_trained_ = 0;

  /// Held by predictions, side by side.
  std::shared_lock<std::shared_mutex> lock_for_reading() const;
  /// Held by a change, alone.
  std::unique_lock<std::shared_mutex> lock_for_change() const;

  mutable std::shared_mutex mutex_;
  mutable std::mutex gate_;  // a waiting change holds it, so that new predictions queue behind it
  mutable std::mutex pool_mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> pool_;
};

}  // namespace tagix
