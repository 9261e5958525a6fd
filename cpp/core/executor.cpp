#include "core/executor.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace tagix {
namespace {

class LayerwiseExecutor final : public Executor {
 public:
  LayerwiseExecutor(Backend& backend, std::shared_ptr<const Layer> network)
      : Executor(backend),
        network_(std::move(network)),
        trace_(backend),
        deltas_(backend),
        innovation_(backend),
        piece_innovation_(backend),
        prediction_(backend),
        input_delta_(backend),
        tangents_(backend),
        jacobian_(backend),
        covariance_(backend) {}

  ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) override {
    network_->forward(backend_, parameters, input, trace_);
    return trace_.result;
  }

  Linearized linearize(ConstMomentsView parameters, ConstMomentsView input,
                       const Linearization& wanted) override {
    const Index n_jacobian = wanted.n_outputs * wanted.n_directions;
    const Index n_covariance = wanted.covariance ? wanted.n_outputs * wanted.n_outputs : 0;
    jacobian_.resize(input.rows * n_jacobian);
    covariance_.resize(input.rows * n_covariance);
    ConstMomentsView prediction = predict(parameters, input);
    const Index at_once =
        std::max<Index>(1, tangent_rows_at_once / std::max<Index>(1, wanted.n_directions));
    if (input.rows <= at_once) {
      linearize_piece(parameters, input, wanted, jacobian_.data(), covariance_.data());
    } else {
      prediction_.resize(prediction.rows, prediction.cols);
      backend_.copy(prediction, prediction_.view());
      prediction = prediction_.view();
      for (Index first = 0; first < input.rows; first += at_once) {
        const Index rows = std::min(at_once, input.rows - first);
        const ConstMomentsView piece = input.slice(first * input.cols, rows, input.cols);
        predict(parameters, piece);
        linearize_piece(parameters, piece, wanted, jacobian_.data() + first * n_jacobian,
                        covariance_.data() + first * n_covariance);
      }
    }
    return {prediction, n_jacobian > 0 ? jacobian_.data() : nullptr,
            n_covariance > 0 ? covariance_.data() : nullptr};
  }

  Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                const Observations& observations, bool need_input_delta) override {
    innovation_.resize(1, parameters.size());
    if (input.rows <= rows_at_once) {
      return learn_piece(parameters, input, observations, need_input_delta, innovation_.view());
    }
    // Pieces, so that the memory for what a backward pass needs does not grow with the batch.
    piece_innovation_.resize(1, parameters.size());
    if (need_input_delta) input_delta_.resize(input.rows, input.cols);
    const Index outputs = network_->output_features(input.cols);
    prediction_.resize(input.rows, outputs);
    for (Index first = 0; first < input.rows; first += rows_at_once) {
      const Index rows = std::min(rows_at_once, input.rows - first);
      const MomentsView target = first == 0 ? innovation_.view() : piece_innovation_.view();
      const Learned piece =
          learn_piece(parameters, input.slice(first * input.cols, rows, input.cols),
                      observations.from_row(first, outputs), need_input_delta, target);
      if (first > 0) backend_.add(target, innovation_.view());
      backend_.copy(piece.prediction, prediction_.view().slice(first * outputs, rows, outputs));
      if (need_input_delta) {
        backend_.copy(piece.input_delta,
                      input_delta_.view().slice(first * input.cols, rows, input.cols));
      }
    }
    return {prediction_.view(), need_input_delta ? input_delta_.view() : MomentsView{}};
  }

  ConstMomentsView innovation() override { return innovation_.view(); }

  void update(const UpdateRule& rule, Index batch_size, MomentsView parameters,
              TrainingState* state) override {
    update_by(innovation(), backend_, rule, batch_size, parameters, state);
  }

  // Activations of every layer are kept whole: this keeps those of common widths in cache.
  Index prediction_rows() const override { return 1024; }

 private:
  static constexpr Index rows_at_once = 2048;
  static constexpr Index tangent_rows_at_once = 8192;

  /// `linearize` for the rows that were predicted last.
  void linearize_piece(ConstMomentsView parameters, ConstMomentsView input,
                       const Linearization& wanted, float* jacobian, float* covariance) {
    if (wanted.n_directions > 0) {
      backend_.start_tangents(wanted.n_directions,
                              tangents_.start(wanted.n_directions * input.rows, input.cols));
      network_->forward_tangents(backend_, parameters, input, trace_, tangents_);
      backend_.gather_jacobian(tangents_.current(), wanted.n_directions, wanted.n_outputs,
                               jacobian);
    }
    if (!wanted.covariance) return;
    if (network_->is_elementwise()) {
      // Nothing mixes the features, which are independent.
      backend_.affine_covariance({nullptr, nullptr, input.rows, 0},
                                 {nullptr, nullptr, input.cols, 0}, trace_.result.var,
                                 wanted.n_outputs, covariance);
    }
    network_->output_covariance(backend_, parameters, input, trace_, wanted.n_outputs, covariance);
  }

  /// `learn` for rows that go through the layers together; writes their innovations.
  Learned learn_piece(ConstMomentsView parameters, ConstMomentsView input,
                      const Observations& observations, bool need_input_delta,
                      MomentsView innovation) {
    const ConstMomentsView prediction = predict(parameters, input);
    backend_.observe(prediction, observations.target, observations.noise, observations.spread,
                     deltas_.start(prediction.rows, prediction.cols));
    network_->backward(backend_, parameters, input, trace_, need_input_delta, deltas_, innovation);
    return {prediction, need_input_delta ? deltas_.current() : MomentsView{}};
  }

  std::shared_ptr<const Layer> network_;
  Trace trace_;
  Deltas deltas_;
  Moments innovation_;
  // Of batches in pieces: the innovation of one piece, and what the pieces together give.
  Moments piece_innovation_;
  Moments prediction_;
  Moments input_delta_;
  Tangents tangents_;
  Buffer<float> jacobian_;
  Buffer<float> covariance_;
};

}  // namespace

