#include <stdexcept>

#include "core/require.h"
#include "graph/rules.h"

namespace tagix::graph {
namespace {

struct ForwardTangents {
  TangentPass& of;
  Value node;
  MomentsView room;

  Backend& backend() const { return of.pass.backend; }
  const Graph& graph() const { return of.pass.graph; }
  MomentsView tangents(Value x) const { return of.tangents[static_cast<std::size_t>(x)]; }

  void operator()(const Input& op) const {
    if (graph().is_whole_row(node)) return;
    const MomentsView target = room.slice(0, of.row.rows, graph().shape(node).size());
    backend().copy_columns(of.row.columns(op.first_column, target.cols), all_columns(target));
  }

  void operator()(const Affine& op) const {
    backend().affine_tangents(of.pass.value(op.x), weight_of(graph(), node, of.pass.parameters),
                              tangents(op.x), room);
  }

  void operator()(const Activate& op) const {
    if (op.residual) {
      const std::string& path = graph().node(node).path;
      throw std::logic_error(text(path, path.empty() ? "" : ": ", "x + f(x) has no tangents"));
    }
    const ConstMomentsView x = of.pass.value(op.x);
    of.slopes.resize(4 * x.size());
    const SlopesView slopes = SlopesView::planes(of.slopes.data(), x.size());
    if (const auto* spec = std::get_if<math::ActivationSpec>(&op.function)) {
      backend().activation_slopes(*spec, x, slopes);
    } else {
      const auto& user = std::get<UserFunction>(op.function);
      function_slopes(backend(), *user.function, user.form, x, slopes);
    }
    scale(slopes, x.size(), tangents(op.x));
  }

  /// Takes tangents through slopes, to `room`.
  void scale(ConstSlopesView slopes, Index size, MomentsView below) const {
    if (below.mean != room.mean) backend().copy(below, room);
    backend().scale_tangents(slopes, size, room);
  }

  void operator()(const Mix& op) const {
    backend().mix(tangents(op.x), of.pass.taps.of(*op.taps), /*add=*/false, room);
  }

  void operator()(const Add& op) const {
    backend().copy(tangents(op.xs[0]), room);
    for (std::size_t i = 1; i < op.xs.size(); ++i) backend().add(tangents(op.xs[i]), room);
  }

  void operator()(const Concat& op) const {
    Index first = 0;
    for (Value x : op.xs) {
      const ConstMomentsView part = tangents(x);
      backend().copy_columns(all_columns(part), room.columns(first, part.cols));
      first += part.cols;
    }
  }

  void operator()(const Slice& op) const {
    const ConstMomentsView x = tangents(op.x);
    backend().copy_columns(x.columns(op.first_channel, room.cols), all_columns(room));
  }

  void operator()(const Reshape&) const {}

  void operator()(const Product& op) const {
    // By the slopes of each factor in turn; those of the second are added.
    const ConstMomentsView a = of.pass.value(op.a), b = of.pass.value(op.b);
    of.slopes.resize(4 * a.size());
    const SlopesView slopes = SlopesView::planes(of.slopes.data(), a.size());
    backend().product_slopes(a, b, slopes);
    scale(slopes, a.size(), tangents(op.a));
    of.second_factor.resize(room.rows, room.cols);
    const MomentsView of_b = of.second_factor.view();
    backend().copy(tangents(op.b), of_b);
    backend().product_slopes(b, a, slopes);
    backend().scale_tangents(slopes, a.size(), of_b);
    backend().add(of_b, room);
  }
};

}  // namespace

void forward_tangents(TangentPass& tangents, Value node, MomentsView room) {
  std::visit(ForwardTangents{tangents, node, room}, tangents.pass.graph.node(node).op);
  tangents.tangents[static_cast<std::size_t>(node)] = room;
}

}  // namespace tagix::graph
