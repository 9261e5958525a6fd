#include "graph/graph_executor.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/memory.h"
#include "graph/chain.h"
#include "graph/innovation_sums.h"
#include "graph/rules.h"
#include "graph/slot_memory.h"

namespace tagix {
namespace {

using graph::Plan;
using graph::Value;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

/// Whether a graph is a chain, and runs without the host.
bool is_chain_of_the_backend(const Graph& graph) {
  const std::optional<std::vector<ChainStep>> steps = as_chain(graph);
  return steps && !calls_the_host(*steps);
}

class GraphExecutor final : public Executor {
 public:
  GraphExecutor(Backend& backend, std::shared_ptr<const Graph> graph, Index pass_bytes)
      : Executor(backend),
        graph_(std::move(graph)),
        is_chain_(is_chain_of_the_backend(*graph_)),
        pass_bytes_(pass_bytes),
        sums_together_(backend.sums_innovations_together() && !graph_->has_windows()),
        for_prediction_(graph::plan_prediction(*graph_, backend)),
        for_linearization_(graph::plan_linearization(*graph_)),
        for_jacobian_(graph::plan_adjoint(*graph_, /*need_input=*/true,
                                          /*need_covariances=*/false)),
        for_covariance_(graph::plan_adjoint(*graph_, /*need_input=*/false,
                                            /*need_covariances=*/true)),
        for_both_(graph::plan_adjoint(*graph_, /*need_input=*/true, /*need_covariances=*/true)),
        for_learning_(graph::plan_learning(*graph_, backend, /*need_input_delta=*/false)),
        for_input_delta_(graph::plan_learning(*graph_, backend, /*need_input_delta=*/true)),
        taps_(backend, *graph_),
        windows_(backend),
        pass_{backend, *graph_, taps_, windows_, {}, {}, false, {}, {}},
        memory_(backend),
        adjoint_memory_(backend),
        slopes_(backend),
        spread_(backend),
        innovations_(backend, for_learning_, sums_together_),
        zeros_(backend),
        prediction_(backend),
        input_delta_(backend),
        jacobian_(backend),
        covariance_(backend) {
    pass_.values.resize(graph_->nodes.size());
    pass_.jacobians.resize(graph_->nodes.size());
  }

  ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) override {
    const bool means_alone = parameters.var == nullptr && input.var == nullptr;
    if (input.rows <= rows_of(for_prediction_.bytes_per_row())) {
      return run_forward(for_prediction_, parameters, input, means_alone);
    }
    return predict_in_pieces(parameters, input, means_alone);
  }

  Linearized linearize(ConstMomentsView parameters, ConstMomentsView input,
                       const Linearization& wanted) override {
    const Index n_jacobian = wanted.n_outputs * wanted.n_directions;
    const Index n_covariance = wanted.n_covariances();
    jacobian_.resize(input.rows * n_jacobian);
    covariance_.resize(input.rows * n_covariance);
    const Plan& plan = n_covariance == 0                                 ? for_jacobian_
                       : wanted.n_directions > 0 || input.var != nullptr ? for_both_
                                                                         : for_covariance_;
    const Index at_once = rows_linearized_at_once(wanted.n_outputs, plan);
    ConstMomentsView prediction;
    Index first = 0;
    do {
      const Index rows = std::min(at_once, input.rows - first);
      prediction = run_forward(for_linearization_, parameters, rows_from(input, first, rows));
      linearize_piece(plan, wanted, jacobian_.data() + first * n_jacobian,
                      covariance_.data() + first * n_covariance);
      first += rows;
    } while (first < input.rows);
    // With epilogues a prediction may be rounded in another way.
    if (input.rows > at_once || has_epilogues()) prediction = predict(parameters, input);
    return {prediction, n_jacobian > 0 ? jacobian_.data() : nullptr,
            n_covariance > 0 ? covariance_.data() : nullptr};
  }

  Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                const Observations& observations, bool need_input_delta) override {
    const Index at_once = rows_learned_at_once();
    const bool in_pieces = input.rows > at_once;
    innovations_.start(parameters.size(), in_pieces);
    if (!in_pieces) return learn_piece(parameters, input, observations, need_input_delta);
    if (need_input_delta) input_delta_.resize(input.rows, input.cols);
    prediction_.resize(input.rows, outputs());
    for (Index first = 0; first < input.rows; first += at_once) {
      const Index rows = std::min(at_once, input.rows - first);
      const Learned piece = learn_piece(parameters, rows_from(input, first, rows),
                                        observations.from_row(first, outputs()), need_input_delta);
      backend_.copy(piece.prediction, rows_from(prediction_.view(), first, rows));
      if (need_input_delta) {
        backend_.copy(piece.input_delta, rows_from(input_delta_.view(), first, rows));
      }
    }
    return {prediction_.view(), need_input_delta ? input_delta_.view() : MomentsView{}};
  }

