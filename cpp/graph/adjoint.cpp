#include <stdexcept>

#include "core/require.h"
#include "graph/pass_down.h"

namespace tagix::graph {
namespace {

struct Adjoint : PassDown {
  const AdjointPass& of;
  MomentsView spare;

  using PassDown::operator();

  [[noreturn]] void refuse(const char* what) const {
    const std::string& path = pass.graph.node(node).path;
    throw std::logic_error(text(path, path.empty() ? "" : ": ", what));
  }

  /// Adds G diag(var) G^T, of variances of the elements of the node's value, to the covariances.
  void add_spread(const float* var) const {
    const Index size = pass.graph.shape(node).size();
    backend().add_spread({delta.mean, nullptr, of.n_outputs * pass.rows(), size}, var, of.n_outputs,
                         of.covariances, of.covariance);
  }

  float* plane() const {
    of.spread.resize(pass.rows() * pass.graph.shape(node).size());
    return of.spread.data();
  }

  void operator()(const Input&) const {
    const float* const var = pass.value(node).var;
    if (of.covariance != nullptr && var != nullptr) add_spread(var);
  }

  void operator()(const Affine& op) const {
    const ConstMomentsView x = pass.value(op.x);
    const ConstMomentsView weight = weight_of(pass.graph, node, pass.parameters);
    if (of.covariance != nullptr) {
      // The positions of a grid share their weights, and so vary together.
      if (pass.graph.shape(node).positions() != 1)
        refuse("outputs above a grid have no covariances");
      float* const spread = plane();
      backend().affine_spread(x, weight, bias_of(pass.graph, node, pass.parameters), spread);
      add_spread(spread);
    }
    const auto& [handover, below_x] = below[0];
    if (handover == Handover::none) return;
    const MomentsView target = handover == Handover::add ? spare : below_x;
    backend().affine_adjoint(x, weight, delta, target);
    if (handover == Handover::add) backend().add(spare, below_x);
  }

  void operator()(const Activate& op) const {
    const ConstMomentsView x = pass.value(op.x);
    if (of.covariance != nullptr && x.var != nullptr) {
      float* const excess = plane();
      backend().activation_excess(x.var, pass.jacobian(node), pass.value(node).var, x.size(),
                                  excess);
      add_spread(excess);
    }
    if (below[0].handover == Handover::none) return;
    const SlopesView slopes = room_for_slopes(x.size());
    if (const auto* spec = std::get_if<math::ActivationSpec>(&op.function)) {
      backend().activation_slopes(*spec, x, op.residual, slopes);
    } else {
      const auto& user = std::get<UserFunction>(op.function);
      function_slopes(backend(), *user.function, user.form, x, op.residual, slopes);
    }
    scale(slopes, x.size(), below[0]);
  }

  void operator()(const Product& op) const {
    const ConstMomentsView a = pass.value(op.a), b = pass.value(op.b);
    if (of.covariance != nullptr && a.var != nullptr && b.var != nullptr) {
      float* const excess = plane();
      backend().product_excess(a.var, b.var, a.size(), excess);
      add_spread(excess);
    }
    const SlopesView slopes = room_for_slopes(a.size());
    backend().product_slopes(a, b, slopes);
    scale(slopes, a.size(), below[0]);
    backend().product_slopes(b, a, slopes);
    scale(slopes, a.size(), below[1]);
  }

  SlopesView room_for_slopes(Index size) const {
    of.slopes.resize(4 * size);
    return SlopesView::planes(of.slopes.data(), size);
  }

  void scale(ConstSlopesView slopes, Index size, const Below& input) const {
    if (input.handover == Handover::none) return;
    backend().scale_adjoint(slopes, size, delta, input.handover == Handover::add, input.delta);
  }
};

}  // namespace

void adjoint(const AdjointPass& of, Value node, ConstMomentsView delta,
             std::span<const Below> below, MomentsView spare) {
  std::visit(Adjoint{{of.pass, node, delta, below}, of, spare}, of.pass.graph.node(node).op);
}

}  // namespace tagix::graph
