#include "graph/rules.h"

namespace tagix::graph {
namespace {

struct Backward {
  const Pass& pass;
  Value node;
  const Plan::NodePlan& plan;
  MomentsView delta;
  std::span<const Below> below;
  MomentsView spare;
  const Learning& learning;

  Backend& backend() const { return pass.backend; }

  /// Writes or adds columns of `delta` to the innovation of an input, or to columns of it.
  void hand_over(Handover handover, ConstColumnsView part, ColumnsView target) const {
    if (handover == Handover::write) backend().copy_columns(part, target);
    if (handover == Handover::add) backend().add_columns(part, target);
  }

  void operator()(const Input&) const {}

  void operator()(const Affine& op) const {
    sum_innovations(op);
    const auto& [handover, delta_input] = below[0];
    const ConstMomentsView weight = weight_of(pass.graph, node, pass.parameters);
    if (handover == Handover::write) backend().affine_backward(delta, weight, delta_input);
    if (handover == Handover::add) {
      backend().affine_backward(delta, weight, spare);
      backend().add(spare, delta_input);
    }
  }

  void sum_innovations(const Affine& op) const {
    const ConstMomentsView x = pass.value(op.x);
    const MomentsView weight = weight_of(pass.graph, node, learning.innovation);
    const MomentsView bias = bias_of(pass.graph, node, learning.innovation);
    if (plan.shared.empty()) {
      backend().affine_innovation(x, delta, weight, bias);
      return;
    }
    learning.shared.resize(1, weight.size() + bias.size());
    const MomentsView sums = learning.shared.view();
    const MomentsView weight_sums = sums.slice(0, weight.rows, weight.cols);
    const MomentsView bias_sums = op.bias ? sums.slice(weight.size(), 1, bias.cols) : MomentsView{};
    backend().affine_innovation(x, delta, weight_sums, bias_sums);
    for (const SharedPart& part : plan.shared) {
      const bool in_weight = part.offset >= op.weight && part.offset < op.weight + weight.size();
      const ConstMomentsView source = in_weight
                                          ? sums.slice(part.offset - op.weight, 1, part.size)
                                          : bias_sums.slice(part.offset - *op.bias, 1, part.size);
      const MomentsView target = learning.innovation.slice(part.offset, 1, part.size);
      if (part.add) {
        backend().add(source, target);
      } else {
        backend().copy(source, target);
      }
    }
  }

  void operator()(const Activate&) const { scale(pass.jacobian(node), below[0]); }

  void scale(const float* jacobian, const Below& input) const {
    if (input.handover == Handover::none) return;
    if (input.handover == Handover::in_place) {
      backend().scale_deltas(jacobian, delta);
    } else {
      backend().scale_deltas_to(jacobian, delta, input.handover == Handover::add, input.delta);
    }
  }

  void operator()(const Mix& op) const {
    const auto& [handover, delta_input] = below[0];
    if (handover == Handover::none) return;
    backend().mix(delta, pass.taps.of(op.taps->transposed()), handover == Handover::add,
                  delta_input);
  }

  void operator()(const Add&) const {
    for (const auto& [handover, delta_input] : below) {
      hand_over(handover, all_columns(delta), all_columns(delta_input));
    }
  }

  void operator()(const Concat&) const {
    Index first = 0;
    for (const auto& [handover, delta_input] : below) {
      const Index cols = delta_input.cols;
      hand_over(handover, delta.columns(first, cols), all_columns(delta_input));
      first += cols;
    }
  }

  void operator()(const Slice& op) const {
    const auto& [handover, delta_input] = below[0];
    if (handover == Handover::write) backend().clear_columns(all_columns(delta_input));
    hand_over(handover, all_columns(delta), delta_input.columns(op.first_channel, delta.cols));
  }

  void operator()(const Reshape&) const {
    const auto& [handover, delta_input] = below[0];
    if (handover == Handover::none) return;
    hand_over(handover, all_columns(delta.slice(0, delta_input.rows, delta_input.cols)),
              all_columns(delta_input));
  }

  void operator()(const Product& op) const {
    scale(pass.value(op.b).mean, below[0]);
    scale(pass.value(op.a).mean, below[1]);
  }
};

}  // namespace

void backward(const Pass& pass, Value node, const Plan::NodePlan& plan, MomentsView delta,
              std::span<const Below> below, MomentsView spare, const Learning& learning) {
  std::visit(Backward{pass, node, plan, delta, below, spare, learning}, pass.graph.node(node).op);
}

}  // namespace tagix::graph
