#include "step_executor.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "affine.h"
#include "core/memory.h"
#include "fused_activation.h"
#include "graph.h"

namespace tagix::cuda {
namespace {

/// One or two steps that run together, with what they leave behind for the backward pass.
struct Node {
  explicit Node(Backend& backend) : output(backend), jacobian(backend), delta_input(backend) {}

  std::optional<AffineStep> affine;
  std::optional<math::ActivationSpec> activation;
  Index features = 0;    ///< of the output
  Index parameters = 0;  ///< offset of the affine map's

  ConstMomentsView input;  ///< of the last call
  Moments output;
  Buffer<float> jacobian;  ///< of the activation, where there is one
  ConstMomentsView delta;  ///< of the affine map's output
  Moments delta_input;

  ConstMomentsView weight_of(ConstMomentsView all) const {
    return all.slice(parameters, affine->out_features, affine->in_features);
  }
  ConstMomentsView bias_of(ConstMomentsView all) const {
    if (!affine->bias) return {};
    return all.slice(parameters + affine->weight_size(), 1, affine->out_features);
  }
};

class StepExecutor final : public Executor {
 public:
  StepExecutor(Backend& backend, const std::vector<Step>& steps, std::unique_ptr<Executor> by_graph,
               Index memory_floats)
      : Executor(backend),
        by_graph_(std::move(by_graph)),
        memory_floats_(memory_floats),
        output_delta_(backend),
        partial_(backend),
        innovation_(backend),
        prediction_(backend),
        input_delta_(backend) {
    for (const Step& step : steps) {
      if (const auto* affine = std::get_if<AffineStep>(&step)) {
        nodes_.emplace_back(backend);
        nodes_.back().affine = *affine;
        nodes_.back().features = affine->out_features;
        nodes_.back().parameters = parameter_count_;
        parameter_count_ += affine->parameter_count();
        continue;
      }
      const auto& activation = std::get<math::ActivationSpec>(step);
      const bool joins = !nodes_.empty() && nodes_.back().affine && !nodes_.back().activation &&
                         is_fused_activation(activation);
      if (!joins) nodes_.emplace_back(backend);
      nodes_.back().activation = activation;
    }
  }

  ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) override {
    for (Node& node : nodes_) {
      node.input = input;
      if (!node.affine) node.features = input.cols;
      node.output.resize(input.rows, node.features);
      if (node.activation) node.jacobian.resize(input.rows * node.features);
      const MomentsView output = node.output.view();
      if (!node.affine) {
        backend_.activation_forward(*node.activation, input, output, node.jacobian.data());
      } else if (node.activation) {
        affine_activation_forward(precision(), input, node.weight_of(parameters),
                                  node.bias_of(parameters), *node.activation, output,
                                  node.jacobian.data());
      } else {
        affine_forward(precision(), input, node.weight_of(parameters), node.bias_of(parameters),
                       output);
      }
      input = output;
    }
    return input;
  }

  Linearized linearize(ConstMomentsView parameters, ConstMomentsView input,
                       const Linearization& wanted) override {
    return linearize_with(*by_graph_, *this, parameters, input, wanted);
  }

  Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                const Observations& observations, bool need_input_delta) override {
    const Index at_once = learning_rows(input.cols);
    summed_ = input.rows > at_once;
    if (!summed_) return learn_piece(parameters, input, observations, need_input_delta);
    // Pieces, so that the memory for what a backward pass needs is bounded.
    innovation_.resize(1, parameter_count_);
    if (need_input_delta) input_delta_.resize(input.rows, input.cols);
    for (Index first = 0; first < input.rows; first += at_once) {
      const Index rows = std::min(at_once, input.rows - first);
      const Index outputs = output_features(input.cols);
      prediction_.resize(input.rows, outputs);
      const Learned piece =
          learn_piece(parameters, input.slice(first * input.cols, rows, input.cols),
                      observations.from_row(first, outputs), need_input_delta);
      backend_.copy(piece.prediction, prediction_.view().slice(first * outputs, rows, outputs));
      if (need_input_delta) {
        backend_.copy(piece.input_delta,
                      input_delta_.view().slice(first * input.cols, rows, input.cols));
      }
      plan();
      sum_innovations(precision(), problems_, partial_.data(), nullptr);
      reduce_innovations(problems_, partial_.data(), innovation_.view(), /*add=*/first > 0);
    }
    return {prediction_.view(), need_input_delta ? input_delta_.view() : MomentsView{}};
  }

