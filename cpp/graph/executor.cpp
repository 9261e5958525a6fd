#include "graph/executor.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/memory.h"
#include "graph/chain.h"
#include "graph/rules.h"
#include "graph/slot_memory.h"

namespace tagix {
namespace {

using graph::Plan;
using graph::Value;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

class GraphExecutor final : public Executor {
 public:
  GraphExecutor(Backend& backend, std::shared_ptr<const Graph> graph, Index pass_bytes)
      : Executor(backend),
        graph_(std::move(graph)),
        is_chain_(as_chain(*graph_).has_value()),
        pass_bytes_(pass_bytes),
        for_prediction_(graph::plan_prediction(*graph_)),
        for_linearization_(graph::plan_linearization(*graph_)),
        for_tangents_(graph::plan_tangents(*graph_)),
        for_learning_(graph::plan_learning(*graph_, /*need_input_delta=*/false)),
        for_input_delta_(graph::plan_learning(*graph_, /*need_input_delta=*/true)),
        taps_(backend, *graph_),
        pass_{backend, *graph_, taps_, {}, {}, {}, {}},
        memory_(backend),
        tangent_memory_(backend),
        slopes_(backend),
        innovation_(backend),
        piece_innovation_(backend),
        shared_(backend),
        prediction_(backend),
        input_delta_(backend),
        jacobian_(backend),
        covariance_(backend) {
    pass_.values.resize(graph_->nodes.size());
    pass_.jacobians.resize(graph_->nodes.size());
  }

  ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) override {
    if (input.rows <= rows_of(for_prediction_.bytes_per_row())) {
      return run_forward(for_prediction_, parameters, input);
    }
    return predict_in_pieces(parameters, input);
  }

  Linearized linearize(ConstMomentsView parameters, ConstMomentsView input,
                       const Linearization& wanted) override {
    const Index n_jacobian = wanted.n_outputs * wanted.n_directions;
    const Index n_covariance = wanted.covariance ? wanted.n_outputs * wanted.n_outputs : 0;
    jacobian_.resize(input.rows * n_jacobian);
    covariance_.resize(input.rows * n_covariance);
    const Index at_once = rows_linearized_at_once(wanted.n_directions);
    ConstMomentsView prediction;
    if (input.rows <= at_once) {
      prediction = run_forward(for_linearization_, parameters, input);
      linearize_piece(wanted, jacobian_.data(), covariance_.data());
    } else {
      prediction = predict_in_pieces(parameters, input);
      for (Index first = 0; first < input.rows; first += at_once) {
        const Index rows = std::min(at_once, input.rows - first);
        run_forward(for_linearization_, parameters, rows_from(input, first, rows));
        linearize_piece(wanted, jacobian_.data() + first * n_jacobian,
                        covariance_.data() + first * n_covariance);
      }
    }
    return {prediction, n_jacobian > 0 ? jacobian_.data() : nullptr,
            n_covariance > 0 ? covariance_.data() : nullptr};
  }

  Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                const Observations& observations, bool need_input_delta) override {
    innovation_.resize(1, parameters.size());
    // The cut is the same whether the innovation of the input is needed, and so are the sums.
    constexpr Index most_rows = 2048;
    const Index at_once =
        is_chain_ ? most_rows : std::min(most_rows, rows_of(for_input_delta_.bytes_per_row()));
    if (input.rows <= at_once) {
      return learn_piece(parameters, input, observations, need_input_delta, innovation_.view());
    }
    piece_innovation_.resize(1, parameters.size());
    if (need_input_delta) input_delta_.resize(input.rows, input.cols);
    prediction_.resize(input.rows, outputs());
    for (Index first = 0; first < input.rows; first += at_once) {
      const Index rows = std::min(at_once, input.rows - first);
      const MomentsView target = first == 0 ? innovation_.view() : piece_innovation_.view();
      const Learned piece =
          learn_piece(parameters, rows_from(input, first, rows),
                      observations.from_row(first, outputs()), need_input_delta, target);
      if (first > 0) backend_.add(target, innovation_.view());
      backend_.copy(piece.prediction, rows_from(prediction_.view(), first, rows));
      if (need_input_delta) {
        backend_.copy(piece.input_delta, rows_from(input_delta_.view(), first, rows));
      }
    }
    return {prediction_.view(), need_input_delta ? input_delta_.view() : MomentsView{}};
  }

  ConstMomentsView innovation() override { return innovation_.view(); }

  void update(const UpdateRule& rule, Index batch_size, MomentsView parameters,
              TrainingState* state) override {
    update_by(innovation(), backend_, rule, batch_size, parameters, state);
  }

  // Keeps activations of common widths in cache.
  Index prediction_rows() const override { return 1024; }

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

  Index rows_linearized_at_once(Index n_directions) const {
    constexpr Index most_tangents = 8192;
    const Index bytes =
        for_linearization_.bytes_per_row() + n_directions * for_tangents_.bytes_per_row();
    return std::min(std::max<Index>(1, most_tangents / std::max<Index>(1, n_directions)),
                    rows_of(bytes));
  }

  /// The moments of the output, as far as memory allows at once, in memory of their own.
  ConstMomentsView predict_in_pieces(ConstMomentsView parameters, ConstMomentsView input) {
    const Index at_once = rows_of(for_prediction_.bytes_per_row());
    prediction_.resize(input.rows, outputs());
    for (Index first = 0; first < input.rows; first += at_once) {
      const Index rows = std::min(at_once, input.rows - first);
      backend_.copy(run_forward(for_prediction_, parameters, rows_from(input, first, rows)),
                    rows_from(prediction_.view(), first, rows));
    }
    return prediction_.view();
  }

