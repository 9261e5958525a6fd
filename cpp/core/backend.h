#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "core/affine_pass.h"
#include "core/chain_step.h"
#include "core/diffusion_tables.h"
#include "core/forgetting.h"
#include "core/host.h"
#include "core/image_products.h"
#include "core/index.h"
#include "core/moments.h"
#include "core/norm_sets.h"
#include "core/precision.h"
#include "core/recording.h"
#include "core/slopes.h"
#include "core/taps_view.h"
#include "core/training_state.h"
#include "math/activations.h"
#include "math/classes.h"
#include "math/drift.h"
#include "math/inference.h"
#include "math/inferred_noise.h"
#include "math/philox.h"

namespace tagix {

class Executor;

/// How the innovations of a batch change the parameters (formulas in math/inference.h).
struct UpdateRule {
  using Kind = math::UpdateKind;
  Kind kind = Kind::information;
  double share = 0.01;      ///< information: k, the part of its uncertainty a batch shares
  double clip = 1.0 / 3.0;  ///< information: bound on a change of mean, in standard deviations
  double cap = 0;           ///< capped: the divisor of the bound; 0 chooses by batch size

  /// 1 + k (n - 1), the factor on the prior variance in an innovation of a batch of so many rows,
  /// which by their weights count as n.
  float spread(Index batch_size, float mean_weight = 1) const;
  /// The divisor in force for a batch: `cap`, or 0.1, 2 and 3 for batches of 1, 2..255 and more.
  float cap_for(Index batch_size) const;
  /// What bounds a change in a batch: `clip`, or the divisor in force.
  float bound_for(Index batch_size) const;
};

/// What is known of targets beside the outputs of a network: noise variances over their rows x cols
/// grid, which repeat along a dimension whose stride is 0; or a noise head, which infers them, and
/// then there are no data; or that the one target of a row is a class. And how many rows with the
/// same targets a row counts as: innovations are multiplied by its weight. The arrays are in the
/// memory that pointers of this type are to: a backend's, or the host's.
template <class Pointer>
struct BasicNoiseView {
  Pointer data = nullptr;
  Index row_stride = 0;
  Index col_stride = 0;
  math::NoiseHead head = {};
  math::ClassHead classes = {};
  Pointer weight = nullptr;  ///< of each row; null: 1
  float mean_weight = 1;     ///< about what rows of a batch have, for UpdateRule::spread

  /// The number of targets of a network of so many outputs.
  TAGIX_HD constexpr Index n_targets(Index outputs) const {
    return classes.exists() ? 1 : head.n_targets(outputs);
  }
  /// The noise variance of a target, of numbers without a noise head.
  TAGIX_HD constexpr float known_var(Index row, Index col) const {
    return data[row * row_stride + col * col_stride];
  }
  /// The noise from a row of the targets on.
  constexpr BasicNoiseView from_row(Index first) const {
    BasicNoiseView rest = *this;
    rest.data += first * row_stride;
    if (weight != nullptr) rest.weight += first;
    return rest;
  }
  /// The number of values that `data` has for so many rows and columns.
  constexpr Index n_values(Index rows, Index cols) const {
    return (rows - 1) * row_stride + (cols - 1) * col_stride + 1;
  }
};

using NoiseView = BasicNoiseView<const float*>;
using HostNoise = BasicNoiseView<HostPointer<const float>>;

/// The mean of the weights of rows, for NoiseView.
float mean_weight_of(HostPointer<const float> weight, Index rows);

/// Which covariances of some outputs are asked for: none, their variances (n), or all (n x n).
enum class Covariances { none, variances, all };

constexpr Index count(Covariances covariances, Index n_outputs) {
  return covariances == Covariances::none        ? 0
         : covariances == Covariances::variances ? n_outputs
                                                 : n_outputs * n_outputs;
}

/// One device: its memory and the operations that every layer, update and sampler is made of.
///
/// All pointers are to the backend's memory, but for a HostPointer; all matrices are float32,
/// row-major and, but for columns of wider ones, dense. A backend may be used by several threads at
/// a time. The operations trust their arguments: whatever comes from a user is checked before it
/// gets here. An operation may be queued and done later, but in the order of the calls of its
/// thread; `download` and `synchronise` wait for it. Other threads may use what it gives once
/// either has returned.
///
/// Every operation is held to float64 by the conformance suite (tests/conformance), which also
/// says what each costs.
class Backend {
 public:
  virtual ~Backend() = default;