  ConstMomentsView innovation() override {
    if (!summed_) {
      plan();
      innovation_.resize(1, parameter_count_);
      sum_innovations(precision(), problems_, partial_.data(), nullptr);
      reduce_innovations(problems_, partial_.data(), innovation_.view(), /*add=*/false);
      summed_ = true;
    }
    return innovation_.view();
  }

  void update(const UpdateRule& rule, Index batch_size, MomentsView parameters,
              TrainingState* state) override {
    if (summed_) {
      update_by(innovation_.view(), backend_, rule, batch_size, parameters, state);
      return;
    }
    plan();
    sum_innovations(precision(), problems_, partial_.data(), state);
    reduce_and_update(problems_, partial_.data(), rule, batch_size, parameters, state);
  }

  Index prediction_rows() const override { return 1 << 16; }

  std::unique_ptr<Recording> record(const std::function<void()>& queue) override {
    return record_graph(queue);
  }

 private:
  Precision precision() const { return backend_.precision(); }

  Index output_features(Index input_features) const {
    for (const Node& node : nodes_) {
      if (node.affine) input_features = node.affine->out_features;
    }
    return input_features;
  }

  /// Rows that are learned from at a time.
  Index learning_rows(Index input_features) const {
    Index of_row = 0;
    for (const Node& node : nodes_) {
      if (node.affine) input_features = node.affine->out_features;
      of_row += 5 * input_features;  // mean, variance, Jacobian and two planes of innovations
    }
    return std::max<Index>(1, memory_floats_ / of_row);
  }

  Learned learn_piece(ConstMomentsView parameters, ConstMomentsView input,
                      const Observations& observations, bool need_input_delta) {
    const ConstMomentsView prediction = predict(parameters, input);
    output_delta_.resize(prediction.rows, prediction.cols);
    MomentsView delta = output_delta_.view();
    backend_.observe(prediction, observations.target, observations.noise, observations.spread,
                     delta);
    // `delta` is that of the node's output; an affine map passes it on below the Jacobian of the
    // activation that it meets there.
    bool below_jacobian = false;
    for (std::size_t i = nodes_.size(); i-- > 0;) {
      Node& node = nodes_[i];
      if (node.activation && !below_jacobian) {
        backend_.scale_deltas(node.jacobian.data(), delta);
      }
      below_jacobian = false;
      if (!node.affine) continue;
      node.delta = delta;
      if (i == 0 && !need_input_delta) return {prediction, {}};
      const Node* below = i == 0 ? nullptr : &nodes_[i - 1];
      below_jacobian = below != nullptr && below->activation.has_value();
      node.delta_input.resize(input.rows, node.affine->in_features);
      affine_backward(precision(), delta, node.weight_of(parameters),
                      below_jacobian ? below->jacobian.data() : nullptr, node.delta_input.view());
      delta = node.delta_input.view();
    }
    return {prediction, need_input_delta ? delta : MomentsView{}};
  }

  /// Says what the parameters' innovations are summed from, and makes room for the sums.
  void plan() {
    problems_.clear();
    for (const Node& node : nodes_) {
      if (!node.affine) continue;
      InnovationProblem problem{};
      problem.input = node.input;
      problem.delta = node.delta;
      problem.bias = node.affine->bias;
      problems_.push_back(problem);
    }
    partial_.resize(plan_innovations(precision(), problems_));
  }

  std::unique_ptr<Executor> by_graph_;
  Index memory_floats_;
  std::vector<Node> nodes_;
  Index parameter_count_ = 0;
  Moments output_delta_;
  std::vector<InnovationProblem> problems_;
  Buffer<float> partial_;
  bool summed_ = false;  // whether innovation_ holds the innovations of what was learned last
  Moments innovation_;
  // Of batches in pieces.
  Moments prediction_;
  Moments input_delta_;
};

}  // namespace

std::unique_ptr<Executor> make_step_executor(Backend& backend, const std::vector<Step>& steps,
                                             std::unique_ptr<Executor> by_graph,
                                             Index memory_floats) {
  return std::make_unique<StepExecutor>(backend, steps, std::move(by_graph), memory_floats);
}

}  // namespace tagix::cuda
