#include "cpu/tiled_executor.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <variant>

#include "core/memory.h"
#include "cpu/moments_product.h"
#include "cpu/scratch.h"
#include "cpu/threads.h"

namespace tagix::cpu {
namespace {

/// Rows that pass through the network together. Twice this many of width 64 fill the first-level
/// cache in an outer product, and those of a deep network the second.
constexpr Index tile_rows = 64;

/// The batch is cut into at most this many groups of tiles. Each sums its own innovations, and the
/// sums are added in order: so many threads can work at most.
constexpr Index max_groups = 16;

/// Networks with more parameters run one operation after the other, as do those of which a tile
/// takes more floats: neither would stay in cache.
constexpr Index max_parameters = 1 << 17;
constexpr Index max_tile_size = 1 << 20;

struct TileMemory {};

Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

/// Hands out parts of one buffer, each at the start of a cache line.
class Arena {
 public:
  Index take(Index size) {
    constexpr Index line = static_cast<Index>(alignment) / Index{sizeof(float)};
    return std::exchange(size_, size_ + ceil_div(size, line) * line);
  }
  Index size() const { return size_; }

 private:
  Index size_ = 0;
};

/// Two planes of the same shape in one buffer, by their offsets.
struct PlanePair {
  Index mean = 0;
  Index var = 0;
};

/// An affine step: where its parameters are, and where a tile keeps its input for the way back.
struct PlannedAffine {
  AffineStep shape;
  Index parameters;  ///< offset in the flat parameters
  Index packed_forward;
  Index packed_backward;
  Index input_stride;
  Index output_stride;
  Index input_mean;  ///< in the tile
  PlanePair factor;  ///< what outer products read of a_mean and a_mean^2, in the tile
  bool transposed;   ///< innovations are summed as in x out, which takes fewer vectors
  Index sum_rows;
  Index sum_cols;
  Index sum_stride;
  PlanePair sum;       ///< of the weight, in a group's sums
  PlanePair bias_sum;  ///< of the bias
};

struct PlannedActivation {
  math::ActivationSpec spec;
  Index stride;
  Index jacobian;  ///< in the tile
};

using PlannedStep = std::variant<PlannedAffine, PlannedActivation>;

class TiledExecutor final : public Executor {
 public:
  TiledExecutor(Backend& backend, const Kernels& kernels, const std::vector<Step>& steps,
                Executor& linearizer)
      : Executor(backend),
        kernels_(kernels),
        linearizer_(linearizer),
        formats_(formats_of(backend.precision())),
        product_(kernels, formats_),
        packed_(backend),
        sums_(backend),
        prediction_(backend),
        input_delta_(backend),
        innovation_(backend) {
    plan(steps);
  }

  ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) override {
    parameters_ = parameters;
    pack(input, /*learns=*/false, /*need_input_delta=*/false);
    prediction_.resize(input.rows, out_features_);
    const MomentsView prediction = prediction_.view();
    const Index n_tiles = ceil_div(input.rows, tile_rows);
    parallel_for(n_tiles, nanoseconds(input.rows, 6), [&](Index i) {
      const Tile tile(scratch<TileMemory>(tile_size_), i, input.rows);
      forward(tile, /*learns=*/false, rows_of(input, tile), rows_of(prediction, tile));
    });
    return prediction;
  }

