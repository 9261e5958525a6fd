#include "core/executor.h"

#include <algorithm>

namespace tagix {

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
    backend_.sum_predictions(prediction, batch.target, batch.noise, state);
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
  backend.check_finite(innovation, state);
  backend.update(rule, batch_size, innovation, parameters, state);
}

}  // namespace tagix
