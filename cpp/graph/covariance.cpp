#include <algorithm>
#include <stdexcept>

#include "core/require.h"
#include "graph/rules.h"

namespace tagix::graph {
namespace {

/// A square block of the covariances of each row: `n` channels from `first` on, of `n_all`.
struct Block {
  float* covariance;
  Index n_all;
  Index first;
  Index n;

  /// Row i of the block in every matrix.
  ColumnsView row(Index i, Index batch) const {
    return {covariance + (first + i) * n_all + first, nullptr, batch, n, n_all * n_all};
  }
};

struct Covariance {
  const CovariancePass& of;
  const Pass& pass;
  Value node;
  Index n;
  float* covariance;

  Backend& backend() const { return pass.backend; }
  Index rows() const { return pass.rows(); }

  ColumnsView matrices(float* of, Index n_each) const {
    return {of, nullptr, rows(), n_each * n_each, n_each * n_each};
  }
  void of_value(Value x, Index n_each, float* target) const {
    graph::covariance(of, x, n_each, target);
  }
  /// Memory of this node for the covariances of some of the values below it.
  float* room(Index n_each) const {
    Buffer<float>& buffer = of.scratch[static_cast<std::size_t>(node)];
    buffer.resize(rows() * n_each * n_each);
    return buffer.data();
  }
  void copy_block(const Block& from, const Block& to) const {
    for (Index i = 0; i < from.n; ++i) {
      backend().copy_columns(from.row(i, rows()), to.row(i, rows()));
    }
  }
  [[noreturn]] void refuse(const char* operation) const {
    const std::string& path = pass.graph.node(node).path;
    throw std::logic_error(
        text(path, path.empty() ? "" : ": ", "outputs above ", operation, " have no covariances"));
  }
  void require_one_position() const {
    if (pass.graph.shape(node).positions() != 1) refuse("a grid");
  }

  void operator()(const Input&) const {
    // Independent, with variances or without.
    const ConstMomentsView x = pass.as_rows(node, pass.value(node));
    if (x.var == nullptr) {
      backend().clear_columns(matrices(covariance, n));
    } else {
      backend().affine_covariance({nullptr, nullptr, rows(), 0}, {nullptr, nullptr, x.cols, 0},
                                  x.var, n, covariance);
    }
  }

  void operator()(const Affine& op) const {
    require_one_position();
    backend().affine_covariance(pass.value(op.x), weight_of(pass.graph, node, pass.parameters),
                                pass.value(node).var, n, covariance);
  }

  void operator()(const Activate& op) const {
    of_value(op.x, n, covariance);
    backend().scale_covariance(pass.jacobian(node), pass.as_rows(node, pass.value(node)), n,
                               covariance);
  }

  void operator()(const Mix&) const { refuse("a sum over positions"); }

  void operator()(const Add& op) const {
    of_value(op.xs[0], n, covariance);
    float* const term = room(n);
    for (std::size_t i = 1; i < op.xs.size(); ++i) {
      of_value(op.xs[i], n, term);
      backend().add_columns(matrices(term, n), matrices(covariance, n));
    }
  }

  void operator()(const Concat& op) const {
    require_one_position();
    backend().clear_columns(matrices(covariance, n));
    Index first = 0;
    for (Value x : op.xs) {
      const Index n_part = std::min(pass.graph.shape(x).channels, n - first);
      if (n_part <= 0) return;
      float* const part = room(n_part);
      of_value(x, n_part, part);
      copy_block({part, n_part, 0, n_part}, {covariance, n, first, n_part});
      first += n_part;
    }
  }

  void operator()(const Slice& op) const {
    require_one_position();
    const Index n_all = op.first_channel + n;
    float* const all = room(n_all);
    of_value(op.x, n_all, all);
    copy_block({all, n_all, op.first_channel, n}, {covariance, n, 0, n});
  }

  void operator()(const Reshape& op) const { of_value(op.x, n, covariance); }

  void operator()(const Product&) const { refuse("a product"); }
};

}  // namespace

void covariance(const CovariancePass& of, Value node, Index n_outputs, float* covariance) {
  std::visit(Covariance{of, of.pass, node, n_outputs, covariance}, of.pass.graph.node(node).op);
}

}  // namespace tagix::graph
