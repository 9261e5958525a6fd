#include <algorithm>

#include "core/function_moments.h"
#include "graph/pass_down.h"
#include "graph/windows.h"

namespace tagix::graph {
namespace {

struct Adjoint : PassDown {
  const AdjointPass& of;
  MomentsView spare;

  using PassDown::operator();

  /// Adds G diag(var) G^T, of variances of the elements of the node's value, to the covariances.
  void add_spread(const float* var) const {
    const Index size = pass.graph.shape(node).size();
    backend().add_spread({delta.mean, nullptr, of.n_outputs * pass.rows(), size}, var, size,
                         of.n_outputs, of.covariances, of.covariance);
  }

  /// What an affine map adds; with `by_var`, what it adds to the variances of its input alone.
  void add_affine_spread(const Affine& op, ConstMomentsView x, ConstMomentsView weight,
                         bool by_var) const {
    float* const spread = plane();
    if (op.taps != nullptr) {
      WindowedAffine(pass, node).spread(by_var, spread);
    } else if (by_var) {
      backend().affine_spread({nullptr, x.var, x.rows, x.cols}, weight, {}, spread);
    } else {
      backend().affine_spread(x, weight, bias_of(pass.graph, node, pass.parameters), spread);
    }
    add_spread(spread);
  }

  void add_shared(const Affine& op, ConstMomentsView x, ConstMomentsView weight) const {
    if (x.var != nullptr) add_affine_spread(op, x, weight, /*by_var=*/true);
    add_parameter_adjoint({op.weight, weight.size()}, [&](ColumnsView sums) {
      if (op.taps != nullptr) {
        WindowedAffine(pass, node).add_weight_adjoint(of.n_outputs, delta, sums);
      } else {
        backend().add_weight_adjoint(x.mean, x.cols, delta, of.n_outputs, sums);
      }
    });
    if (!op.bias) return;
    add_parameter_adjoint({*op.bias, weight.rows}, [&](ColumnsView sums) {
      backend().add_weight_adjoint(nullptr, 1, delta, of.n_outputs, sums);
    });
  }

  /// Adds the adjoint of a weight or of a bias, by add_to(sums), to what other maps have added;
  /// after the last of them, what the parameters contribute to the covariances.
  template <class AddTo>
  void add_parameter_adjoint(const ParameterRange& own, const AddTo& add_to) const {
    const auto shared = std::find_if(of.plan.shared.begin(), of.plan.shared.end(),
                                     [&own](const SharedParameters& of_range) {
                                       const auto& [offset, size] = of_range.range;
                                       return offset <= own.offset && own.offset < offset + size;
                                     });
    const auto& [offset, size] = shared->range;
    const MomentsView sums{of.memory[shared->adjoint], nullptr, of.n_outputs * pass.rows(), size};
    if (node == shared->first) backend().clear_columns(all_columns(sums));
    add_to(sums.columns(own.offset - offset, own.size));
    if (node != shared->last) return;
    backend().add_spread(sums, pass.parameters.var + offset, /*var_stride=*/0, of.n_outputs,
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
    if (of.covariance != nullptr && of.plan.nodes[static_cast<std::size_t>(node)].is_shared) {
      add_shared(op, x, weight);
    } else if (of.covariance != nullptr) {
      add_affine_spread(op, x, weight, /*by_var=*/false);
    }
    const auto& [handover, below_x] = below[0];
    if (handover == Handover::none) return;
    const MomentsView target = handover == Handover::add ? spare : below_x;
    if (op.taps != nullptr) {
      WindowedAffine(pass, node).adjoint(of.n_outputs, delta, target);
    } else {
      backend().affine_adjoint(x, weight, delta, target);
    }
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

  void operator()(const Normalise& op) const { normalise(op, pass.value(node)); }

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