  /// The device, what it runs on and its precision, as "cpu (x86-64-v4, float32)".
  virtual std::string name() const = 0;

  /// What matrix products round their factors to.
  virtual Precision precision() const = 0;

  // Memory.

  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory, std::size_t bytes) noexcept = 0;
  /// Copies `count` values from the host, or to it.
  template <class T>
  void upload(HostPointer<const T> host, std::type_identity_t<T>* memory, Index count) {
    upload_bytes(host.get(), memory, static_cast<std::size_t>(count) * sizeof(T));
  }
  template <class T>
  void upload(HostPointer<T> host, T* memory, Index count) {
    upload(HostPointer<const T>(host), memory, count);
  }
  template <class T>
  void download(const std::type_identity_t<T>* memory, HostPointer<T> host, Index count) {
    download_bytes(memory, host.get(), static_cast<std::size_t>(count) * sizeof(T));
  }
  /// Whether operations can use the host's memory as it is: then nothing needs an upload.
  virtual bool reads_host_memory() const = 0;
  /// An array of the host where operations can use it as it is; null where it needs an upload.
  template <class T>
  T* in_place(HostPointer<T> host) const {
    return reads_host_memory() ? host.get() : nullptr;
  }
  /// Returns when all that was asked for has been done.
  virtual void synchronise() = 0;

  /// Calls `queue`, which queues operations of this backend, so that they can be queued again at
  /// once, on the same memory; they are not carried out yet. Everything must have been queued
  /// before, in the same sizes, so that nothing is left to allocate, and nothing on the way may
  /// wait for the device or copy from the host. Null where nothing is gained.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& queue) = 0;

  /// An executor that runs these steps faster than `by_graph` where it can, and leaves the rest to
  /// that one.
  virtual std::unique_ptr<Executor> fuse(const std::vector<ChainStep>& steps,
                                         std::unique_ptr<Executor> by_graph) = 0;

  // Inference; docs/architecture.md gives the equations.

  /// Whether affine_forward can run an activation as its epilogue, at less than activation_forward
  /// costs.
  virtual bool has_epilogue(const math::ActivationSpec& activation) const = 0;

  /// Moments of z = a W^T + b: output (batch x out), input (batch x in), weight (out x in), bias
  /// (1 x out, or an empty view for none). An input without `var` is known exactly. With an
  /// epilogue, which has_epilogue must allow, the output is what activation_forward gives of z.
  virtual void affine_forward(ConstMomentsView input, ConstMomentsView weight,
                              ConstMomentsView bias, const std::optional<Epilogue>& epilogue,
                              MomentsView output) = 0;

  /// The means alone, of an input and a weight that are known exactly: output = a W^T + b. Their
  /// variances do not count, and may be null.
  virtual void affine_means(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                            float* output) = 0;

  /// Innovations of the input from those of the output:
  /// delta_input.mean = delta.mean W_mean, delta_input.var = delta.var W_mean^2; then, unless
  /// `jacobian` (batch x in) is null, scale_deltas by it.
  virtual void affine_backward(ConstMomentsView delta, ConstMomentsView weight,
                               const float* jacobian, MomentsView delta_input) = 0;

  /// Products of windows of images that are faster than those of gathered rows; null where there
  /// are none.
  virtual const ImageProducts* image_products() const = 0;

  /// Whether the innovations of affine maps are best summed for all of them at once, after a pass,
  /// for which their inputs and deltas must stay; else for each one while those are in cache.
  virtual bool sums_innovations_together() const = 0;

