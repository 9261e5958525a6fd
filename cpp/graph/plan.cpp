#include "graph/plan.h"

#include <algorithm>
#include <numeric>

#include "graph/slots.h"

namespace tagix::graph {
namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

/// The arrays of a plan on their way: slots of the plan are numbers of arrays until `finish`.
class Arrays {
 public:
  Index add(Index size, Index born, Index dies) {
    lifetimes_.push_back({size, born, dies});
    return static_cast<Index>(lifetimes_.size()) - 1;
  }
  void extend(Index array, Index dies) {
    if (array != Plan::nowhere) lifetimes_[at(array)].dies = std::max(this->dies(array), dies);
  }
  Index dies(Index array) const { return lifetimes_[at(array)].dies; }

  /// Puts slots in place of numbers of arrays.
  void finish(Plan& plan) const {
    const Slots slots = place(lifetimes_);
    const auto replace = [&slots](Index& array) {
      if (array != Plan::nowhere) array = slots.of[at(array)];
    };
    for (Plan::NodePlan& node : plan.nodes) {
      replace(node.value);
      replace(node.jacobian);
      replace(node.delta);
      replace(node.spare);
    }
    replace(plan.row);
    for (SharedParameters& shared : plan.shared) replace(shared.adjoint);
    plan.slot_sizes = slots.sizes;
  }

 private:
  std::vector<Lifetime> lifetimes_;
};

/// The node that alone reads each node, or nowhere; for the output, too.
std::vector<Value> only_readers(const Graph& graph) {
  std::vector<Value> reader(graph.nodes.size(), Plan::nowhere);
  std::vector<Index> count(graph.nodes.size(), 0);
  ++count[at(graph.output)];
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    for (Value x : inputs_of(graph.nodes[i].op)) {
      reader[at(x)] = ++count[at(x)] == 1 ? static_cast<Value>(i) : Plan::nowhere;
    }
  }
  return reader;
}

/// Says which affine maps run an activation as their epilogue.
void join_activations(const Graph& graph, const Backend& backend, Plan& plan) {
  plan.nodes.resize(graph.nodes.size());
  const std::vector<Value> reader = only_readers(graph);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!std::holds_alternative<Affine>(graph.nodes[i].op) || reader[i] == Plan::nowhere) continue;
    const auto* activation = std::get_if<Activate>(&graph.node(reader[i]).op);
    if (activation == nullptr || activation->residual) continue;
    const auto* spec = std::get_if<math::ActivationSpec>(&activation->function);
    plan.nodes[i].has_epilogue = spec != nullptr && backend.has_epilogue(*spec);
  }
}

/// When each value is read last, where node i runs at moment i, or `end` for the output.
std::vector<Index> last_readers(const Graph& graph, Index end, const Plan& plan = {}) {
  std::vector<Index> last(graph.nodes.size(), 0);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const auto read = [&](Value x) { last[at(x)] = static_cast<Index>(i); };
    for (Value x : inputs_of(graph.nodes[i].op)) {
      read(x);
      // A map with an epilogue runs when the activation does.
      if (at(x) < plan.nodes.size() && plan.nodes[at(x)].has_epilogue) {
        for_each_input(graph.node(x).op, read);
      }
    }
  }
  last[at(graph.output)] = end;
  return last;
}

/// The floats for each row that a node keeps beside its value.
Index size_beside(const Node& node) {
  if (const auto* norm = std::get_if<Normalise>(&node.op)) return norm->sets.per_row();
  const bool for_each_element =
      std::holds_alternative<Activate>(node.op) || std::holds_alternative<Largest>(node.op);
  return for_each_element ? node.shape.size() : 0;
}

/// Adds the values of a forward pass, in which node i runs at moment i; each is needed until
/// needed_until[i], and what lies beside it until jacobian_until[i].
void add_values(const Graph& graph, const std::vector<Index>& needed_until,
                const std::vector<Index>& jacobian_until, Plan& plan, Arrays& arrays) {
  plan.nodes.resize(graph.nodes.size());
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const auto now = static_cast<Index>(i);
    Plan::NodePlan& planned = plan.nodes[i];
    if (const auto* view = std::get_if<Reshape>(&node.op)) {
      planned.value = plan.nodes[at(view->x)].value;
      arrays.extend(planned.value, needed_until[i]);
    } else if (!graph.is_whole_row(static_cast<Value>(i)) && !planned.has_epilogue) {
      planned.value = arrays.add(2 * node.shape.size(), now, std::max(now, needed_until[i]));
    }
    if (const Index size = size_beside(node); size > 0) {
      planned.jacobian = arrays.add(size, now, std::max(now, jacobian_until[i]));
    }
  }
}

/// Which nodes' innovations are needed: those above parameters, or all for that of the input.
std::vector<bool> needed_deltas(const Graph& graph, bool need_input_delta) {
  std::vector<bool> needed(graph.nodes.size(), need_input_delta);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Op& op = graph.nodes[i].op;
    if (std::holds_alternative<Affine>(op)) needed[i] = true;
    for (Value x : inputs_of(op)) needed[i] = needed[i] || needed[at(x)];
  }
  return needed;
}

