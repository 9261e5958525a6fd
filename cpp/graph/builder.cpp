#include "graph/builder.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/layer.h"

namespace tagix {

using graph::Value;

GraphBuilder::Scope::Scope(std::string& path, const std::string& child)
    : path_(path), parent_size_(path.size()) {
  if (!path_.empty() && !child.empty()) path_ += '.';
  path_ += child;
}

Value GraphBuilder::apply(const std::string& child, const Layer& layer,
                          std::span<const Value> inputs) {
  const Scope scope = enter(child);
  const auto before = std::find_if(layers_.begin(), layers_.end(),
                                   [this](const Applied& each) { return each.path == path_; });
  check(before == layers_.end() || before->layer == &layer || is_written_again_,
        "got two layers of this name, needed a name for each");
  const bool outer = is_written_again_;
  is_written_again_ = outer || before != layers_.end();
  const std::size_t number = layers_.size();
  layers_.push_back({&layer, path_, layer.name(), -1, {}});
  const Value output = layer.build(*this, inputs);
  layers_[number].output = output;
  layers_[number].output_shape = shape(output);
  is_written_again_ = outer;
  return output;
}

void GraphBuilder::record(const std::string& path, const std::string& name, Shape output_shape) {
  layers_.push_back(
      {nullptr, path_.empty() ? path : text(path_, ".", path), name, -1, std::move(output_shape)});
}

Value GraphBuilder::input(Shape shape, Index first_column) {
  check(shape.channels >= 1 && positions_of(shape.grid) >= 1, "input: got ", to_text(shape),
        ", needed at least 1 of them and 1 position");
  check(first_column >= 0, "input: got the first column ", first_column, ", needed at least 0");
  row_size_ = std::max(row_size_, first_column + shape.size());
  return append(graph::Input{first_column}, std::move(shape));
}

Parameter GraphBuilder::parameter(ParameterSpec spec) {
  if (!path_.empty()) spec.name = text(path_, ".", spec.name);
  const auto same =
      std::find_if(parameters_.begin(), parameters_.end(),
                   [&spec](const ParameterSpec& other) { return other.name == spec.name; });
  const auto number = static_cast<Index>(same - parameters_.begin());
  if (same == parameters_.end()) {
    parameters_.push_back(std::move(spec));
  } else {
    check(is_written_again_, "got two parameters named ", spec.name, ", needed a name for each");
  }
  return {number, 1};
}

Parameter GraphBuilder::stacked(Parameter first, Parameter second) const {
  check(first.first + first.count == second.first, "got parameters ", first.first, " and ",
        second.first, ", needed two that were asked for one after the other");
  const Index first_cols = matrix_shape(first).second, second_cols = matrix_shape(second).second;
  check(first_cols == second_cols, "got parameters of ", first_cols, " and ", second_cols,
        " columns, needed as many in both");
  return {first.first, first.count + second.count};
}

Value GraphBuilder::affine(Value x, Parameter weight, std::optional<Parameter> bias, Taps taps) {
  const auto [out, in] = matrix_shape(weight);
  const Shape& from = shape(x);
  const Index n_taps = taps == nullptr ? 1 : taps->n_taps();
  check(from.channels * n_taps == in, "got ", to_text(from), ", needed ", in / n_taps);
  check(taps == nullptr || from.grid == taps->input_grid(), "got ", to_text(from),
        ", needed a grid of ", taps == nullptr ? "" : to_text(taps->input_grid()));
  const Grid grid = taps == nullptr ? from.grid : taps->grid();
  const auto offset_of = [this](Parameter parameter) {
    Index offset = 0;
    for (Index i = 0; i < parameter.first; ++i) {
      offset += parameters_[static_cast<std::size_t>(i)].size();
    }
    return offset;
  };
  graph::Affine op{x, offset_of(weight), std::nullopt, std::move(taps)};
  if (bias) {
    const Index size = matrix_shape(*bias).first;
    check(size == out && matrix_shape(*bias).second == 1, "got a bias of ",
          matrix_shape(*bias).second * size, " elements, needed ", out);
    op.bias = offset_of(*bias);
  }
  return append(std::move(op), {grid, out});
}

Value GraphBuilder::activate(Value x, math::ActivationSpec spec) {
  return activate(graph::Activate{x, spec});
}

Value GraphBuilder::activate(Value x, std::shared_ptr<const ScalarFunction> function,
                             math::MomentsForm form) {
  return activate(graph::Activate{x, UserFunction{std::move(function), form}});
}

Value GraphBuilder::activate(graph::Activate op) {
  Shape same = shape(op.x);
  return append(std::move(op), std::move(same));
}

Value GraphBuilder::mix(Value x, Taps taps) {
  const Shape& from = shape(x);
  check(from.grid == taps->input_grid(), "got ", to_text(from), ", needed a grid of ",
        to_text(taps->input_grid()));
  Shape result{taps->grid(), from.channels};
  return append(graph::Mix{x, std::move(taps)}, std::move(result));
}

Value GraphBuilder::add(Value a, Value b) {
  if (const std::optional<Value> sum = residual(a, b)) return *sum;
  if (const std::optional<Value> sum = residual(b, a)) return *sum;
  std::tie(a, b) = in_one_shape("a sum", a, b);
  return append(graph::Add{{a, b}}, Shape(shape(a)));
}

Value GraphBuilder::concat(std::span<const Value> xs) {
  check(!xs.empty(), "got no values, needed at least 1");
  Shape result{shape(xs[0]).grid, 0};
  for (Value x : xs) {
    check(shape(x).grid == result.grid, "got ", to_text(shape(xs[0])), " and ", to_text(shape(x)),
          ", needed the same grid to concatenate channels");
    result.channels += shape(x).channels;
  }
  if (xs.size() == 1) return xs[0];
  return append(graph::Concat{{xs.begin(), xs.end()}}, std::move(result));
}

Value GraphBuilder::slice(Value x, Index first_channel, Index channels) {
  const Shape& from = shape(x);
  check(first_channel >= 0 && channels >= 1 && first_channel + channels <= from.channels,
        "got channels ", first_channel, " to ", first_channel + channels - 1, " of ", to_text(from),
        ", needed 0 to ", from.channels - 1);
  return append(graph::Slice{x, first_channel}, {from.grid, channels});
}

Value GraphBuilder::reshape(Value x, Shape to) {
  check(to.size() == shape(x).size(), "got ", to_text(shape(x)), " to be seen as ", to_text(to),
        ", needed as many numbers: ", shape(x).size());
  if (to == shape(x)) return x;
  return append(graph::Reshape{x}, std::move(to));
}

Value GraphBuilder::product(Value a, Value b) {
  check(!have_one_source(a, b),
        "got a product of two functions of the same value, needed factors that are independent");
  std::tie(a, b) = in_one_shape("a product", a, b);
  return append(graph::Product{a, b}, Shape(shape(a)));
}

Value GraphBuilder::largest(Value x, Taps taps) {
  const Shape& from = shape(x);
  check(from.grid == taps->input_grid(), "got ", to_text(from), ", needed a grid of ",
        to_text(taps->input_grid()));
  std::vector<bool> has_position(static_cast<std::size_t>(positions_of(taps->grid())), false);
  for (const TapTable::Tap& tap : taps->taps()) {
    has_position[static_cast<std::size_t>(tap.result)] = true;
  }
  const bool all = std::find(has_position.begin(), has_position.end(), false) == has_position.end();
  check(all, "got a window without a position, needed at least 1 in each");
  Shape result{taps->grid(), from.channels};
  return append(graph::Largest{x, std::move(taps)}, std::move(result));
}

Value GraphBuilder::normalise(Value x, Index groups, bool per_position, bool centred, bool exact,
                              float eps) {
  Shape same = shape(x);
  check(groups >= 1 && same.channels % groups == 0, "got ", to_text(same),
        ", needed a multiple of ", groups, " channels, one or more for each group");
  const NormSets sets{same.positions(), same.channels, groups, per_position, centred, exact, eps};
  return append(graph::Normalise{x, sets}, std::move(same));
}

Value GraphBuilder::only(std::span<const Value> inputs) const {
  check(inputs.size() == 1, "got ", inputs.size(), " inputs, needed 1");
  return inputs[0];
}

Graph GraphBuilder::finish(Value output) {
  Graph graph;
  for (const Applied& layer : layers_) {
    graph.layers.push_back({layer.path, layer.name, layer.output_shape});
    // Layers lie before their own, so the last one is what has written the output down itself.
    if (layer.output == output) graph.last_layer = layer.name;
  }
  // A prediction has variances; an input may be known exactly, and is copied.
  Value source = output;
  while (const auto* op = std::get_if<graph::Reshape>(&node(source).op)) source = op->x;
  if (std::holds_alternative<graph::Input>(node(source).op)) {
    output = append(graph::Add{{output}}, Shape(shape(output)));
  }

  std::vector<bool> needed(nodes_.size(), false);
  needed[static_cast<std::size_t>(output)] = true;
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    if (!needed[i]) continue;
    for (Value x : graph::inputs_of(nodes_[i].op)) needed[static_cast<std::size_t>(x)] = true;
  }
  std::vector<Value> renumbered(nodes_.size(), -1);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (!needed[i]) continue;
    graph::Node kept = nodes_[i];
    graph::for_each_input(kept.op, [&](Value& x) { x = renumbered[static_cast<std::size_t>(x)]; });
    renumbered[i] = static_cast<Value>(graph.nodes.size());
    graph.nodes.push_back(std::move(kept));
  }
  graph.output = renumbered[static_cast<std::size_t>(output)];
  graph.parameters = parameters_;
  graph.row_size = row_size_;
  graph.offsets.push_back(0);
  for (const ParameterSpec& parameter : parameters_) {
    graph.offsets.push_back(graph.offsets.back() + parameter.size());
  }
  return graph;
}