  /// The floats of `scratch` that affine_innovations and update_by_passes take.
  virtual Index innovation_scratch(std::span<const AffinePass> passes) const = 0;

  /// Innovations of the parameters of affine maps, summed over the batch:
  /// mean = sum_b delta.mean a_mean, var = sum_b delta.var a_mean^2, of a bias with a_mean = 1.
  /// They are written to their places in `innovation` (1 x all parameters) or, where a pass says
  /// so, added, one pass after the other: parameters of several maps so get the sum. The order of
  /// summation depends on the shapes alone.
  virtual void affine_innovations(std::span<const AffinePass> passes, MomentsView innovation,
                                  float* scratch) = 0;

  /// Moments of f(z) and the Jacobian Cov(z, f(z)) / Var z, elementwise.
  virtual void activation_forward(const math::ActivationSpec& spec, ConstMomentsView input,
                                  MomentsView output, float* jacobian) = 0;

  /// output[i] = f(input[i]) for i < size; output may be input.
  virtual void activation_values(const math::ActivationSpec& spec, const float* input, Index size,
                                 float* output) = 0;

  /// Where a user's own activation has to be evaluated: points (n_points x input.size()), with
  /// n_points from activation_point_count(form).
  virtual void activation_points(math::MomentsForm form, ConstMomentsView input, float* points) = 0;

  /// The moments and Jacobian of an activation from its values and derivatives at those points.
  virtual void activation_from_points(math::MomentsForm form, ConstMomentsView input,
                                      const float* values, const float* derivatives,
                                      MomentsView output, float* jacobian) = 0;

  /// Innovations below an activation: delta.mean J, delta.var J^2, in place.
  virtual void scale_deltas(const float* jacobian, MomentsView delta) = 0;

  /// Innovations of the outputs (delta has the shape of the prediction) from targets: rows x
  /// noise.n_targets(cols), NaN = missing; times the weights of rows.
  virtual void observe(ConstMomentsView prediction, const float* target, NoiseView noise,
                       float spread, MomentsView delta) = 0;

  /// Takes a prediction of numbers apart: the values (rows x n,
  /// n = noise.n_targets(prediction.cols)), the noise variances of targets (rows x n), and the sum
  /// of both variances (rows x n).
  virtual void split_prediction(ConstMomentsView prediction, NoiseView noise, MomentsView values,
                                float* noise_var, float* total_var) = 0;

  /// The probabilities of classes (rows x classes.n_classes) from the outputs (math/classes.h),
  /// each row of which sums to 1.
  virtual void class_probabilities(ConstMomentsView prediction, const math::ClassHead& classes,
                                   float* probabilities) = 0;

  /// Changes parameters by their summed innovations (same shape) in a batch of `batch_size`, unless
  /// `state` says that something has failed.
  virtual void update(const UpdateRule& rule, Index batch_size, ConstMomentsView innovation,
                      MomentsView parameters, const TrainingState* state) = 0;

  /// Changes parameters by what maps that share none have learned in a batch of `batch_size`: as
  /// affine_innovations, check_finite and update. Parameters of no map stay as they are.
  virtual void update_by_passes(const UpdateRule& rule, Index batch_size,
                                std::span<const AffinePass> passes, MomentsView parameters,
                                TrainingState* state, float* scratch) = 0;

  /// Tests the targets that `state` has recorded since the last test for drift, unless something
  /// has failed.
  virtual void test_drift(const Forgetting& forgetting, TrainingState* state,
                          math::DriftState* drift) = 0;

  /// Changes variances by what parameters forget in a step; `drift`, unless null, says whether that
  /// is more. Does nothing after a failure.
  virtual void forget(const ParameterWalk& step, const math::DriftState* drift,
                      const TrainingState* state, Index size, float* var) = 0;

  /// target = values, and sum += values, for both planes.
  virtual void copy(ConstMomentsView values, MomentsView target) = 0;
  virtual void add(ConstMomentsView values, MomentsView sum) = 0;