  Linearized linearize(ConstMomentsView parameters, ConstMomentsView input,
                       const Linearization& wanted) override {
    return linearize_with(linearizer_, *this, parameters, input, wanted);
  }

  Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                const Observations& observations, bool need_input_delta) override {
    parameters_ = parameters;
    pack(input, /*learns=*/true, need_input_delta);
    prediction_.resize(input.rows, out_features_);
    innovation_.resize(1, parameter_count_);
    if (need_input_delta) input_delta_.resize(input.rows, in_features_);
    const MomentsView prediction = prediction_.view();
    const MomentsView input_delta = need_input_delta ? input_delta_.view() : MomentsView{};

    const Index n_tiles = ceil_div(input.rows, tile_rows);
    const Index tiles_each = ceil_div(n_tiles, max_groups);
    const Index n_groups = ceil_div(n_tiles, tiles_each);
    if (n_groups > 1) sums_.resize(n_groups * group_size_);
    parallel_for(n_groups, nanoseconds(input.rows, 14), [&](Index group) {
      float* sums = n_groups > 1 ? sums_.data() + group * group_size_ : nullptr;
      const Index first = group * tiles_each;
      for (Index i = first; i < std::min(first + tiles_each, n_tiles); ++i) {
        const Tile tile(scratch<TileMemory>(tile_size_), i, input.rows);
        forward(tile, /*learns=*/true, rows_of(input, tile), rows_of(prediction, tile));
        observe(tile, rows_of(prediction, tile), observations);
        backward(tile, need_input_delta, /*add=*/i > first, sums);
        if (need_input_delta) {
          const MomentsView target = rows_of(input_delta, tile);
          copy_rows(tile.at(delta_.mean), in_stride_, target.mean, in_features_, tile);
          copy_rows(tile.at(delta_.var), in_stride_, target.var, in_features_, tile);
        }
      }
    });
    if (n_groups > 1) {
      add_groups(n_groups);
      write_innovation();
    }
    return {prediction, input_delta};
  }

  ConstMomentsView innovation() override { return innovation_.view(); }

  void update(const UpdateRule& rule, Index batch_size, MomentsView parameters,
              TrainingState* state) override {
    update_by(innovation(), backend_, rule, batch_size, parameters, state);
  }

  Index prediction_rows() const override { return 16384; }

  /// The floats that a thread works in.
  Index tile_size() const { return tile_size_; }

 private:
  /// One thread's memory for a tile, and the rows of the batch that the tile takes.
  struct Tile {
    Tile(float* memory, Index number, Index batch_size)
        : memory(memory),
          first(number * tile_rows),
          rows(std::min(tile_rows, batch_size - first)) {}
    float* at(Index offset) const { return memory + offset; }

    float* memory;
    Index first;
    Index rows;
  };

  template <class View>
  static View rows_of(const View& batch, const Tile& tile) {
    return batch.slice(tile.first * batch.cols, tile.rows, batch.cols);
  }

  /// Floats between two rows of a tile: whole panels. Rows a multiple of 512 bytes apart would
  /// compete for the same few lines of the first-level cache.
  Index stride_for(Index cols) const {
    const Index padded = kernels_.layout.padded_columns(cols);
    return padded % 128 == 0 ? padded + 16 : padded;
  }

  /// About how long `n_operations` for each parameter and row take.
  double nanoseconds(Index rows, double n_operations) const {
    constexpr double operation = 0.01;
    return operation * n_operations * static_cast<double>(rows * parameter_count_);
  }

  void plan(const std::vector<Step>& steps) {
    Arena packed, tile, group;
    Index features = 0;
    for (const Step& step : steps) {
      if (const auto* affine = std::get_if<AffineStep>(&step)) {
        features = affine->in_features;
        break;
      }
    }
    in_features_ = features;
    in_stride_ = stride_for(features);
    Index max_stride = in_stride_;
    first_affine_ = -1;
    for (const Step& step : steps) {
      if (const auto* affine = std::get_if<AffineStep>(&step)) {
        if (first_affine_ < 0) first_affine_ = static_cast<Index>(steps_.size());
            steps_.emplace_back(planned(*affine, packed, tile, group));
        features = affine->out_features;
        max_stride = std::max(max_stride, stride_for(features));
      } else {
        const Index stride = stride_for(features);
        steps_.emplace_back(PlannedActivation{std::get<math::ActivationSpec>(step), stride,
                                              tile.take(tile_rows * stride)});
      }
    }
    out_features_ = features;
    const auto planes = [&] {
      return PlanePair{tile.take(tile_rows * max_stride), tile.take(tile_rows * max_stride)};
    };
    delta_ = planes();
    other_ = planes();
    if (formats_.var == Format::bfloat16) {
      by_row_ = planes();
      square_by_row_ = tile.take(tile_rows * max_stride);
      by_sample_ = planes();
    }
    tile_size_ = tile.size();
    group_size_ = group.size();
    packed_.resize(packed.size());
  }