  ConstMomentsView innovation() override { return innovations_.sums(); }

  void update(const UpdateRule& rule, Index batch_size, MomentsView parameters,
              TrainingState* state) override {
    innovations_.update(rule, batch_size, parameters, state);
  }

  // On a processor as many as keep activations of common widths in its cache.
  Index prediction_rows() const override { return backend_.reads_host_memory() ? 1024 : 1 << 16; }

  bool calls_the_host() const override {
    return std::any_of(graph_->nodes.begin(), graph_->nodes.end(), [](const graph::Node& node) {
      const auto* activation = std::get_if<graph::Activate>(&node.op);
      return activation != nullptr && std::holds_alternative<UserFunction>(activation->function);
    });
  }

 private:
  Index outputs() const { return graph_->output_shape().size(); }

  /// The rows of which a pass that takes so many bytes for each stays within the memory.
  Index rows_of(Index bytes_per_row) const {
    return std::max<Index>(1, pass_bytes_ / std::max<Index>(1, bytes_per_row));
  }

  template <class View>
  static View rows_from(View view, Index first, Index rows) {
    return view.slice(first * view.cols, rows, view.cols);
  }

  /// The cut is the same whether the innovation of the input is needed, and so are the sums.
  Index rows_learned_at_once() const {
    if (is_chain_ && sums_together_) return rows_of(chain_bytes_per_row());
    constexpr Index most_rows = 2048;
    return is_chain_ ? most_rows : std::min(most_rows, rows_of(for_input_delta_.bytes_per_row()));
  }

  /// What a chain keeps of a row for its backward pass: of each value that has memory mean,
  /// variance, a Jacobian and two planes of innovations.
  Index chain_bytes_per_row() const {
    Index features = 0;
    for (Value node = 0; at(node) < graph_->nodes.size(); ++node) {
      const auto& op = graph_->node(node).op;
      const bool counts = std::holds_alternative<graph::Activate>(op) ||
                          (std::holds_alternative<graph::Affine>(op) &&
                           !for_learning_.nodes[at(node)].has_epilogue);
      if (counts) features += graph_->shape(node).size();
    }
    return 5 * static_cast<Index>(sizeof(float)) * features;
  }

  bool has_epilogues() const {
    return std::any_of(for_prediction_.nodes.begin(), for_prediction_.nodes.end(),
                       [](const Plan::NodePlan& node) { return node.has_epilogue; });
  }

  Index rows_linearized_at_once(Index n_outputs, const Plan& plan) const {
    constexpr Index most_rows = 8192;
    const Index bytes = for_linearization_.bytes_per_row() + n_outputs * plan.bytes_per_row();
    return std::min(std::max<Index>(1, most_rows / n_outputs), rows_of(bytes));
  }