  // What joins and divides values of a graph (graph/graph.h). Values without `var` are known
  // exactly: their variances count as 0. A target or an output without `var` takes the means alone.

  /// copy and add for columns of wider matrices.
  virtual void copy_columns(ConstColumnsView values, ColumnsView target) = 0;
  virtual void add_columns(ConstColumnsView values, ColumnsView sum) = 0;
  /// target = 0, for both planes.
  virtual void clear_columns(ColumnsView target) = 0;

  /// Sums over positions with known weights, for each row of a batch and each channel: output
  /// (batch x taps.results, channels) from input (batch x taps.inputs, channels). Means are summed
  /// with the weights, variances with their squares; with `add`, to what is there. Innovations take
  /// the same way back by the transposed table.
  virtual void mix(ConstMomentsView input, const TapsView& taps, bool add, MomentsView output) = 0;

  /// Positions side by side as windows read them, for an affine map of them: row i of the output
  /// (rows x (n_taps channels)) has the channels of each tap of row first_row + i of a batch of
  /// results, 0 where there is none. `input` is a plane of a batch of inputs, of so many channels.
  virtual void gather(const float* input, Index channels, const PositionsView& positions,
                      Index first_row, Index rows, float* output) = 0;

  /// The moments of the position with the largest mean in each window and channel, as of a window
  /// that is known to have its largest element there: output (batch x windows.results, channels)
  /// from input (batch x windows.inputs, channels). `choice` gets the number of the tap, for each
  /// element of the output. Every window has a position.
  virtual void largest(ConstMomentsView input, const PositionsView& windows, MomentsView output,
                       float* choice) = 0;

  /// Innovations below, or adjoints of several outputs: what windows that have chosen a position
  /// give, written or, with `add`, added. There are n_choices choices, which adjoints share;
  /// `readers` is the transposed table of the windows. A delta without `var` is 0 there.
  virtual void largest_backward(ConstMomentsView delta, const float* choice, Index n_choices,
                                const PositionsView& readers, bool add, MomentsView below) = 0;

  /// Brings each set of elements to a second moment of 1 (formulas in ops/normalise.h); `scale`
  /// gets the factor r of each set, sets.per_row() for each row of the batch.
  virtual void normalise(ConstMomentsView input, const NormSets& sets, MomentsView output,
                         float* scale) = 0;

  /// Innovations below it, with `output` the means that it gave; or, if that has variances,
  /// adjoints of one or several outputs. Written or, with `add`, added.
  virtual void normalise_backward(ConstMomentsView output, const float* scale, const NormSets& sets,
                                  ConstMomentsView delta, bool add, MomentsView below) = 0;

  /// Moments of a b for independent a and b, elementwise:
  /// mean = a_mean b_mean, var = a_var b_var + a_var b_mean^2 + b_var a_mean^2.
  virtual void product(ConstMomentsView a, ConstMomentsView b, MomentsView output) = 0;

  /// How those moments follow the moments of a, elementwise: each a.size() slopes.
  virtual void product_slopes(ConstMomentsView a, ConstMomentsView b, SlopesView slopes) = 0;

  /// scale_deltas to another place, written or, with `add`, added: below = delta.mean J,
  /// delta.var J^2. For a factor of a product J is the mean of the other one.
  virtual void scale_deltas_to(const float* jacobian, ConstMomentsView delta, bool add,
                               MomentsView below) = 0;

  /// Moments of z + f(z) and the Jacobian 1 + J, elementwise, in place of those of f(z) and J:
  /// var = Var f + (1 + 2 J) Var z. `input` holds z.
  virtual void residual_activation(ConstMomentsView input, MomentsView output, float* jacobian) = 0;

  /// Sets the failure of `state` to Failure::innovation if a mean or a variance is not finite; of
  /// innovations, or of rows that a user has put on a device.
  virtual void check_finite(ConstMomentsView values, TrainingState* state) = 0;