  PlannedAffine planned(const AffineStep& shape, Arena& packed, Arena& tile, Arena& group) {
    const Index in = shape.in_features, out = shape.out_features;
    const PanelLayout& layout = kernels_.layout;
    PlannedAffine affine{};
    affine.shape = shape;
    affine.parameters = std::exchange(parameter_count_, parameter_count_ + shape.parameter_count());
    affine.packed_forward = packed.take(product_.packed_size(ProductKind::both, in, out));
    affine.packed_backward = packed.take(product_.packed_size(ProductKind::squared, out, in));
    affine.input_stride = stride_for(in);
    affine.output_stride = stride_for(out);
    const Index plane_size = tile_rows * affine.input_stride;
    affine.input_mean = tile.take(plane_size);
    affine.factor = {formats_.mean == Format::float32 ? affine.input_mean : tile.take(plane_size),
                     tile.take(plane_size)};
    affine.transposed = in * layout.padded_columns(out) < out * layout.padded_columns(in);
    affine.sum_rows = affine.transposed ? in : out;
    affine.sum_cols = affine.transposed ? out : in;
    affine.sum_stride = layout.padded_columns(affine.sum_cols);
    const Index size = affine.sum_rows * affine.sum_stride;
    affine.sum = {group.take(size), group.take(size)};
    if (shape.bias) affine.bias_sum = {group.take(out), group.take(out)};
    return affine;
  }

  AffineParameters parameters_of(const PlannedAffine& affine) const {
    const float* mean = parameters_.mean + affine.parameters;
    const float* var = parameters_.var + affine.parameters;
    if (!affine.shape.bias) return {mean, var, nullptr, nullptr};
    const Index bias = affine.shape.weight_size();
    return {mean, var, mean + bias, var + bias};
  }

  /// Packs the weights as a pass through the network reads them.
  void pack(ConstMomentsView input, bool learns, bool need_input_delta) {
    constexpr double packing = 0.35;
    const double cost = packing * static_cast<double>(parameter_count_) * (learns ? 2 : 1);
    parallel_for(n_steps(), cost, [&](Index i) {
      const auto* affine = std::get_if<PlannedAffine>(&step(i));
      if (affine == nullptr) return;
      const Index in = affine->shape.in_features, out = affine->shape.out_features;
      const AffineParameters from = parameters_of(*affine);
      product_.pack(forward_kind(i, input), {from.weight_mean, from.weight_var, 1, in}, in, out,
                    from.bias_mean, from.bias_var, packed_.data() + affine->packed_forward);
      if (learns && passes_delta(i, need_input_delta)) {
        product_.pack(ProductKind::squared, {from.weight_mean, from.weight_var, in, 1}, out, in,
                      nullptr, nullptr, packed_.data() + affine->packed_backward);
      }
    });
  }

  /// Where a group sums the innovations of an affine step: in its own memory, or, for a group that
  /// is alone (sums == nullptr), right where the parameters have theirs.
  struct SumTarget {
    float* weight_mean;
    float* weight_var;
    float* bias_mean;
    float* bias_var;
    Index stride;
    bool transposed;
    bool add;  ///< to what is there
  };

  SumTarget sum_target(const PlannedAffine& affine, float* sums, bool add) {
    if (sums != nullptr) {
      return {sums + affine.sum.mean,
              sums + affine.sum.var,
              sums + affine.bias_sum.mean,
              sums + affine.bias_sum.var,
              affine.sum_stride,
              affine.transposed,
              add};
    }
    float* mean = innovation_.view().mean + affine.parameters;
    float* var = innovation_.view().var + affine.parameters;
    const Index bias = affine.shape.weight_size();
    return {mean, var, mean + bias, var + bias, affine.shape.in_features, false, add};
  }

