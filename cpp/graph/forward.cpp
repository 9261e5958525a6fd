#include <optional>

#include "core/function_moments.h"
#include "graph/rules.h"
#include "graph/windows.h"

namespace tagix::graph {
namespace {

struct Forward {
  Pass& pass;
  const Plan& plan;
  Value node;
  MomentsView room;

  Backend& backend() const { return pass.backend; }

  ConstMomentsView operator()(const Input& op) const {
    const Index size = pass.graph.shape(node).size();
    if (pass.graph.is_whole_row(node)) return pass.input.slice(0, room.rows, room.cols);
    MomentsView row = pass.as_rows(node, room);
    if (pass.input.var == nullptr) row.var = nullptr;
    backend().copy_columns(pass.input.columns(op.first_column, size), all_columns(row));
    return row.slice(0, room.rows, room.cols);
  }

  bool has_epilogue(Value x) const { return plan.nodes[static_cast<std::size_t>(x)].has_epilogue; }

  ConstMomentsView operator()(const Affine&) const {
    return has_epilogue(node) ? ConstMomentsView{} : affine(node, std::nullopt);
  }

  ConstMomentsView affine(Value map, const std::optional<Epilogue>& epilogue) const {
    const auto& op = std::get<Affine>(pass.graph.node(map).op);
    if (op.taps != nullptr) return windows(WindowedAffine(pass, map), epilogue);
    const ConstMomentsView input = pass.value(op.x);
    const ConstMomentsView weight = weight_of(pass.graph, map, pass.parameters);
    const ConstMomentsView bias = bias_of(pass.graph, map, pass.parameters);
    if (pass.means_alone) {
      backend().affine_means(input, weight, bias, room.mean);
    } else {
      backend().affine_forward(input, weight, bias, epilogue, room);
    }
    return room;
  }

  ConstMomentsView windows(const WindowedAffine& map,
                           const std::optional<Epilogue>& epilogue) const {
    if (pass.means_alone) {
      map.means(room.mean);
    } else {
      map.forward(epilogue, room);
    }
    return room;
  }

  ConstMomentsView operator()(const Activate& op) const {
    if (pass.means_alone) return activate_means(op);
    const ConstMomentsView x = pass.value(op.x);
    float* const jacobian = pass.jacobian(node);
    if (has_epilogue(op.x)) {
      return affine(op.x, Epilogue{std::get<math::ActivationSpec>(op.function), jacobian});
    }
    if (const auto* spec = std::get_if<math::ActivationSpec>(&op.function)) {
      backend().activation_forward(*spec, x, room, jacobian);
    } else {
      const auto& user = std::get<UserFunction>(op.function);
      function_forward(backend(), *user.function, user.form, x, room, jacobian);
    }
    if (op.residual) backend().residual_activation(x, room, jacobian);
    return room;
  }

  ConstMomentsView activate_means(const Activate& op) const {
    const ConstMomentsView x = has_epilogue(op.x) ? affine(op.x, std::nullopt) : pass.value(op.x);
    if (const auto* spec = std::get_if<math::ActivationSpec>(&op.function)) {
      backend().activation_values(*spec, x.mean, x.size(), room.mean);
    } else {
      const UserFunction& user = std::get<UserFunction>(op.function);
      function_values(backend(), *user.function, x.mean, x.size(), room.mean);
    }
    if (op.residual) backend().add_columns(all_columns(x), all_columns(room));
    return room;
  }

  ConstMomentsView operator()(const Mix& op) const {
    backend().mix(pass.value(op.x), pass.taps.of(*op.taps), /*add=*/false, room);
    return room;
  }

  ConstMomentsView operator()(const Add& op) const {
    backend().copy_columns(all_columns(pass.value(op.xs[0])), all_columns(room));
    for (std::size_t i = 1; i < op.xs.size(); ++i) {
      backend().add_columns(all_columns(pass.value(op.xs[i])), all_columns(room));
    }
    return room;
  }

  ConstMomentsView operator()(const Concat& op) const {
    Index first = 0;
    for (Value x : op.xs) {
      const ConstMomentsView part = pass.value(x);
      backend().copy_columns(all_columns(part), room.columns(first, part.cols));
      first += part.cols;
    }
    return room;
  }

  ConstMomentsView operator()(const Slice& op) const {
    backend().copy_columns(pass.value(op.x).columns(op.first_channel, room.cols),
                           all_columns(room));
    return room;
  }

  ConstMomentsView operator()(const Reshape& op) const {
    return pass.value(op.x).slice(0, room.rows, room.cols);
  }

  ConstMomentsView operator()(const Largest& op) const {
    backend().largest(pass.value(op.x), pass.taps.windows_of(*op.taps), room, pass.jacobian(node));
    return room;
  }

  ConstMomentsView operator()(const Normalise& op) const {
    backend().normalise(pass.value(op.x), op.sets, room, pass.jacobian(node));
    return room;
  }

  ConstMomentsView operator()(const Product& op) const {
    backend().product(pass.value(op.a), pass.value(op.b), room);
    return room;
  }
};

}  // namespace

void forward(Pass& pass, const Plan& plan, Value node, MomentsView room) {
  pass.values[static_cast<std::size_t>(node)] =
      std::visit(Forward{pass, plan, node, room}, pass.graph.node(node).op);
}

}  // namespace tagix::graph