  // The adjoint: how the means of outputs follow the moments of a value. It keeps the derivatives G
  // by means in `mean` and G_v by variances in `var`. Adjoints of several outputs lie one output
  // after the other: adjoint.rows = n_outputs x batch.

  /// The adjoint of a network's output for its first n_outputs columns: 1 by the mean of column k
  /// in that of output k, all else 0.
  virtual void start_adjoint(Index n_outputs, MomentsView adjoint) = 0;

  /// The adjoint of affine_forward's input (n_outputs x batch, in) from that of its output
  /// (n_outputs x batch, out), with `input` the moments that it had:
  /// G W_mean + 2 a_mean (G_v W_var) and G_v (W_mean^2 + W_var). An adjoint without `var` is 0
  /// there.
  virtual void affine_adjoint(ConstMomentsView input, ConstMomentsView weight,
                              ConstMomentsView adjoint, MomentsView below) = 0;

  /// The slopes of activation_forward's moments, elementwise, each input.size() values; with
  /// `residual` those of residual_activation's.
  virtual void activation_slopes(const math::ActivationSpec& spec, ConstMomentsView input,
                                 bool residual, SlopesView slopes) = 0;

  /// Those of activation_from_points. In the first-order form, which knows no f'', the slope of the
  /// variance by the mean, which has it as a factor, is taken as 0.
  virtual void activation_slopes_from_points(math::MomentsForm form, ConstMomentsView input,
                                             const float* values, const float* derivatives,
                                             bool residual, SlopesView slopes) = 0;

  /// The adjoint below an elementwise function, for each output by the same `size` slopes:
  /// mean_by_mean G + var_by_mean G_v and mean_by_var G + var_by_var G_v, written or, with `add`,
  /// added. `below` may be `adjoint` itself.
  virtual void scale_adjoint(ConstSlopesView slopes, Index size, ConstMomentsView adjoint, bool add,
                             MomentsView below) = 0;

  // What a node adds to the variances that come from below, elementwise.

  /// Of an affine map, by its parameters: spread (batch x out) = W_var (a_mean^2 + a_var) + b_var.
  /// The means of an input without `mean` count as 0.
  virtual void affine_spread(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                             float* spread) = 0;
  /// Of an activation, by what is not linear in it: max(0, var - jacobian^2 input_var).
  virtual void activation_excess(const float* input_var, const float* jacobian, const float* var,
                                 Index size, float* excess) = 0;
  /// Of a product: a_var b_var.
  virtual void product_excess(const float* a_var, const float* b_var, Index size,
                              float* excess) = 0;

  /// covariance (batch x n_outputs x n_outputs) += G diag(var) G^T for each row, symmetric to the
  /// bit; or its diagonal alone (batch x n_outputs). Each row has adjoint.cols variances of its
  /// own, or all have the same: var_stride is adjoint.cols or 0.
  virtual void add_spread(ConstMomentsView adjoint, const float* var, Index var_stride,
                          Index n_outputs, Covariances covariances, float* covariance) = 0;

  /// The adjoint of a weight (out x in) that affine maps share, or the positions of a grid, so that
  /// all that it adds varies together: for each output and row
  ///
  ///   sums (n_outputs x batch, out x in) += sum_p G[p]^T a_mean[p]
  ///
  /// over the positions p of a row: input (batch x positions, in), adjoint (n_outputs x batch x
  /// positions, out). `sums` are columns of a matrix of means. With `input` null a_mean is 1 and
  /// `in` too, for a bias.
  virtual void add_weight_adjoint(const float* input, Index in, ConstMomentsView adjoint,
                                  Index n_outputs, ColumnsView sums) = 0;

  /// jacobian (batch x n_outputs x n_inputs): G by the first n_inputs columns of the network's
  /// input.
  virtual void gather_jacobian(ConstMomentsView adjoint, Index n_outputs, Index n_inputs,
                               float* jacobian) = 0;

  // Data, metrics and diffusion.

