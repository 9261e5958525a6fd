#pragma once

#include <cmath>
#include <cstddef>
#include <functional>
#include <vector>

#include "float64_network.h"
#include "graph/graph.h"

namespace tagix::test {

// A graph in float64, by plain loops that scatter where the library gathers, and share no code with
// it beyond the list of operations: the truth for tests of rules.

/// Moments of all positions and channels of a value for one row after the other.
struct GraphValue {
  std::vector<double> mean, var, jacobian;

  explicit GraphValue(std::size_t size = 0) : mean(size), var(size), jacobian(size) {}
};

/// Calls use(z, w, a) for each product of a weight and an input that an affine map of some rows
/// sums: the numbers of an element of its value, of a parameter and of an element of its input.
template <class Use>
void for_each_product(const Graph& graph, const graph::Affine& op, const Shape& shape,
                      std::size_t rows, const Use& use) {
  const auto at = [](Index i) { return static_cast<std::size_t>(i); };
  const std::size_t channels = at(graph.shape(op.x).channels), n = at(shape.channels);
  const std::size_t fan_in = at(graph.fan_in(op));
  const std::size_t below = at(graph.shape(op.x).positions()), above = at(shape.positions());
  const auto products_of = [&](std::size_t result, std::size_t tap, std::size_t input) {
    for (std::size_t o = 0; o < n; ++o) {
      for (std::size_t c = 0; c < channels; ++c) {
        use(result * n + o, at(op.weight) + o * fan_in + tap * channels + c, input * channels + c);
      }
    }
  };
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t p = 0; op.taps == nullptr && p < above; ++p) {
      products_of(r * above + p, 0, r * below + p);
    }
    if (op.taps == nullptr) continue;
    for (const TapTable::Tap& tap : op.taps->taps()) {
      products_of(r * above + at(tap.result), at(tap.tap), r * below + at(tap.input));
    }
  }
}

class Float64Graph {
 public:
  Float64Graph(const Graph& graph, std::vector<double> mean, std::vector<double> var)
      : parameter_mean(std::move(mean)), parameter_var(std::move(var)), graph_(graph) {}

  std::vector<double> parameter_mean, parameter_var;
  /// Of activations by math::ActivationKind; those of the user are not known here.
  std::function<ScalarMoments(math::ActivationKind, double, double)> activation =
      [](math::ActivationKind kind, double mean, double var) {
        if (kind != math::ActivationKind::relu) return identity_truth(mean, var);
        // Far below 0 the library's moments are 0 (math/activations.h).
        return mean < -12.5 * std::sqrt(var) ? ScalarMoments{0, 0, 0} : relu_truth(mean, var);
      };

  struct Innovations {
    std::vector<double> parameter_mean, parameter_var, input_mean, input_var;
  };

  /// The values of all nodes for rows of data; an empty variance is 0.
  std::vector<GraphValue> forward(const std::vector<double>& mean, const std::vector<double>& var,
                                  std::size_t rows) const {
    return forward({}, mean, var, rows);
  }

  /// The same where the first values are given.
  std::vector<GraphValue> forward(std::vector<GraphValue> values, const std::vector<double>& mean,
                                  const std::vector<double>& var, std::size_t rows) const {
    for (std::size_t i = values.size(); i < graph_.nodes.size(); ++i) {
      const graph::Node& node = graph_.nodes[i];
      GraphValue out(rows * static_cast<std::size_t>(node.shape.size()));
      std::visit([&](const auto& op) { forward(op, node.shape, values, out, rows, mean, var); },
                 node.op);
      values.push_back(std::move(out));
    }
    return values;
  }

  const GraphValue& output(const std::vector<GraphValue>& values) const {
    return values[static_cast<std::size_t>(graph_.output)];
  }

