#include "graph/rules.h"

namespace tagix::graph {
namespace {

struct Backward {
  const Pass& pass;
  const Plan& plan;
  Value node;
  MomentsView delta;
  std::span<const Below> below;
  MomentsView spare;

  Backend& backend() const { return pass.backend; }
  const Plan::NodePlan& planned(Value x) const { return plan.nodes[static_cast<std::size_t>(x)]; }

  /// Writes or adds columns of `delta` to the innovation of an input, or to columns of it.
  void hand_over(Handover handover, ConstColumnsView part, ColumnsView target) const {
    if (handover == Handover::write) backend().copy_columns(part, target);
    if (handover == Handover::add) backend().add_columns(part, target);
  }

  void operator()(const Input&) const {}

  void operator()(const Affine& op) const {
    const auto& [handover, delta_input] = below[0];
    const ConstMomentsView weight = weight_of(pass.graph, node, pass.parameters);
    const float* const jacobian = planned(op.x).scaled_by_reader ? pass.jacobian(op.x) : nullptr;
    if (handover == Handover::write) {
      backend().affine_backward(delta, weight, jacobian, delta_input);
    }
    if (handover == Handover::add) {
      backend().affine_backward(delta, weight, jacobian, spare);
      backend().add(spare, delta_input);
    }
  }

  void operator()(const Activate&) const {
    if (planned(node).scaled_by_reader) {
      hand_over(below[0].handover, all_columns(delta), all_columns(below[0].delta));
    } else {
      scale(pass.jacobian(node), below[0]);
    }
  }

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

void backward(const Pass& pass, const Plan& plan, Value node, MomentsView delta,
              std::span<const Below> below, MomentsView spare) {
  std::visit(Backward{pass, plan, node, delta, below, spare}, pass.graph.node(node).op);
}

AffinePass affine_pass(const Pass& pass, const Plan& plan, Value node, ConstMomentsView delta) {
  const auto& op = std::get<Affine>(pass.graph.node(node).op);
  return {pass.value(op.x), delta, op.weight, op.bias,
          plan.nodes[static_cast<std::size_t>(node)].add};
}

}  // namespace tagix::graph