  /// The rows 0 .. n_rows - 1 in the order of an epoch (math/permutation.h).
  virtual void shuffle(std::uint64_t seed, std::uint64_t epoch, Index n_rows, Index* order) = 0;

  /// output row i (of n_rows) = the source row that `rows` selects.
  virtual void gather_rows(const float* source, Index cols, RowSelection rows, Index n_rows,
                           float* output) = 0;

  /// Adds a batch to the sums of `state` and moves its position on by the rows; sets its failure if
  /// a prediction is not finite. Does nothing after a failure.
  virtual void sum_predictions(ConstMomentsView prediction, const float* target, NoiseView noise,
                               TrainingState* state) = 0;

  /// output row i (of n_rows) = standard normal numbers of (seed; stream, step, first_row + i).
  virtual void normal(std::uint64_t seed, math::RandomStream stream, std::uint64_t step,
                      Index first_row, Index n_rows, Index cols, float* output) = 0;

  /// A training batch of denoising. Row i takes the clean row r that `rows` selects, a timestep t
  /// and noise eps keyed by (seed; rows.state->epoch, r), and the label of r unless it is dropped,
  /// by the same key. It gives input row [x_t, conditions] and the target row of math/denoising.h.
  virtual void diffuse(const DiffusionTables& tables, std::uint64_t seed, const float* clean,
                       Index n_features, TrainingLabels labels, RowSelection rows, Index n_rows,
                       float* input, float* target) = 0;

  /// Network inputs for noisy rows, all at one timestep: input row i = [noisy row i, conditions of
  /// *timestep and of labels[i]]; null labels: none.
  virtual void append_conditions(const Conditions& conditions, const float* noisy, Index n_features,
                                 const Index* timestep, const Index* labels, Index n_rows,
                                 float* input) = 0;

  /// One stage of a sampler (math/denoising.h), stages[*stage], in place on `noisy` and, unless
  /// null, `carry` (each prediction.rows x n_features), with noise keyed by (seed; *stage,
  /// *first_row + i). The first n_features columns of the prediction count. Writes the variance
  /// that the network's uncertainty adds in this stage to `var`.
  virtual void denoise(const math::SamplerStage* stages, const Index* stage,
                       ConstMomentsView prediction, Index n_features, std::uint64_t seed,
                       const Index* first_row, float* noisy, float* carry, float* var) = 0;

  /// What a stage without a carry does to the covariances of n_rows rows, each n_features x
  /// n_features (formulas in math/denoising.h): `epistemic`, in place, that of x to that of x';
  /// `aleatoric`, written, that of x_0 given x. `jacobian` is that of the prediction by x and
  /// `prediction_covariance` its covariance.
  virtual void denoise_covariance(const math::SamplerStage* stages, const Index* stage,
                                  const float* jacobian, const float* prediction_covariance,
                                  Index n_rows, Index n_features, float* epistemic,
                                  float* aleatoric) = 0;

  /// output[i] = first_weight first[i] + second_weight second[i] for i < size; output may be first.
  virtual void combine(const float* first, float first_weight, const float* second,
                       float second_weight, Index size, float* output) = 0;

  /// *value += amount.
  virtual void advance(Index* value, Index amount) = 0;

 protected:
  virtual void upload_bytes(const void* host, void* memory, std::size_t bytes) = 0;
  virtual void download_bytes(const void* memory, void* host, std::size_t bytes) = 0;
};

/// The number of points at which activation_points asks for a user's activation.
Index activation_point_count(math::MomentsForm form);

/// Whether the CPU backend has a precision on this processor.
bool cpu_has(Precision precision);

/// The CPU backend of a precision, shared by everything in the process. Throws
/// std::invalid_argument where the processor lacks it.
std::shared_ptr<Backend> cpu_backend(Precision precision = Precision::float32);

/// The backend of a device's name in a precision. Throws std::invalid_argument for one that is not
/// there.
std::shared_ptr<Backend> backend_for(const std::string& device,
                                     Precision precision = Precision::float32);

}  // namespace tagix