void Executor::train(const UpdateRule& rule, const TrainingRows& rows, Index batch_size,
                     MomentsView parameters, TrainingState* state) {
  Index outputs = 0;  // known after the first batch, which starts at row 0
  for (Index first = 0; first < rows.input.rows; first += batch_size) {
    const Index count = std::min(batch_size, rows.input.rows - first);
    const TrainingRows batch = rows.slice(first, count, outputs);
    const ConstMomentsView prediction =
        learn(parameters, batch.input,
              {batch.target, batch.noise, rule.spread(count, batch.noise.mean_weight)}, false)
            .prediction;
    outputs = prediction.cols;
    backend_.record_predictions(prediction, batch.target, batch.noise, state);
    update(rule, count, parameters, state);
  }
}

Linearized linearize_with(Executor& other, Executor& executor, ConstMomentsView parameters,
                          ConstMomentsView input, const Linearization& wanted) {
  Linearized linearized = other.linearize(parameters, input, wanted);
  linearized.prediction = executor.predict(parameters, input);
  return linearized;
}

void update_by(ConstMomentsView innovation, Backend& backend, const UpdateRule& rule,
               Index batch_size, MomentsView parameters, TrainingState* state) {
  backend.check_innovation(innovation, state);
  backend.update(rule, batch_size, innovation, parameters, state);
}

std::unique_ptr<Executor> make_layerwise_executor(Backend& backend,
                                                  std::shared_ptr<const Layer> network) {
  return std::make_unique<LayerwiseExecutor>(backend, std::move(network));
}

std::unique_ptr<Executor> make_executor(Backend& backend, std::shared_ptr<const Layer> network) {
  std::vector<Step> steps;
  const bool has_steps = network->append_steps(steps);
  std::unique_ptr<Executor> layerwise = make_layerwise_executor(backend, std::move(network));
  return has_steps ? backend.fuse(steps, std::move(layerwise)) : std::move(layerwise);
}

}  // namespace tagix
