#include "graph/innovation_sums.h"

#include "core/executor.h"

namespace tagix::graph {

InnovationSums::InnovationSums(Backend& backend, const Plan& for_learning, bool together)
    : backend_(backend),
      plan_(for_learning),
      together_(together),
      sums_(backend),
      scratch_(backend) {}

void InnovationSums::start(Index n_parameters, bool in_pieces) {
  n_parameters_ = n_parameters;
  n_pieces_ = 0;
  passes_.clear();
  is_summed_ = in_pieces || !together_;
  if (is_summed_) make_room();
}

void InnovationSums::take(const AffinePass& pass) {
  passes_.push_back(pass);
  passes_.back().add = pass.add || n_pieces_ > 0;
  if (!together_) sum_passes();
}

void InnovationSums::end_piece() {
  if (together_ && is_summed_) sum_passes();
  ++n_pieces_;
}

ConstMomentsView InnovationSums::sums() {
  if (!is_summed_) {
    make_room();
    sum_passes();
    is_summed_ = true;
  }
  return sums_.view();
}

void InnovationSums::update(const UpdateRule& rule, Index batch_size, MomentsView parameters,
                            TrainingState* state) {
  if (is_summed_ || plan_.shares_parameters()) {
    update_by(sums(), backend_, rule, batch_size, parameters, state);
    return;
  }
  scratch_.resize(backend_.innovation_scratch(passes_));
  backend_.update_by_passes(rule, batch_size, passes_, parameters, state, scratch_.data());
}

void InnovationSums::make_room() {
  sums_.resize(1, n_parameters_);
  for (const ParameterRange& range : plan_.cleared) {
    backend_.clear_columns(sums_.view().columns(range.offset, range.size));
  }
}

void InnovationSums::sum_passes() {
  scratch_.resize(backend_.innovation_scratch(passes_));
  backend_.affine_innovations(passes_, sums_.view(), scratch_.data());
  passes_.clear();
}

}  // namespace tagix::graph