const graph::Node& GraphBuilder::node(Value x) const {
  check(x >= 0 && static_cast<std::size_t>(x) < nodes_.size(), "got value ", x,
        ", needed one of this graph");
  return nodes_[static_cast<std::size_t>(x)];
}

Value GraphBuilder::append(graph::Op op, Shape shape) {
  constexpr Index most = Index{1} << 31;
  check(shape.channels <= most && shape.positions() <= most && shape.size() <= most, "got ",
        to_text(shape), ", needed at most ", most, " numbers");
  nodes_.push_back({std::move(op), std::move(shape), path_});
  return static_cast<Value>(nodes_.size()) - 1;
}

std::pair<Index, Index> GraphBuilder::matrix_shape(Parameter parameter) const {
  check(parameter.first >= 0 && parameter.count >= 1 &&
            parameter.first + parameter.count <= static_cast<Index>(parameters_.size()),
        "got parameter ", parameter.first, ", needed one of this graph");
  Index rows = 0, cols = 1;
  for (Index i = parameter.first; i < parameter.first + parameter.count; ++i) {
    const ParameterSpec& spec = parameters_[static_cast<std::size_t>(i)];
    rows += spec.outputs();
    cols = spec.size() / spec.outputs();
  }
  return {rows, cols};
}

std::pair<Value, Value> GraphBuilder::in_one_shape(const char* what, Value a, Value b) {
  const Shape &of_a = shape(a), &of_b = shape(b);
  const bool fit = of_a.channels == of_b.channels &&
                   (of_a.grid == of_b.grid || of_a.grid.empty() || of_b.grid.empty());
  check(fit, "got ", to_text(of_a), " and ", to_text(of_b), " for ", what,
        ", needed the same shape, or a vector of as many channels beside a grid");
  if (of_a.grid == of_b.grid) return {a, b};
  if (of_a.grid.empty()) {
    const Taps taps = broadcast(of_b.grid);
    return {mix(a, taps), b};
  }
  const Taps taps = broadcast(of_a.grid);
  return {a, mix(b, taps)};
}

