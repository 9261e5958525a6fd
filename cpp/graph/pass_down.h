#pragma once

#include <span>

#include "graph/rules.h"

namespace tagix::graph {

/// What goes from the value of a node to its inputs, where it goes unchanged: to the elements that
/// an input has contributed, or by the transposed table of a sum over positions. Rules that go down
/// the graph share it, and each adds what it does at affine maps, activations, products and
/// norms.
struct PassDown {
  const Pass& pass;
  Value node;
  ConstMomentsView delta;
  std::span<const Below> below;

  Backend& backend() const { return pass.backend; }

  /// Writes or adds columns of `delta` to what arrives at an input, or at columns of it.
  void hand_over(Handover handover, ConstColumnsView part, ColumnsView target) const {
    if (handover == Handover::write) backend().copy_columns(part, target);
    if (handover == Handover::add) backend().add_columns(part, target);
  }

  void operator()(const Input&) const {}

  void operator()(const Mix& op) const {
    const auto& [handover, delta_input] = below[0];
    if (handover == Handover::none) return;
    backend().mix(delta, pass.taps.of(op.taps->transposed()), handover == Handover::add,
                  delta_input);
  }

  void operator()(const Largest& op) const {
    const auto& [handover, delta_input] = below[0];
    if (handover == Handover::none) return;
    backend().largest_backward(delta, pass.jacobian(node), pass.value(node).size(),
                               pass.taps.windows_of(op.taps->transposed()),
                               handover == Handover::add, delta_input);
  }

  /// With the output's means alone innovations go down, with both moments adjoints.
  void normalise(const Normalise& op, ConstMomentsView output) const {
    const auto& [handover, delta_input] = below[0];
    if (handover == Handover::none) return;
    backend().normalise_backward(output, pass.jacobian(node), op.sets, delta,
                                 handover == Handover::add, delta_input);
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
};

}  // namespace tagix::graph