  /// Works out every value and returns the output: rows x outputs.
  ConstMomentsView run_forward(const Plan& plan, ConstMomentsView parameters,
                               ConstMomentsView input) {
    memory_.arrange(plan, input.rows);
    pass_.parameters = parameters;
    pass_.input = input;
    for (Value node = 0; at(node) < graph_->nodes.size(); ++node) {
      const Plan::NodePlan& planned = plan.nodes[at(node)];
      pass_.jacobians[at(node)] = memory_[planned.jacobian];
      forward(pass_, node, pass_.view(node, memory_[planned.value], input.rows));
    }
    return pass_.as_rows(graph_->output, pass_.value(graph_->output));
  }

  /// `linearize` for the rows whose values are there.
  void linearize_piece(const Linearization& wanted, float* jacobian, float* covariance) {
    if (wanted.n_directions > 0) {
      const Index rows = wanted.n_directions * pass_.rows();
      tangent_memory_.arrange(for_tangents_, rows);
      float* const row = tangent_memory_[for_tangents_.row];
      graph::TangentPass tangents{pass_,
                                  {row, row + rows * graph_->row_size, rows, graph_->row_size},
                                  std::vector<MomentsView>(graph_->nodes.size()),
                                  slopes_};
      backend_.start_tangents(wanted.n_directions, tangents.row);
      for (Value node = 0; at(node) < graph_->nodes.size(); ++node) {
        float* const room = tangent_memory_[for_tangents_.nodes[at(node)].value];
        forward_tangents(tangents, node, pass_.view(node, room, rows));
      }
      const MomentsView of_output = tangents.tangents[at(graph_->output)];
      backend_.gather_jacobian(of_output.slice(0, rows, outputs()), wanted.n_directions,
                               wanted.n_outputs, jacobian);
    }
    if (wanted.covariance) {
      graph::covariance(pass_, graph_->output, wanted.n_outputs, covariance);
    }
  }

  /// `learn` for rows that go through the graph together; writes their innovations.
  Learned learn_piece(ConstMomentsView parameters, ConstMomentsView input,
                      const Observations& observations, bool need_input_delta,
                      MomentsView innovation) {
    const Plan& plan = need_input_delta ? for_input_delta_ : for_learning_;
    const ConstMomentsView prediction = run_forward(plan, parameters, input);
    backend_.observe(prediction, observations.target, observations.noise, observations.spread,
                     pass_.as_rows(graph_->output, delta_of(plan, graph_->output)));
    for (const graph::SharedPart& part : plan.unused) {
      backend_.clear_columns(graph::all_columns(innovation.slice(part.offset, 1, part.size)));
    }
    for (std::size_t i = graph_->nodes.size(); i-- > 0;) {
      if (plan.nodes[i].delta != Plan::nowhere) {
        run_backward(plan, static_cast<Value>(i), {innovation, shared_});
      }
    }
    return {prediction, need_input_delta ? gathered_input_delta(plan) : MomentsView{}};
  }

  MomentsView delta_of(const Plan& plan, Value node) {
    return pass_.view(node, memory_[plan.nodes[at(node)].delta], pass_.rows());
  }

  void run_backward(const Plan& plan, Value node, const graph::Learning& learning) {
    const Plan::NodePlan& planned = plan.nodes[at(node)];
    below_.clear();
    MomentsView spare;
    graph::for_each_input(graph_->node(node).op, [&](Value x) {
      below_.push_back({planned.to_inputs[below_.size()], delta_of(plan, x)});
      spare = pass_.view(x, memory_[planned.spare], pass_.rows());
    });
    backward(pass_, node, planned, delta_of(plan, node), below_, spare, learning);
  }

  /// The innovation of the whole row of data; columns that no input reads have none.
  MomentsView gathered_input_delta(const Plan& plan) {
    const Index rows = pass_.rows();
    if (plan.row == Plan::nowhere) return pass_.as_rows(0, delta_of(plan, 0));
    float* const memory = memory_[plan.row];
    const MomentsView row{memory, memory + rows * graph_->row_size, rows, graph_->row_size};
    backend_.clear_columns(graph::all_columns(row));
    for (Value node = 0; at(node) < graph_->nodes.size(); ++node) {
      const auto* op = std::get_if<graph::Input>(&graph_->node(node).op);
      if (op == nullptr) continue;
      const MomentsView delta = pass_.as_rows(node, delta_of(plan, node));
      backend_.add_columns(graph::all_columns(delta), row.columns(op->first_column, delta.cols));
    }
    return row;
  }

  std::shared_ptr<const Graph> graph_;
  bool is_chain_;
  Index pass_bytes_;
  Plan for_prediction_;
  Plan for_linearization_;
  Plan for_tangents_;
  Plan for_learning_;
  Plan for_input_delta_;
  graph::TapBuffers taps_;
  graph::Pass pass_;
  graph::SlotMemory memory_;
  graph::SlotMemory tangent_memory_;
  Buffer<float> slopes_;
  Moments innovation_;
  // Of batches in pieces: the innovation of one piece, and what the pieces together give.
  Moments piece_innovation_;
  Moments shared_;
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
  const std::optional<std::vector<Step>> steps = as_chain(*graph);
  std::unique_ptr<Executor> by_graph = make_graph_executor(backend, std::move(graph));
  return steps ? backend.fuse(*steps, std::move(by_graph)) : std::move(by_graph);
}

}  // namespace tagix