/// Whether the innovation of an input may take over the memory of the node's own.
bool works_in_place(const Op& op) {
  return std::holds_alternative<Activate>(op) || std::holds_alternative<Add>(op) ||
         std::holds_alternative<Reshape>(op);
}

/// Adds the innovations of a backward pass, in which node i of n runs at moment 2 n - i; with
/// `keep`, those of affine maps stay to the end.
void add_deltas(const Graph& graph, bool need_input_delta, bool keep, Plan& plan, Arrays& arrays) {
  const auto n = static_cast<Index>(graph.nodes.size());
  const Index end = 2 * n + 1;
  const std::vector<bool> needed = needed_deltas(graph, need_input_delta);
  // That of the output is written between the passes.
  plan.nodes[at(graph.output)].delta = arrays.add(2 * graph.output_shape().size(), n, n);
  Index n_inputs = 0;
  for (Index i = n - 1; i >= 0; --i) {
    Plan::NodePlan& node = plan.nodes[at(i)];
    const Op& op = graph.nodes[at(i)].op;
    const bool is_input = std::holds_alternative<Input>(op);
    n_inputs += is_input ? 1 : 0;
    if (node.delta == Plan::nowhere) continue;
    const Index now = 2 * n - i;
    const bool is_affine = std::holds_alternative<Affine>(op);
    arrays.extend(node.delta, is_input || (is_affine && keep) ? end : now);
    bool in_place = works_in_place(op);
    for (Value x : inputs_of(op)) {
      Plan::NodePlan& below = plan.nodes[at(x)];
      const Index size = 2 * graph.shape(x).size();
      Handover handover = Handover::none;
      if (needed[at(x)] && below.delta != Plan::nowhere) {
        handover = Handover::add;
        if (is_affine) node.spare = arrays.add(size, now, now);
      } else if (needed[at(x)]) {
        handover = in_place ? Handover::in_place : Handover::write;
        below.delta = in_place ? node.delta : arrays.add(size, now, now);
        in_place = false;
      }
      node.to_inputs.push_back(handover);
    }
  }
  // One input that is the whole row gives its innovation as it lies; others are gathered.
  const bool is_gathered = n_inputs != 1 || !graph.is_whole_row(0);
  if (need_input_delta && is_gathered) plan.row = arrays.add(2 * graph.row_size, end, end);
}

/// The parameter arrays that an affine map reads.
std::vector<std::size_t> parameters_of(const Graph& graph, const Node& node, const Affine& op) {
  std::vector<std::size_t> numbers;
  const auto take = [&](Index first, Index size) {
    for (std::size_t i = 0; i < graph.parameters.size(); ++i) {
      if (graph.offsets[i] >= first && graph.offsets[i] < first + size) numbers.push_back(i);
    }
  };
  take(op.weight, node.shape.channels * graph.fan_in(op));
  if (op.bias) take(*op.bias, node.shape.channels);
  return numbers;
}

/// Says which affine maps add their innovations, and to which parameters nothing has been written
/// by then.
void share_parameters(const Graph& graph, Plan& plan) {
  std::vector<bool> written(graph.parameters.size(), false);
  const auto clear = [&](std::size_t number) {
    plan.cleared.push_back({graph.offsets[number], graph.parameters[number].size()});
  };
  for (std::size_t i = graph.nodes.size(); i-- > 0;) {
    const auto* op = std::get_if<Affine>(&graph.nodes[i].op);
    if (op == nullptr) continue;
    const std::vector<std::size_t> own = parameters_of(graph, graph.nodes[i], *op);
    bool& add = plan.nodes[i].add;
    add = std::any_of(own.begin(), own.end(), [&](std::size_t number) { return written[number]; });
    for (std::size_t number : own) {
      if (add && !written[number]) clear(number);
      written[number] = true;
    }
  }
  for (std::size_t number = 0; number < written.size(); ++number) {
    if (!written[number]) clear(number);
  }
}

/// Parameters that affine maps read, and whether what they add varies together.
struct ParameterUses {
  ParameterRange range;
  std::vector<Value> readers;
  bool is_shared;
};

/// What affine maps read, by offset: ranges that overlap are one.
std::vector<ParameterUses> parameter_uses(const Graph& graph) {
  std::vector<ParameterUses> uses;
  for (Value node = 0; at(node) < graph.nodes.size(); ++node) {
    const auto* op = std::get_if<Affine>(&graph.node(node).op);
    if (op == nullptr) continue;
    const Index out = graph.shape(node).channels, in = graph.fan_in(*op);
    const bool is_on_grid = graph.shape(node).positions() > 1;
    uses.push_back({{op->weight, out * in}, {node}, is_on_grid});
    if (op->bias) uses.push_back({{*op->bias, out}, {node}, is_on_grid});
  }
  std::sort(uses.begin(), uses.end(), [](const ParameterUses& a, const ParameterUses& b) {
    return a.range.offset < b.range.offset;
  });
  std::vector<ParameterUses> joined;
  for (const ParameterUses& next : uses) {
    if (joined.empty() ||
        joined.back().range.offset + joined.back().range.size <= next.range.offset) {
      joined.push_back(next);
      continue;
    }
    auto& [range, readers, is_shared] = joined.back();
    const Index end = std::max(range.offset + range.size, next.range.offset + next.range.size);
    range.size = end - range.offset;
    readers.insert(readers.end(), next.readers.begin(), next.readers.end());
    is_shared = true;
  }
  return joined;
}