  /// The moments of the output, as far as memory allows at once, in memory of their own.
  ConstMomentsView predict_in_pieces(ConstMomentsView parameters, ConstMomentsView input,
                                     bool means_alone) {
    const Index at_once = rows_of(for_prediction_.bytes_per_row());
    prediction_.resize(input.rows, outputs());
    for (Index first = 0; first < input.rows; first += at_once) {
      const Index rows = std::min(at_once, input.rows - first);
      const ConstMomentsView piece =
          run_forward(for_prediction_, parameters, rows_from(input, first, rows), means_alone);
      backend_.copy(piece, rows_from(prediction_.view(), first, rows));
    }
    return prediction_.view();
  }

  /// Works out every value and returns the output: rows x outputs.
  ConstMomentsView run_forward(const Plan& plan, ConstMomentsView parameters,
                               ConstMomentsView input, bool means_alone = false) {
    memory_.arrange(plan, input.rows);
    pass_.parameters = parameters;
    pass_.input = input;
    pass_.means_alone = means_alone;
    for (Value node = 0; at(node) < graph_->nodes.size(); ++node) {
      const Plan::NodePlan& planned = plan.nodes[at(node)];
      pass_.jacobians[at(node)] = memory_[planned.jacobian];
      MomentsView room = pass_.view(node, memory_[planned.value], input.rows);
      if (pass_.means_alone) room.var = nullptr;
      forward(pass_, plan, node, room);
    }
    ConstMomentsView output = pass_.as_rows(graph_->output, pass_.value(graph_->output));
    if (pass_.means_alone) output.var = zeros(output.size());
    return output;
  }

  /// Variances of 0.
  const float* zeros(Index size) {
    if (zeros_.size() < size) {
      zeros_.resize(size);
      backend_.clear_columns({zeros_.data(), nullptr, 1, size, size});
    }
    return zeros_.data();
  }

  /// `linearize` for the rows whose values are there.
  void linearize_piece(const Plan& plan, const Linearization& wanted, float* jacobian,
                       float* covariance) {
    const Index rows = wanted.n_outputs * pass_.rows();
    adjoint_memory_.arrange(plan, rows);
    const Index n_covariances = wanted.n_covariances();
    const graph::AdjointPass adjoint{
        pass_,   plan,    adjoint_memory_,    wanted.n_outputs,
        slopes_, spread_, wanted.covariances, n_covariances > 0 ? covariance : nullptr};
    if (n_covariances > 0) {
      const Index size = pass_.rows() * n_covariances;
      backend_.clear_columns({covariance, nullptr, 1, size, size});
    }
    backend_.start_adjoint(
        wanted.n_outputs,
        delta_of(plan, adjoint_memory_, graph_->output, rows).slice(0, rows, outputs()));
    run_down(plan, adjoint_memory_, rows, [&](Value node, ConstMomentsView delta, auto spare) {
      // The output's own follows no variance.
      if (node == graph_->output && is_affine(node)) delta.var = nullptr;
      graph::adjoint(adjoint, node, delta, below_, spare);
    });
    if (wanted.n_directions == 0) return;
    const ConstMomentsView row = whole_row(plan, adjoint_memory_, rows);
    backend_.gather_jacobian(row, wanted.n_outputs, wanted.n_directions, jacobian);
  }

  bool is_affine(Value node) const {
    return std::holds_alternative<graph::Affine>(graph_->node(node).op);
  }

  /// `learn` for rows that go through the graph together.
  Learned learn_piece(ConstMomentsView parameters, ConstMomentsView input,
                      const Observations& observations, bool need_input_delta) {
    const Plan& plan = need_input_delta ? for_input_delta_ : for_learning_;
    const ConstMomentsView prediction = run_forward(plan, parameters, input);
    const Index rows = pass_.rows();
    const MomentsView of_output = delta_of(plan, memory_, graph_->output, rows);
    backend_.observe(prediction, observations.target, observations.noise, observations.spread,
                     pass_.as_rows(graph_->output, of_output));
    run_down(plan, memory_, rows, [&](Value node, MomentsView delta, MomentsView spare) {
      if (is_affine(node)) {
        learn_affine(pass_, plan, node, delta,
                     [this](const AffinePass& learned) { innovations_.take(learned); });
      }
      backward(pass_, plan, node, delta, below_, spare);
    });
    innovations_.end_piece();
    return {prediction, need_input_delta ? whole_row(plan, memory_, rows) : MomentsView{}};
  }