  /// Moments of the output of an affine step whose input has the means affine.input_mean; keeps
  /// what backward needs if the network learns. A null `var` is an input known exactly. The planes
  /// that it writes are padded with zeros to whole panels.
  void forward_affine(const PlannedAffine& affine, const Tile& tile, bool learns, const float* var,
                      float* output_mean, float* output_var) const {
    const Index in = affine.shape.in_features, out = affine.shape.out_features;
    const Index stride = affine.input_stride;
    const float* mean = tile.at(affine.input_mean);
    float* kept_square = tile.at(affine.factor.var);
    ProductFactors factors{mean, stride, var, kept_square, stride};
    if (formats_.var == Format::float32) {
      kernels_.square(mean, tile.rows * stride, kept_square);
    } else {
      const InputFactors cells{
          tile.at(by_row_.mean), learns ? tile.at(affine.factor.mean) : nullptr,
          tile.at(square_by_row_), learns ? kept_square : nullptr, tile.at(by_row_.var)};
      kernels_.pack_inputs(formats_.mean, mean, var, stride, tile.rows, in, cells);
      factors = {mean, stride, cells.var_by_row, cells.square_by_row, stride / 2};
      if (formats_.mean == Format::bfloat16) {
        factors.mean = cells.mean_by_row;
        factors.mean_stride = stride / 2;
      }
    }
    product_.multiply(var == nullptr ? ProductKind::known : ProductKind::both, factors, tile.rows,
                      in, out, packed_weight(affine.packed_forward), /*padded=*/true, output_mean,
                      output_var, affine.output_stride);
  }

  /// Takes the innovation of an affine step's output through the Jacobian of the activation above
  /// it (null: none), adds that of the parameters to their sums, or writes it, and works out that
  /// of the input, unless nobody asks for it.
  void backward_affine(const PlannedAffine& affine, const Tile& tile, const float* jacobian,
                       bool passes_on, const SumTarget& target, PlanePair delta,
                       PlanePair input_delta) const {
    const Index in = affine.shape.in_features, out = affine.shape.out_features;
    const Index stride = affine.output_stride;
    float *mean = tile.at(delta.mean), *var = tile.at(delta.var);
    const bool has_bias = affine.shape.bias;
    const DeltaFactors cells{passes_on ? tile.at(by_row_.mean) : nullptr,
                             tile.at(by_sample_.mean),
                             passes_on ? tile.at(by_row_.var) : nullptr,
                             tile.at(by_sample_.var),
                             has_bias ? target.bias_mean : nullptr,
                             has_bias ? target.bias_var : nullptr,
                             target.add};
    kernels_.pack_deltas(formats_.mean, formats_.var, jacobian, tile.rows, out, mean, var, stride,
                         cells);
    const bool float32_mean = formats_.mean == Format::float32;
    const bool float32_var = formats_.var == Format::float32;
    const auto sum_products = [&](Format format, const float* by_sample, Index kept_input,
                                  float* sum) {
      const SampleFactor left{by_sample, out, stride};
      const SampleFactor right{tile.at(kept_input), in, affine.input_stride};
      kernels_.outer_product(format, target.transposed ? right : left,
                             target.transposed ? left : right, tile.rows, target.add, sum,
                             target.stride);
    };
    sum_products(formats_.mean, float32_mean ? mean : cells.mean_by_sample, affine.factor.mean,
                 target.weight_mean);
    sum_products(formats_.var, float32_var ? var : cells.var_by_sample, affine.factor.var,
                 target.weight_var);
    if (!passes_on) return;
    product_.multiply(
        ProductKind::squared,
        {float32_mean ? mean : cells.mean_by_row, float32_mean ? stride : stride / 2,
         float32_var ? var : cells.var_by_row, nullptr, float32_var ? stride : stride / 2},
        tile.rows, out, in, packed_weight(affine.packed_backward), /*padded=*/true,
        tile.at(input_delta.mean), tile.at(input_delta.var), affine.input_stride);
  }

  const float* packed_weight(Index offset) const { return packed_.data() + offset; }

  ProductKind forward_kind(Index i, ConstMomentsView input) const {
    return i == 0 && input.var == nullptr ? ProductKind::known : ProductKind::both;
  }

  /// Whether step i hands its innovation on to the step below.
  bool passes_delta(Index i, bool need_input_delta) const {
    return need_input_delta || i > first_affine_;
  }

