#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/backend.h"
#include "core/memory.h"
#include "core/moments.h"
#include "core/parameter.h"
#include "core/step.h"
#include "graph/value.h"

namespace tagix {

/// What a forward pass leaves behind for the backward pass. It belongs to one call, so that one
/// network may serve several threads.
struct Trace {
  explicit Trace(Backend& backend) : output(backend), jacobian(backend), slopes(backend) {}

  ConstMomentsView result;  ///< the output of the layer, wherever it lies
  Moments output;
  Buffer<float> jacobian;
  Buffer<float> slopes;  ///< of an activation's moments, for tangents
  std::vector<Trace> children;
};

/// The innovation that travels down a network: two buffers, of which one is current. Each call
/// begins with the same one, so that a call like the one before needs no more memory.
class Deltas {
 public:
  explicit Deltas(Backend& backend) : first_(backend), second_(backend) {}

  MomentsView current() { return (first_is_current_ ? first_ : second_).view(); }
  /// Starts anew with an innovation of the given shape, to be written by the caller.
  MomentsView start(Index rows, Index cols) {
    first_is_current_ = true;
    return resized(first_, rows, cols);
  }
  /// The other buffer, in the given shape, for a layer that cannot work in place.
  MomentsView next(Index rows, Index cols) {
    return resized(first_is_current_ ? second_ : first_, rows, cols);
  }
  /// Makes what next() gave current.
  void advance() { first_is_current_ = !first_is_current_; }

 private:
  static MomentsView resized(Moments& buffer, Index rows, Index cols) {
    buffer.resize(rows, cols);
    return buffer.view();
  }

  Moments first_;
  Moments second_;
  bool first_is_current_ = true;
};

/// The tangents that travel up a network (core/backend.h): two buffers as well.
using Tangents = Deltas;

/// An argument of a layer's constructor, for printing, saving and rebuilding it.
using ConfigValue = std::variant<bool, Index, double, std::string>;
using Config = std::vector<std::pair<std::string, ConfigValue>>;

/// A piece of a network: a description without state, which writes itself down as operations of a
/// graph. The layers of chains have passes of their own beside that, to which parameters and traces
/// are handed; those of others throw std::logic_error.
class Layer {
 public:
  virtual ~Layer() = default;

  /// The name of the class, as in Python: "Linear".
  virtual std::string name() const = 0;
  virtual Config config() const = 0;

  /// The number of input features where the layer fixes it.
  virtual std::optional<Index> input_features() const { return std::nullopt; }

  /// The number of output features for this many input features; throws std::invalid_argument if
  /// the layer cannot take them.
  virtual Index output_features(Index input_features) const { return input_features; }

  /// The parameters, in the order in which they lie in the flat view that the passes receive.
  virtual std::vector<ParameterSpec> parameters() const { return {}; }
  Index parameter_count() const;

  /// Writes the layer down for these inputs and returns its output. Throws std::invalid_argument,
  /// with the layer's path, for inputs that it cannot take.
  virtual graph::Value build(GraphBuilder& graph, std::span<const graph::Value> inputs) const = 0;

  /// Appends the steps that the layer consists of; returns false, with `steps` in any state, if it
  /// is more than a list of steps.
  virtual bool append_steps(std::vector<Step>&) const { return false; }

  /// Points trace.result to the output (batch x output features) and keeps in `trace` all that
  /// backward will need.
  virtual void forward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                       Trace& trace) const;

  /// Replaces deltas.current(), the innovation of the output, by that of the input, and writes the
  /// innovation of the parameters. Nothing reads the innovation of the input if
  /// `need_input_delta` is false.
  virtual void backward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                        const Trace& trace, bool need_input_delta, Deltas& deltas,
                        MomentsView innovation) const;

  /// Replaces tangents.current(), those of the input that forward has had, by those of the output.
  virtual void forward_tangents(Backend& backend, ConstMomentsView parameters,
                                ConstMomentsView input, Trace& trace, Tangents& tangents) const;

  /// Whether each output depends on one input alone, that of its column.
  virtual bool is_elementwise() const { return false; }

  /// Writes the covariances of the first n_outputs outputs (batch x n_outputs x n_outputs), for an
  /// input that forward has had, of independent features. An elementwise layer replaces those of
  /// its input instead.
  virtual void output_covariance(Backend& backend, ConstMomentsView parameters,
                                 ConstMomentsView input, const Trace& trace, Index n_outputs,
                                 float* covariance) const;
};

/// Appends the parameters of a layer's child, with its path: "weight" of "body" is "body.weight".
void append_parameters(const std::string& child, const Layer& layer,
                       std::vector<ParameterSpec>& specs);

}  // namespace tagix