std::optional<Value> GraphBuilder::residual(Value x, Value branch) {
  using math::ActivationKind, math::MomentsForm;
  if (x == branch) {
    const math::ActivationSpec identity{ActivationKind::identity, MomentsForm::exact};
    return activate(graph::Activate{x, identity, /*residual=*/true});
  }
  const auto* op = std::get_if<graph::Activate>(&node(branch).op);
  if (op == nullptr || op->residual || op->x != x) return std::nullopt;
  return activate(graph::Activate{x, op->function, /*residual=*/true});
}

bool GraphBuilder::have_one_source(Value a, Value b) const {
  const auto source = [this](Value x) {
    for (;;) {
      if (const auto* op = std::get_if<graph::Activate>(&node(x).op)) {
        x = op->x;
      } else if (const auto* op = std::get_if<graph::Reshape>(&node(x).op)) {
        x = op->x;
      } else {
        return x;
      }
    }
  };
  a = source(a);
  b = source(b);
  if (a == b) return true;
  if (!(shape(a) == shape(b))) return false;
  const auto *slice_a = std::get_if<graph::Slice>(&node(a).op),
             *slice_b = std::get_if<graph::Slice>(&node(b).op);
  if (slice_a != nullptr && slice_b != nullptr) {
    return slice_a->first_channel == slice_b->first_channel &&
           have_one_source(slice_a->x, slice_b->x);
  }
  const auto *input_a = std::get_if<graph::Input>(&node(a).op),
             *input_b = std::get_if<graph::Input>(&node(b).op);
  return input_a != nullptr && input_b != nullptr && input_a->first_column == input_b->first_column;
}

Graph graph_of(const Layer& network, std::span<const Shape> inputs) {
  GraphBuilder builder;
  std::vector<Value> values;
  Index first_column = 0;
  for (const Shape& shape : inputs) {
    values.push_back(builder.input(shape, first_column));
    first_column += shape.size();
  }
  return builder.finish(builder.apply("", network, values));
}

}  // namespace tagix