  /// Innovations of parameters and of rows of data from those of the output.
  Innovations backward(const std::vector<GraphValue>& values, const GraphValue& delta,
                       std::size_t rows) const {
    std::vector<GraphValue> deltas;
    for (const GraphValue& value : values) deltas.emplace_back(value.mean.size());
    deltas[static_cast<std::size_t>(graph_.output)] = delta;
    Innovations sums;
    sums.parameter_mean.resize(parameter_mean.size());
    sums.parameter_var.resize(parameter_mean.size());
    sums.input_mean.resize(rows * static_cast<std::size_t>(graph_.row_size));
    sums.input_var.resize(sums.input_mean.size());
    for (std::size_t i = graph_.nodes.size(); i-- > 0;) {
      const graph::Node& node = graph_.nodes[i];
      std::visit([&](const auto& op) { backward(op, node.shape, values, i, deltas, rows, sums); },
                 node.op);
    }
    return sums;
  }

 private:
  using Values = std::vector<GraphValue>;

  std::size_t channels(graph::Value x) const {
    return static_cast<std::size_t>(graph_.shape(x).channels);
  }
  std::size_t positions(graph::Value x) const {
    return static_cast<std::size_t>(graph_.shape(x).positions());
  }
  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }

  void forward(const graph::Input& op, const Shape& shape, const Values&, GraphValue& out,
               std::size_t rows, const std::vector<double>& mean,
               const std::vector<double>& var) const {
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t k = 0; k < at(shape.size()); ++k) {
        const std::size_t from = r * at(graph_.row_size) + at(op.first_column) + k;
        out.mean[r * at(shape.size()) + k] = mean[from];
        out.var[r * at(shape.size()) + k] = var.empty() ? 0 : var[from];
      }
    }
  }
  void forward(const graph::Affine& op, const Shape& shape, const Values& values, GraphValue& out,
               std::size_t rows, const std::vector<double>&, const std::vector<double>&) const {
    const GraphValue& x = values[at(op.x)];
    const std::size_t n = at(shape.channels);
    for (std::size_t i = 0; op.bias && i < out.mean.size(); ++i) {
      out.mean[i] = parameter_mean[at(*op.bias) + i % n];
      out.var[i] = parameter_var[at(*op.bias) + i % n];
    }
    for_each_product(graph_, op, shape, rows, [&](std::size_t z, std::size_t w, std::size_t a) {
      const double wm = parameter_mean[w], wv = parameter_var[w];
      const double am = x.mean[a], av = x.var[a];
      out.mean[z] += wm * am;
      out.var[z] += wm * wm * av + wv * (am * am + av);
    });
  }
  void forward(const graph::Activate& op, const Shape&, const Values& values, GraphValue& out,
               std::size_t, const std::vector<double>&, const std::vector<double>&) const {
    const GraphValue& x = values[at(op.x)];
    const auto kind = std::get<math::ActivationSpec>(op.function).kind;
    for (std::size_t i = 0; i < x.mean.size(); ++i) {
      const ScalarMoments f = activation(kind, x.mean[i], x.var[i]);
      const double v = x.var[i];
      out.mean[i] = f.mean + (op.residual ? x.mean[i] : 0);
      out.var[i] = f.var + (op.residual ? v + 2 * f.jacobian * v : 0);
      out.jacobian[i] = f.jacobian + (op.residual ? 1 : 0);
    }
  }
  void forward(const graph::Mix& op, const Shape& shape, const Values& values, GraphValue& out,
               std::size_t rows, const std::vector<double>&, const std::vector<double>&) const {
    const GraphValue& x = values[at(op.x)];
    const std::size_t n = at(shape.channels), below = positions(op.x),
                      above = at(shape.positions());
    for (std::size_t r = 0; r < rows; ++r) {
      for (const TapTable::Tap& tap : op.taps->taps()) {
        for (std::size_t c = 0; c < n; ++c) {
          const double w = tap.weight;
          const std::size_t from = (r * below + at(tap.input)) * n + c;
          out.mean[(r * above + at(tap.result)) * n + c] += w * x.mean[from];
          out.var[(r * above + at(tap.result)) * n + c] += w * w * x.var[from];
        }
      }
    }
  }
  void forward(const graph::Add& op, const Shape&, const Values& values, GraphValue& out,
               std::size_t, const std::vector<double>&, const std::vector<double>&) const {
    for (graph::Value x : op.xs) {
      for (std::size_t i = 0; i < out.mean.size(); ++i) {
        out.mean[i] += values[at(x)].mean[i];
        out.var[i] += values[at(x)].var[i];
      }
    }
  }
  void forward(const graph::Concat& op, const Shape& shape, const Values& values, GraphValue& out,
               std::size_t rows, const std::vector<double>&, const std::vector<double>&) const {
    std::size_t first = 0;
    for (graph::Value x : op.xs) {
      for (std::size_t r = 0; r < rows * at(shape.positions()); ++r) {
        for (std::size_t c = 0; c < channels(x); ++c) {
          const std::size_t to = r * at(shape.channels) + first + c;
          out.mean[to] = values[at(x)].mean[r * channels(x) + c];
          out.var[to] = values[at(x)].var[r * channels(x) + c];
        }
      }
      first += channels(x);
    }
  }
  void forward(const graph::Slice& op, const Shape& shape, const Values& values, GraphValue& out,
               std::size_t rows, const std::vector<double>&, const std::vector<double>&) const {
    for (std::size_t r = 0; r < rows * at(shape.positions()); ++r) {
      for (std::size_t c = 0; c < at(shape.channels); ++c) {
        const std::size_t from = r * channels(op.x) + at(op.first_channel) + c;
        out.mean[r * at(shape.channels) + c] = values[at(op.x)].mean[from];
        out.var[r * at(shape.channels) + c] = values[at(op.x)].var[from];
      }
    }
  }
  void forward(const graph::Reshape& op, const Shape&, const Values& values, GraphValue& out,
               std::size_t, const std::vector<double>&, const std::vector<double>&) const {
    out = values[at(op.x)];
  }
  void forward(const graph::Product& op, const Shape&, const Values& values, GraphValue& out,
               std::size_t, const std::vector<double>&, const std::vector<double>&) const {
    const GraphValue &a = values[at(op.a)], &b = values[at(op.b)];
    for (std::size_t i = 0; i < out.mean.size(); ++i) {
      const double mean = a.mean[i] * b.mean[i];
      out.mean[i] = mean;
      out.var[i] =
          (a.mean[i] * a.mean[i] + a.var[i]) * (b.mean[i] * b.mean[i] + b.var[i]) - mean * mean;
    }
  }

  /// The position that each element of a window's result takes: of the first with the largest mean.
  std::vector<std::size_t> chosen(const graph::Largest& op, const Shape& shape, const GraphValue& x,
                                  std::size_t rows) const {
    const std::size_t n = at(shape.channels), below = positions(op.x),
                      above = at(shape.positions());
    constexpr auto none = static_cast<std::size_t>(-1);
    std::vector<std::size_t> places(rows * at(shape.size()), none);
    for (std::size_t r = 0; r < rows; ++r) {
      for (const TapTable::Tap& tap : op.taps->taps()) {  // of a result in the order of taps
        for (std::size_t c = 0; c < n; ++c) {
          const std::size_t from = (r * below + at(tap.input)) * n + c;
          std::size_t& place = places[(r * above + at(tap.result)) * n + c];
          if (place == none || x.mean[from] > x.mean[place]) place = from;
        }
      }
    }
    return places;
  }
  void forward(const graph::Largest& op, const Shape& shape, const Values& values, GraphValue& out,
               std::size_t rows, const std::vector<double>&, const std::vector<double>&) const {
    const GraphValue& x = values[at(op.x)];
    const std::vector<std::size_t> places = chosen(op, shape, x, rows);
    for (std::size_t i = 0; i < places.size(); ++i) {
      out.mean[i] = x.mean[places[i]];
      out.var[i] = x.var[places[i]];
    }
  }

  /// Calls use(the elements of a set) for each set of a norm.
  template <class Use>
  void for_each_set(const graph::Normalise& op, const Shape& shape, std::size_t rows,
                    const Use& use) const {
    const std::size_t n = at(shape.positions()), width = at(shape.channels / op.sets.groups);
    const std::size_t blocks = op.sets.per_position ? rows * n : rows;
    for (std::size_t block = 0; block < blocks; ++block) {
      for (std::size_t group = 0; group < at(op.sets.groups); ++group) {
        std::vector<std::size_t> elements;
        for (std::size_t p = 0; p < (op.sets.per_position ? 1 : n); ++p) {
          const std::size_t position = op.sets.per_position ? block : block * n + p;
          for (std::size_t c = 0; c < width; ++c) {
            elements.push_back(position * at(shape.channels) + group * width + c);
          }
        }
        use(elements);
      }
    }
  }
  void forward(const graph::Normalise& op, const Shape& shape, const Values& values,
               GraphValue& out, std::size_t rows, const std::vector<double>&,
               const std::vector<double>&) const {
    const GraphValue& x = values[at(op.x)];
    for_each_set(op, shape, rows, [&](const std::vector<std::size_t>& elements) {
      const auto n = static_cast<double>(elements.size());
      double mu = 0, q = 0;
      for (std::size_t i : elements) mu += op.sets.centred ? x.mean[i] / n : 0;
      for (std::size_t i : elements) {
        q += ((x.mean[i] - mu) * (x.mean[i] - mu) + x.var[i]) / n;
      }
      const double r = 1 / std::sqrt(q + double{op.sets.eps});
      for (std::size_t i : elements) {
        out.mean[i] = r * (x.mean[i] - mu);
        out.var[i] = r * r * x.var[i];
        out.jacobian[i] = r;
      }
    });
  }

  void backward(const graph::Input& op, const Shape& shape, const Values&, std::size_t node,
                Values& deltas, std::size_t rows, Innovations& sums) const {
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t k = 0; k < at(shape.size()); ++k) {
        const std::size_t to = r * at(graph_.row_size) + at(op.first_column) + k;
        sums.input_mean[to] += deltas[node].mean[r * at(shape.size()) + k];
        sums.input_var[to] += deltas[node].var[r * at(shape.size()) + k];
      }
    }
  }
  void backward(const graph::Affine& op, const Shape& shape, const Values& values, std::size_t node,
                Values& deltas, std::size_t rows, Innovations& sums) const {
    const GraphValue &x = values[at(op.x)], &delta = deltas[node];
    GraphValue& below = deltas[at(op.x)];
    for_each_product(graph_, op, shape, rows, [&](std::size_t z, std::size_t w, std::size_t a) {
      const double am = x.mean[a], wm = parameter_mean[w];
      sums.parameter_mean[w] += delta.mean[z] * am;
      sums.parameter_var[w] += delta.var[z] * am * am;
      below.mean[a] += delta.mean[z] * wm;
      below.var[a] += delta.var[z] * wm * wm;
    });
    for (std::size_t i = 0; op.bias && i < delta.mean.size(); ++i) {
      const std::size_t b = at(*op.bias) + i % at(shape.channels);
      sums.parameter_mean[b] += delta.mean[i];
      sums.parameter_var[b] += delta.var[i];
    }
  }
  void backward(const graph::Activate& op, const Shape&, const Values& values, std::size_t node,
                Values& deltas, std::size_t, Innovations&) const {
    scale(deltas[node], values[node].jacobian, deltas[at(op.x)]);
  }
  void backward(const graph::Mix& op, const Shape& shape, const Values&, std::size_t node,
                Values& deltas, std::size_t rows, Innovations&) const {
    const std::size_t n = at(shape.channels), below = positions(op.x),
                      above = at(shape.positions());
    for (std::size_t r = 0; r < rows; ++r) {
      for (const TapTable::Tap& tap : op.taps->taps()) {
        for (std::size_t c = 0; c < n; ++c) {
          const double w = tap.weight;
          const std::size_t from = (r * above + at(tap.result)) * n + c;
          const std::size_t to = (r * below + at(tap.input)) * n + c;
          deltas[at(op.x)].mean[to] += w * deltas[node].mean[from];
          deltas[at(op.x)].var[to] += w * w * deltas[node].var[from];
        }
      }
    }
  }
  void backward(const graph::Add& op, const Shape&, const Values&, std::size_t node, Values& deltas,
                std::size_t, Innovations&) const {
    const std::vector<double> ones(deltas[node].mean.size(), 1);
    for (graph::Value x : op.xs) scale(deltas[node], ones, deltas[at(x)]);
  }
  void backward(const graph::Concat& op, const Shape& shape, const Values&, std::size_t node,
                Values& deltas, std::size_t rows, Innovations&) const {
    std::size_t first = 0;
    for (graph::Value x : op.xs) {
      for (std::size_t r = 0; r < rows * at(shape.positions()); ++r) {
        for (std::size_t c = 0; c < channels(x); ++c) {
          const std::size_t from = r * at(shape.channels) + first + c;
          deltas[at(x)].mean[r * channels(x) + c] += deltas[node].mean[from];
          deltas[at(x)].var[r * channels(x) + c] += deltas[node].var[from];
        }
      }
      first += channels(x);
    }
  }
  void backward(const graph::Slice& op, const Shape& shape, const Values&, std::size_t node,
                Values& deltas, std::size_t rows, Innovations&) const {
    for (std::size_t r = 0; r < rows * at(shape.positions()); ++r) {
      for (std::size_t c = 0; c < at(shape.channels); ++c) {
        const std::size_t to = r * channels(op.x) + at(op.first_channel) + c;
        deltas[at(op.x)].mean[to] += deltas[node].mean[r * at(shape.channels) + c];
        deltas[at(op.x)].var[to] += deltas[node].var[r * at(shape.channels) + c];
      }
    }
  }
  void backward(const graph::Reshape& op, const Shape&, const Values&, std::size_t node,
                Values& deltas, std::size_t, Innovations&) const {
    scale(deltas[node], std::vector<double>(deltas[node].mean.size(), 1), deltas[at(op.x)]);
  }
  void backward(const graph::Product& op, const Shape&, const Values& values, std::size_t node,
                Values& deltas, std::size_t, Innovations&) const {
    scale(deltas[node], values[at(op.b)].mean, deltas[at(op.a)]);
    scale(deltas[node], values[at(op.a)].mean, deltas[at(op.b)]);
  }

  void backward(const graph::Largest& op, const Shape& shape, const Values& values,
                std::size_t node, Values& deltas, std::size_t rows, Innovations&) const {
    const std::vector<std::size_t> places = chosen(op, shape, values[at(op.x)], rows);
    for (std::size_t i = 0; i < places.size(); ++i) {
      deltas[at(op.x)].mean[places[i]] += deltas[node].mean[i];
      deltas[at(op.x)].var[places[i]] += deltas[node].var[i];
    }
  }
  /// By the whole Jacobian of each set, d y_i / d m_j = r (1[i = j] - c / n - y_i y_j / n) with c =
  /// 1 where means are taken off.
  void backward(const graph::Normalise& op, const Shape& shape, const Values& values,
                std::size_t node, Values& deltas, std::size_t rows, Innovations&) const {
    const GraphValue &y = values[node], &delta = deltas[node];
    for_each_set(op, shape, rows, [&](const std::vector<std::size_t>& elements) {
      const auto n = static_cast<double>(elements.size());
      for (std::size_t j : elements) {
        const double r = y.jacobian[j];
        for (std::size_t i : elements) {
          const double of_mean = op.sets.centred ? 1 / n : 0;
          const double slope =
              (i == j ? 1 : 0) - (op.sets.exact ? of_mean + y.mean[i] * y.mean[j] / n : 0);
          deltas[at(op.x)].mean[j] += delta.mean[i] * r * slope;
        }
        deltas[at(op.x)].var[j] += delta.var[j] * r * r;
      }
    });
  }

  static void scale(const GraphValue& delta, const std::vector<double>& slope, GraphValue& below) {
    for (std::size_t i = 0; i < slope.size(); ++i) {
      below.mean[i] += delta.mean[i] * slope[i];
      below.var[i] += delta.var[i] * slope[i] * slope[i];
    }
  }

  const Graph& graph_;
};

}  // namespace tagix::test
