#include "graph/pass_down.h"
#include "graph/windows.h"

namespace tagix::graph {
namespace {

struct Backward : PassDown {
  const Plan& plan;
  MomentsView own_delta;  // the delta that goes down, to be changed in place
  MomentsView spare;

  using PassDown::operator();

  const Plan::NodePlan& planned(Value x) const { return plan.nodes[static_cast<std::size_t>(x)]; }

  void operator()(const Affine& op) const {
    const auto& [handover, delta_input] = below[0];
    if (handover == Handover::none) return;
    const float* const jacobian = planned(op.x).scaled_by_reader ? pass.jacobian(op.x) : nullptr;
    const MomentsView target = handover == Handover::add ? spare : delta_input;
    if (op.taps == nullptr) {
      backend().affine_backward(delta, weight_of(pass.graph, node, pass.parameters), jacobian,
                                target);
    } else {
      WindowedAffine(pass, node).backward(delta, jacobian, target);
    }
    if (handover == Handover::add) backend().add(spare, delta_input);
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
      backend().scale_deltas(jacobian, own_delta);
    } else {
      backend().scale_deltas_to(jacobian, delta, input.handover == Handover::add, input.delta);
    }
  }

  void operator()(const Normalise& op) const {
    const ConstMomentsView value = pass.value(node);
    normalise(op, {value.mean, nullptr, value.rows, value.cols});
  }

  void operator()(const Product& op) const {
    scale(pass.value(op.b).mean, below[0]);
    scale(pass.value(op.a).mean, below[1]);
  }
};

}  // namespace

void backward(const Pass& pass, const Plan& plan, Value node, MomentsView delta,
              std::span<const Below> below, MomentsView spare) {
  std::visit(Backward{{pass, node, delta, below}, plan, delta, spare}, pass.graph.node(node).op);
}

void learn_affine(const Pass& pass, const Plan& plan, Value node, ConstMomentsView delta,
                  const std::function<void(const AffinePass&)>& take) {
  const auto& op = std::get<Affine>(pass.graph.node(node).op);
  const bool add = plan.nodes[static_cast<std::size_t>(node)].add;
  if (op.taps == nullptr) {
    take({pass.value(op.x), delta, op.weight, op.bias, add});
  } else {
    WindowedAffine(pass, node).learn(delta, add, take);
  }
}

}  // namespace tagix::graph
