#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/backend.h"
#include "core/memory.h"
#include "core/moments.h"
#include "core/step.h"

namespace tagix {

/// An element of a parameter array that is a number and no unknown: its variance is 0, so that no
/// update moves it.
struct ConstantElement {
  Index index;
  float value;
};

/// One parameter array of a layer: independent Gaussians. Before training their variances are
/// prior_std^2, and their means are drawn from N(0, prior_std^2), or known.
struct ParameterSpec {
  std::string name;          ///< as "weight"; a container prefixes its own path, as "0.weight"
  std::vector<Index> shape;  ///< as a user sees it: {out, in} or {out}
  float prior_std;           ///< 0: zeros that stay, of which no user is told
  std::vector<float> prior_mean = {};  ///< one for each element; empty: drawn
  float least_var = 0;                 ///< that updates leave
  std::vector<ConstantElement> constants = {};

  Index size() const;
  bool is_fixed() const { return prior_std == 0; }
};

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

/// A piece of a network: its shapes, its parameters' names and priors, and its two passes. A layer
/// is a description without state; parameters and traces are handed to it.
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

  /// Appends the steps that the layer consists of; returns false, with `steps` in any state, if it
  /// is more than a list of steps.
  virtual bool append_steps(std::vector<Step>& steps) const = 0;

  /// Points trace.result to the output (batch x output features) and keeps in `trace` all that
  /// backward will need.
  virtual void forward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                       Trace& trace) const = 0;

  /// Replaces deltas.current(), the innovation of the output, by that of the input, and writes the
  /// innovation of the parameters. Nothing reads the innovation of the input if
  /// `need_input_delta` is false.
  virtual void backward(Backend& backend, ConstMomentsView parameters, ConstMomentsView input,
                        const Trace& trace, bool need_input_delta, Deltas& deltas,
                        MomentsView innovation) const = 0;

  /// Replaces tangents.current(), those of the input that forward has had, by those of the output.
  virtual void forward_tangents(Backend& backend, ConstMomentsView parameters,
                                ConstMomentsView input, Trace& trace, Tangents& tangents) const = 0;

  /// Whether each output depends on one input alone, that of its column.
  virtual bool is_elementwise() const { return false; }

  /// Writes the covariances of the first n_outputs outputs (batch x n_outputs x n_outputs), for an
  /// input that forward has had, of independent features. An elementwise layer replaces those of
  /// its input instead.
  virtual void output_covariance(Backend& backend, ConstMomentsView parameters,
                                 ConstMomentsView input, const Trace& trace, Index n_outputs,
                                 float* covariance) const = 0;
};

}  // namespace tagix