/// Adds the adjoints of the parameters of maps of which some are shared; node i of n runs at moment
/// 2 n - i.
void add_shared_parameters(const Graph& graph, Plan& plan, Arrays& arrays) {
  const std::vector<ParameterUses> uses = parameter_uses(graph);
  for (const ParameterUses& use : uses) {
    if (!use.is_shared) continue;
    for (Value reader : use.readers) plan.nodes[at(reader)].is_shared = true;
  }
  const auto n = static_cast<Index>(graph.nodes.size());
  for (const ParameterUses& use : uses) {
    if (!plan.nodes[at(use.readers.front())].is_shared) continue;
    const auto [last, first] = std::minmax_element(use.readers.begin(), use.readers.end());
    const Index adjoint = arrays.add(use.range.size, 2 * n - *first, 2 * n - *last);
    plan.shared.push_back({use.range, *first, *last, adjoint});
  }
}

/// Says which activations' innovations arrive below the Jacobian.
void scale_by_readers(const Graph& graph, Plan& plan) {
  const std::vector<Value> reader = only_readers(graph);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    plan.nodes[i].scaled_by_reader = std::holds_alternative<Activate>(graph.nodes[i].op) &&
                                     reader[i] != Plan::nowhere &&
                                     std::holds_alternative<Affine>(graph.node(reader[i]).op);
  }
}

}  // namespace

Index Plan::bytes_per_row() const {
  return static_cast<Index>(sizeof(float)) *
         std::accumulate(slot_sizes.begin(), slot_sizes.end(), Index{0});
}

bool Plan::shares_parameters() const {
  return std::any_of(nodes.begin(), nodes.end(), [](const NodePlan& node) { return node.add; });
}

Plan plan_prediction(const Graph& graph, const Backend& backend) {
  Plan plan;
  Arrays arrays;
  join_activations(graph, backend, plan);
  const std::vector<Index> read_until =
      last_readers(graph, static_cast<Index>(graph.nodes.size()), plan);
  add_values(graph, read_until, std::vector<Index>(graph.nodes.size(), 0), plan, arrays);
  arrays.finish(plan);
  return plan;
}

Plan plan_linearization(const Graph& graph) {
  Plan plan;
  Arrays arrays;
  const std::vector<Index> always(graph.nodes.size(), static_cast<Index>(graph.nodes.size()));
  add_values(graph, always, always, plan, arrays);
  arrays.finish(plan);
  return plan;
}

Plan plan_adjoint(const Graph& graph, bool need_input, bool need_covariances) {
  Plan plan;
  Arrays arrays;
  plan.nodes.resize(graph.nodes.size());
  add_deltas(graph, need_input, /*keep=*/false, plan, arrays);
  if (need_covariances) add_shared_parameters(graph, plan, arrays);
  arrays.finish(plan);
  return plan;
}

Plan plan_learning(const Graph& graph, const Backend& backend, bool need_input_delta) {
  const auto n = static_cast<Index>(graph.nodes.size());
  const Index end = 2 * n + 1;
  const bool keep = backend.sums_innovations_together() && !graph.has_windows();
  Plan plan;
  Arrays arrays;
  join_activations(graph, backend, plan);
  scale_by_readers(graph, plan);
  // Of values, only those that affine maps and products take are read in the backward pass.
  std::vector<Index> needed_until = last_readers(graph, end, plan);
  std::vector<Index> jacobian_until(graph.nodes.size(), 0);
  for (Index i = 0; i < n; ++i) {
    const Op& op = graph.nodes[at(i)].op;
    const Index now = 2 * n - i;
    jacobian_until[at(i)] = now;
    // A norm passes innovations on by what it has given.
    if (std::holds_alternative<Normalise>(op)) {
      needed_until[at(i)] = std::max(needed_until[at(i)], now);
    }
    const bool is_affine = std::holds_alternative<Affine>(op);
    if (!is_affine && !std::holds_alternative<Product>(op)) continue;
    const Index until = is_affine && keep ? end : now;
    for (Value x : inputs_of(op)) needed_until[at(x)] = std::max(needed_until[at(x)], until);
  }
  add_values(graph, needed_until, jacobian_until, plan, arrays);
  add_deltas(graph, need_input_delta, keep, plan, arrays);
  share_parameters(graph, plan);
  arrays.finish(plan);
  return plan;
}

}  // namespace tagix::graph