  /// What arrives at a node: the innovation of its value, or the adjoint of the outputs.
  MomentsView delta_of(const Plan& plan, graph::SlotMemory& memory, Value node, Index rows) {
    return pass_.view(node, memory[plan.nodes[at(node)].delta], rows);
  }

  /// Calls rule(node, delta, spare) for each node at which something arrives, from the output down;
  /// below_ is what goes on from there.
  template <class Rule>
  void run_down(const Plan& plan, graph::SlotMemory& memory, Index rows, const Rule& rule) {
    for (auto node = static_cast<Value>(graph_->nodes.size()); node-- > 0;) {
      const Plan::NodePlan& planned = plan.nodes[at(node)];
      if (planned.delta == Plan::nowhere) continue;
      below_.clear();
      MomentsView spare;
      graph::for_each_input(graph_->node(node).op, [&](Value x) {
        below_.push_back({planned.to_inputs[below_.size()], delta_of(plan, memory, x, rows)});
        spare = pass_.view(x, memory[planned.spare], rows);
      });
      rule(node, delta_of(plan, memory, node, rows), spare);
    }
  }

  /// The innovation or the adjoint of the whole row of data, from those of its inputs; columns that
  /// no input reads have none.
  MomentsView whole_row(const Plan& plan, graph::SlotMemory& memory, Index rows) {
    const auto delta_of_input = [&](Value node) {
      return delta_of(plan, memory, node, rows).slice(0, rows, graph_->shape(node).size());
    };
    if (plan.row == Plan::nowhere) return delta_of_input(0);
    float* const row_memory = memory[plan.row];
    const MomentsView row{row_memory, row_memory + rows * graph_->row_size, rows, graph_->row_size};
    backend_.clear_columns(graph::all_columns(row));
    for (Value node = 0; at(node) < graph_->nodes.size(); ++node) {
      const auto* op = std::get_if<graph::Input>(&graph_->node(node).op);
      if (op == nullptr) continue;
      const MomentsView delta = delta_of_input(node);
      backend_.add_columns(graph::all_columns(delta), row.columns(op->first_column, delta.cols));
    }
    return row;
  }

  std::shared_ptr<const Graph> graph_;
  bool is_chain_;
  Index pass_bytes_;
  bool sums_together_;
  Plan for_prediction_;
  Plan for_linearization_;
  Plan for_jacobian_;
  Plan for_covariance_;
  Plan for_both_;
  Plan for_learning_;
  Plan for_input_delta_;
  graph::TapBuffers taps_;
  graph::WindowMemory windows_;
  graph::Pass pass_;
  graph::SlotMemory memory_;
  graph::SlotMemory adjoint_memory_;
  Buffer<float> slopes_;  // of the node whose adjoint goes down
  Buffer<float> spread_;
  graph::InnovationSums innovations_;
  Buffer<float> zeros_;
  // What the pieces of a batch give together.
  Moments prediction_;
  Moments input_delta_;
  Buffer<float> jacobian_;
  Buffer<float> covariance_;
  std::vector<graph::Below> below_;  // of the node whose rule runs
};

}  // namespace

std::unique_ptr<Executor> make_graph_executor(Backend& backend, std::shared_ptr<const Graph> graph,
                                              Index pass_bytes) {
  return std::make_unique<GraphExecutor>(backend, std::move(graph), pass_bytes);
}

std::unique_ptr<Executor> make_executor(Backend& backend, std::shared_ptr<const Graph> graph) {
  const std::optional<std::vector<ChainStep>> steps = as_chain(*graph);
  std::unique_ptr<Executor> by_graph = make_graph_executor(backend, std::move(graph));
  return steps ? backend.fuse(*steps, std::move(by_graph)) : std::move(by_graph);
}

}  // namespace tagix
