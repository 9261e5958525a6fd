#pragma once

#include <memory>
#include <vector>

#include "core/executor.h"
#include "core/memory.h"
#include "core/training_state.h"
#include "graph/graph.h"

namespace tagix {

/// Where a prediction for a batch goes, each batch x outputs: the values and their variances; and,
/// unless null, the noise variances of targets, and the sums of both variances. They are in the
/// memory that pointers of this type are to: a backend's, or the host's.
template <class Pointer>
struct BasicPredictionArrays {
  Pointer mean = nullptr;
  Pointer var = nullptr;
  Pointer noise_var = nullptr;
  Pointer total_var = nullptr;

  bool has_noise() const { return noise_var != nullptr; }
  BasicPredictionArrays from(Index offset) const {
    if (!has_noise()) return {mean + offset, var + offset};
    return {mean + offset, var + offset, noise_var + offset, total_var + offset};
  }
};

using PredictionArrays = BasicPredictionArrays<float*>;
using HostPredictionArrays = BasicPredictionArrays<HostPointer<float>>;

/// What one call of a model works with: an executor, and the arrays of the call, which it checks
/// and takes to where the backend can use them. There is a function for arrays on the host and one
/// of the same name for those in the backend's memory.
///
/// Arrays on the host are looked at before anything is done. Those in the backend's memory are
/// looked at there, beside the work: what is found goes to the state, for which an update then
/// changes nothing, and `end_check` looks for the value at fault.
class Workspace {
 public:
  /// For a network of this graph, whose outputs say of noise or classes what these heads say.
  Workspace(Backend& backend, std::shared_ptr<const Graph> graph, math::NoiseHead noise_head,
            math::ClassHead class_head);

  const Graph* graph() const { return graph_.get(); }
  Executor& executor() { return *executor_; }
  /// Begins the state of a call, which all but a prediction for arrays on the host need.
  void start() { state_.assign(TrainingState{}); }
  TrainingState* state() { return state_.data(); }
  /// The state, once all that was queued has been done.
  TrainingState end() const { return state_.first(); }

  // Checks; all of them throw std::invalid_argument with the name of the user's argument.

  /// Of an input: finite means, and finite variances of at least 0.
  void check_input(const HostMoments& input);
  void check_input(const ConstMomentsView& input);

  /// Of targets: not infinite, and classes where there are classes.
  void check_target(HostPointer<const float> target, Index rows, Index cols) const;
  void check_target(const float* target, Index rows, Index cols) const;

  /// Of the prediction that was written to `output`: finite.
  void check_prediction(ConstMomentsView prediction, const HostPredictionArrays& output);
  void check_prediction(ConstMomentsView prediction, const PredictionArrays& output);

  /// Throws if a value of the input was not finite.
  void end_check(const HostMoments& input) const;
  void end_check(const ConstMomentsView& input) const;

  /// Throws if a batch with `n_targets` targets could not be learned.
  void end_check(const HostMoments& input, HostPointer<const float> target, Index n_targets,
                 const HostPredictionArrays& output) const;
  void end_check(const ConstMomentsView& input, const float* target, Index n_targets,
                 const PredictionArrays& output) const;

  // Arrays where operations can use them: as they are, or uploaded. They stay until the next call.

  ConstMomentsView load(const HostMoments& input);
  ConstMomentsView load(const ConstMomentsView& input) { return input; }
  const float* load_target(HostPointer<const float> target, Index size);
  const float* load_target(const float* target, Index) { return target; }
  /// The noise of a call, or that of the network's head.
  NoiseView load_noise(const HostNoise& noise, Index rows, Index outputs);

  /// Takes a prediction of the executor's apart and writes it.
  void write(ConstMomentsView prediction, NoiseView noise, const HostPredictionArrays& output);
  void write(ConstMomentsView prediction, NoiseView noise, const PredictionArrays& output);

  /// A prediction of the executor's with other variances (rows x n) in its first n columns.
  ConstMomentsView with_variances(ConstMomentsView prediction, const float* variances, Index n);

  /// Writes probabilities of classes.
  void write_probabilities(ConstMomentsView prediction, HostPointer<float> probabilities);

 private:
  std::vector<float> to_host(const float* values, Index size) const;
  Index n_values(ConstMomentsView prediction) const {
    return prediction.rows * noise_head_.n_targets(prediction.cols);
  }

  Backend& backend_;
  std::shared_ptr<const Graph> graph_;
  math::NoiseHead noise_head_;
  math::ClassHead class_head_;
  std::unique_ptr<Executor> executor_;
  Moments input_;
  Buffer<float> target_;
  Buffer<float> noise_var_;
  Buffer<float> weight_;
  Moments calibrated_;       // a prediction with other variances
  Moments values_;           // of a prediction that is taken apart
  Buffer<float> variances_;  // its noise variances, then the sums; or probabilities of classes
  Buffer<TrainingState> state_;
};

/// Throws std::invalid_argument for a target (rows x cols) that is infinite, or not a class where
/// it should be one.
void require_targets(const math::ClassHead& classes, HostPointer<const float> target, Index rows,
                     Index cols);

}  // namespace tagix