  /// Where step i reads its means: an affine step keeps them.
  float* input_mean(const Tile& tile, Index i) const {
    const auto* affine = i < n_steps() ? std::get_if<PlannedAffine>(&step(i)) : nullptr;
    return tile.at(affine == nullptr ? delta_.mean : affine->input_mean);
  }

  /// Moments of the output for the rows of a tile; keeps in the tile what backward needs if the
  /// network learns.
  void forward(const Tile& tile, bool learns, ConstMomentsView input, MomentsView output) const {
    float* var = tile.at(delta_.var);
    float* next_var = tile.at(other_.var);
    copy_rows(input.mean, in_features_, input_mean(tile, 0), in_stride_, tile);
    if (input.var != nullptr) copy_rows(input.var, in_features_, var, in_stride_, tile);
    for (Index i = 0; i < n_steps(); ++i) {
      const float* known_or_var = i == 0 && input.var == nullptr ? nullptr : var;
      float* mean = input_mean(tile, i);
      float* next_mean = input_mean(tile, i + 1);
      if (const auto* affine = std::get_if<PlannedAffine>(&step(i))) {
        forward_affine(*affine, tile, learns, known_or_var, next_mean, next_var);
        std::swap(var, next_var);
      } else {
        const auto& activation = std::get<PlannedActivation>(step(i));
        kernels_.activation(activation.spec, mean, known_or_var, tile.rows * activation.stride,
                            next_mean, var, learns ? tile.at(activation.jacobian) : nullptr);
      }
    }
    const Index stride = stride_for(out_features_);
    copy_rows(input_mean(tile, n_steps()), stride, output.mean, out_features_, tile);
    copy_rows(var, stride, output.var, out_features_, tile);
  }

  /// Innovations of the outputs, where backward reads them.
  void observe(const Tile& tile, ConstMomentsView prediction,
               const Observations& observations) const {
    const MomentsView dense{tile.at(other_.mean), tile.at(other_.var), tile.rows, out_features_};
    const Observations own = observations.from_row(tile.first, out_features_);
    backend_.observe(prediction, own.target, own.noise, own.spread, dense);
    const Index stride = stride_for(out_features_);
    copy_rows(dense.mean, out_features_, tile.at(delta_.mean), stride, tile);
    copy_rows(dense.var, out_features_, tile.at(delta_.var), stride, tile);
  }

  /// Turns the innovation of the outputs in the tile into that of the input, and writes those of
  /// the parameters to their sum_target, or adds them.
  void backward(const Tile& tile, bool need_input_delta, bool add, float* sums) {
    PlanePair delta = delta_, other = other_;
    Index jacobian_stride = 0;
    const float* jacobian = nullptr;  // of an activation that `delta` has yet to pass
    const auto pass_activation = [&] {
      if (jacobian == nullptr) return;
      const Index size = tile.rows * jacobian_stride;
      kernels_.scale_deltas(jacobian, size, tile.at(delta.mean), tile.at(delta.var));
      jacobian = nullptr;
    };
    for (Index i = n_steps() - 1; i >= 0; --i) {
      const bool passes_on = passes_delta(i, need_input_delta);
      if (const auto* activation = std::get_if<PlannedActivation>(&step(i))) {
        if (!passes_on) continue;
        pass_activation();
        jacobian = tile.at(activation->jacobian);
        jacobian_stride = activation->stride;
        continue;
      }
      const auto& affine = std::get<PlannedAffine>(step(i));
      backward_affine(affine, tile, std::exchange(jacobian, nullptr), passes_on,
                      sum_target(affine, sums, add), delta, other);
      if (passes_on) std::swap(delta, other);
    }
    pass_activation();
    if (need_input_delta && delta.mean != delta_.mean) {
      std::copy_n(tile.at(delta.mean), tile.rows * in_stride_, tile.at(delta_.mean));
      std::copy_n(tile.at(delta.var), tile.rows * in_stride_, tile.at(delta_.var));
    }
  }

  /// Adds the sums of all groups to those of the first, in their order.
  void add_groups(Index n_groups) {
    constexpr Index piece = 4096;
    const double cost = 0.1 * static_cast<double>(group_size_ * (n_groups - 1));
    parallel_for(ceil_div(group_size_, piece), cost, [&](Index i) {
      float* total = sums_.data() + i * piece;
      const Index size = std::min(piece, group_size_ - i * piece);
      for (Index group = 1; group < n_groups; ++group) {
        kernels_.add(total + group * group_size_, size, total);
      }
    });
  }

  /// Copies the sums of the first group to where the parameters have their innovations.
  void write_innovation() {
    const MomentsView innovation = innovation_.view();
    const float* sums = sums_.data();
    for (const PlannedStep& planned : steps_) {
      const auto* affine = std::get_if<PlannedAffine>(&planned);
      if (affine == nullptr) continue;
      const Index weight_size = affine->shape.weight_size(), out = affine->shape.out_features;
      write_weight(*affine, sums + affine->sum.mean, innovation.mean + affine->parameters);
      write_weight(*affine, sums + affine->sum.var, innovation.var + affine->parameters);
      if (!affine->shape.bias) continue;
      const Index bias = affine->parameters + weight_size;
      std::copy_n(sums + affine->bias_sum.mean, out, innovation.mean + bias);
      std::copy_n(sums + affine->bias_sum.var, out, innovation.var + bias);
    }
  }

  static void write_weight(const PlannedAffine& affine, const float* sum, float* weight) {
    for (Index row = 0; row < affine.sum_rows; ++row, sum += affine.sum_stride) {
      if (affine.transposed) {
        for (Index col = 0; col < affine.sum_cols; ++col) {
          weight[col * affine.sum_rows + row] = sum[col];
        }
      } else {
        std::copy_n(sum, affine.sum_cols, weight + row * affine.sum_cols);
      }
    }
  }

  /// Copies the rows of a tile between matrices of different strides; a wider target is padded with
  /// zeros.
  static void copy_rows(const float* source, Index source_stride, float* target,
                        Index target_stride, const Tile& tile) {
    const Index cols = std::min(source_stride, target_stride);
    if (source_stride == target_stride) {
      std::copy_n(source, tile.rows * cols, target);
      return;
    }
    for (Index row = 0; row < tile.rows; ++row, target += target_stride) {
      std::copy_n(source + row * source_stride, cols, target);
      std::fill(target + cols, target + target_stride, 0.0f);
    }
  }

  Index n_steps() const { return static_cast<Index>(steps_.size()); }
  const PlannedStep& step(Index i) const { return steps_[static_cast<std::size_t>(i)]; }

  const Kernels& kernels_;
  Executor& linearizer_;
  Formats formats_;
  MomentsProduct product_;
  std::vector<PlannedStep> steps_;
  Index in_features_ = 0;
  Index in_stride_ = 0;
  Index out_features_ = 0;
  Index first_affine_ = 0;
  Index parameter_count_ = 0;
  Index tile_size_ = 0;
  Index group_size_ = 0;
  PlanePair delta_;  // in the tile: the innovation on its way down; forward keeps moments there
  PlanePair other_;  // in the tile: where a product writes what becomes current
  // In the tile, cells of bfloat16: of what enters a product, and of an innovation that enters an
  // outer product.
  PlanePair by_row_;
  Index square_by_row_ = 0;
  PlanePair by_sample_;
  ConstMomentsView parameters_;  // of the call in progress
  Buffer<float> packed_;
  Buffer<float> sums_;
  Moments prediction_;
  Moments input_delta_;
  Moments innovation_;
};

}  // namespace

std::unique_ptr<Executor> make_tiled_executor(Backend& backend, const Kernels& kernels,
                                              const std::vector<Step>& steps,
                                              Executor& linearizer) {
  Index parameter_count = 0;
  for (const Step& step : steps) {
    if (const auto* affine = std::get_if<AffineStep>(&step)) {
      parameter_count += affine->parameter_count();
    }
  }
  if (parameter_count == 0 || parameter_count > max_parameters) return nullptr;
  auto executor = std::make_unique<TiledExecutor>(backend, kernels, steps, linearizer);
  if (executor->tile_size() > max_tile_size) return nullptr;
  return executor;
}

}  // namespace tagix::cpu
