#include "cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/require.h"
#include "cpu/adjoint.h"
#include "cpu/data.h"
#include "cpu/executor_choice.h"
#include "cpu/graph_ops.h"
#include "cpu/instruction_set.h"
#include "cpu/kernels.h"
#include "cpu/moments_product.h"
#include "cpu/pieces.h"
#include "cpu/scratch.h"
#include "cpu/targets.h"

namespace tagix::cpu {
namespace {

struct PackedWeight {};
struct ProductCells {};
struct InputCells {};
struct DeltaCells {};
struct PartialSums {};
struct AddedSums {};
struct Innovations {};

constexpr Index row_piece = 96;  // rows of a product: whole register tiles at every level

constexpr Index innovation_outputs = 96;  // whose innovations are added up at a time

/// A distance between rows, at least `size` floats, at which they do not compete for the same few
/// lines of the first-level cache.
Index spread_stride(Index size) {
  const Index lines = ceil_div(size, 16);
  return 16 * (lines % 2 == 0 ? lines + 1 : lines);
}

/// A rough cost of a product, which decides whether other threads are woken.
constexpr double multiply_add_ns = 0.02;

class CpuBackend final : public Backend {
 public:
  CpuBackend(const Kernels& kernels, Precision precision)
      : kernels_(kernels),
        precision_(precision),
        formats_(formats_of(precision)),
        product_(kernels, formats_) {}

  std::string name() const override {
    return text("cpu (", kernels_.instruction_set, ", ", precision_name(precision_), ")");
  }

  Precision precision() const override { return precision_; }

  void* allocate(std::size_t bytes) override {
    return ::operator new(std::max<std::size_t>(bytes, 1), alignment);
  }
  void release(void* memory, std::size_t) noexcept override {
    ::operator delete(memory, alignment);
  }
  void upload_bytes(const void* host, void* memory, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(memory, host, bytes);
  }
  void download_bytes(const void* memory, void* host, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(host, memory, bytes);
  }
  bool reads_host_memory() const override { return true; }
  void synchronise() override {}
  std::unique_ptr<Recording> record(const std::function<void()>&) override { return nullptr; }

  std::unique_ptr<Executor> fuse(const std::vector<Step>& steps,
                                 std::unique_ptr<Executor> by_graph) override {
    return make_fused_executor(*this, kernels_, steps, std::move(by_graph));
  }

  // Activations are kernels of their own, over outputs that are in cache.
  bool has_epilogue(const math::ActivationSpec&) const override { return false; }

  void affine_forward(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                      const std::optional<Epilogue>&, MomentsView output) override {
    const ProductKind kind = input.var == nullptr ? ProductKind::known : ProductKind::both;
    multiply(kind, input, weight, /*depth_stride=*/1, /*column_stride=*/weight.cols, bias, output);
  }

  void affine_backward(ConstMomentsView delta, ConstMomentsView weight, const float* jacobian,
                       MomentsView delta_input) override {
    multiply(ProductKind::squared, delta, weight, /*depth_stride=*/weight.cols, /*column_stride=*/1,
             {}, delta_input);
    if (jacobian != nullptr) scale_deltas(jacobian, delta_input);
  }

  bool sums_innovations_together() const override { return false; }

  Index innovation_scratch(std::span<const AffinePass>) const override { return 0; }

  void affine_innovations(std::span<const AffinePass> passes, MomentsView innovation,
                          float*) override {
    for (const AffinePass& pass : passes) {
      const Index in = pass.input.cols, out = pass.delta.cols;
      const MomentsView weight = innovation.slice(pass.weight, out, in);
      const MomentsView bias = pass.bias ? innovation.slice(*pass.bias, 1, out) : MomentsView{};
      if (!pass.add) {
        sum_innovation(pass.input, pass.delta, weight, bias);
        continue;
      }
      const Index size = weight.size() + bias.size();
      float* const sums = scratch<AddedSums>(2 * size);
      const MomentsView all{sums, sums + size, 1, size};
      const MomentsView bias_sums = pass.bias ? all.slice(weight.size(), 1, out) : MomentsView{};
      sum_innovation(pass.input, pass.delta, all.slice(0, out, in), bias_sums);
      add(all.slice(0, out, in), weight);
      if (pass.bias) add(bias_sums, bias);
    }
  }

  void update_by_passes(const UpdateRule& rule, Index batch_size,
                        std::span<const AffinePass> passes, MomentsView parameters,
                        TrainingState* state, float*) override {
    const Index size = parameters.size();
    float* const memory = scratch<Innovations>(2 * size);
    std::fill_n(memory, 2 * size, 0.0f);
    const MomentsView innovation{memory, memory + size, 1, size};
    affine_innovations(passes, innovation, nullptr);
    check_innovation(innovation, state);
    update(rule, batch_size, innovation, parameters, state);
  }

  void activation_forward(const math::ActivationSpec& spec, ConstMomentsView input,
                          MomentsView output, float* jacobian) override {
    for_element_pieces(input.size(), [&](Index first, Index count) {
      kernels_.activation(spec, input.mean + first, offset(input.var, first), count,
                          output.mean + first, output.var + first, jacobian + first);
    });
  }

  void activation_points(math::MomentsForm form, ConstMomentsView input, float* points) override {
    kernels_.activation_points(form, input.mean, input.var, input.size(), points);
  }

  void activation_from_points(math::MomentsForm form, ConstMomentsView input, const float* values,
                              const float* derivatives, MomentsView output,
                              float* jacobian) override {
    kernels_.activation_from_points(form, input.var, input.size(), values, derivatives, output.mean,
                                    output.var, jacobian);
  }

  void scale_deltas(const float* jacobian, MomentsView delta) override {
    for_element_pieces(delta.size(), [&](Index first, Index count) {
      kernels_.scale_deltas(jacobian + first, count, delta.mean + first, delta.var + first);
    });
  }

  void observe(ConstMomentsView prediction, const float* target, NoiseView noise, float spread,
               MomentsView delta) override {
    cpu::observe(kernels_, prediction, target, noise, spread, delta);
  }

  void split_prediction(ConstMomentsView prediction, NoiseView noise, MomentsView values,
                        float* noise_var, float* total_var) override {
    cpu::split_prediction(kernels_, prediction, noise, values, noise_var, total_var);
  }

  void class_probabilities(ConstMomentsView prediction, const math::ClassHead& classes,
                           float* probabilities) override {
    cpu::class_probabilities(kernels_, prediction, classes, probabilities);
  }

  void update(const UpdateRule& rule, Index batch_size, ConstMomentsView innovation,
              MomentsView parameters, const TrainingState* state) override {
    if (state->failure != Failure::none) return;
    for_element_pieces(parameters.size(), [&](Index first, Index count) {
      kernels_.update(rule.kind, rule.bound_for(batch_size), innovation.mean + first,
                      innovation.var + first, count, parameters.mean + first,
                      parameters.var + first);
    });
  }

  void test_drift(const Forgetting& forgetting, TrainingState* state,
                  math::DriftState* drift) override {
    test_recorded_drift(forgetting.decay(), forgetting.threshold(), *state, *drift);
  }

  void forget(const ForgettingStep& step, const math::DriftState* drift, const TrainingState* state,
              Index size, float* var) override {
    if (state->failure != Failure::none) return;
    const float least_var = step.least(drift);
    for_element_pieces(size, [&](Index first, Index count) {
      kernels_.forget(step.process_var, step.prior_var, least_var, count, var + first);
    });
  }

  void copy(ConstMomentsView values, MomentsView target) override {
    std::copy_n(values.mean, values.size(), target.mean);
    std::copy_n(values.var, values.size(), target.var);
  }

  void add(ConstMomentsView values, MomentsView sum) override {
    for_element_pieces(values.size(), [&](Index first, Index count) {
      kernels_.add(values.mean + first, count, sum.mean + first);
      kernels_.add(values.var + first, count, sum.var + first);
    });
  }

  void copy_columns(ConstColumnsView values, ColumnsView target) override {
    cpu::copy_columns(values, target);
  }
  void add_columns(ConstColumnsView values, ColumnsView sum) override {
    cpu::add_columns(values, sum);
  }
  void clear_columns(ColumnsView target) override { cpu::clear_columns(target); }
  void mix(ConstMomentsView input, const TapsView& taps, bool add, MomentsView output) override {
    cpu::mix(input, taps, add, output);
  }
  void product(ConstMomentsView a, ConstMomentsView b, MomentsView output) override {
    cpu::product(a, b, output);
  }
  void product_slopes(ConstMomentsView a, ConstMomentsView b, SlopesView slopes) override {
    cpu::product_slopes(a, b, slopes);
  }
  void scale_deltas_to(const float* jacobian, ConstMomentsView delta, bool add,
                       MomentsView below) override {
    cpu::scale_deltas_to(jacobian, delta, add, below);
  }
  void residual_activation(ConstMomentsView input, MomentsView output, float* jacobian) override {
    cpu::residual_activation(input, output, jacobian);
  }

  void check_innovation(ConstMomentsView innovation, TrainingState* state) override {
    if (state->failure == Failure::none &&
        !(kernels_.all_finite(innovation.mean, innovation.size()) &&
          kernels_.all_finite(innovation.var, innovation.size()))) {
      state->failure = Failure::innovation;
    }
  }

  void start_adjoint(Index n_outputs, MomentsView adjoint) override {
    cpu::start_adjoint(n_outputs, adjoint);
  }
  void affine_adjoint(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView adjoint,
                      MomentsView below) override {
    cpu::affine_adjoint(kernels_, formats_, input, weight, adjoint, below);
  }
  void scale_adjoint(ConstSlopesView slopes, Index size, ConstMomentsView adjoint, bool add,
                     MomentsView below) override {
    cpu::scale_adjoint(kernels_, slopes, size, adjoint, add, below);
  }
  void affine_spread(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                     float* spread) override {
    cpu::affine_spread(kernels_, formats_, input, weight, bias, spread);
  }
  void activation_excess(const float* input_var, const float* jacobian, const float* var,
                         Index size, float* excess) override {
    cpu::activation_excess(kernels_, input_var, jacobian, var, size, excess);
  }
  void product_excess(const float* a_var, const float* b_var, Index size, float* excess) override {
    cpu::product_excess(a_var, b_var, size, excess);
  }
  void add_spread(ConstMomentsView adjoint, const float* var, Index n_outputs,
                  float* covariance) override {
    cpu::add_spread(kernels_, adjoint, var, n_outputs, covariance);
  }
  void gather_jacobian(ConstMomentsView adjoint, Index n_outputs, Index n_inputs,
                       float* jacobian) override {
    cpu::gather_jacobian(adjoint, n_outputs, n_inputs, jacobian);
  }

  void activation_slopes(const math::ActivationSpec& spec, ConstMomentsView input,
                         SlopesView slopes) override {
    for_element_pieces(input.size(), [&](Index first, Index count) {
      kernels_.activation_slopes(spec, input.mean + first, offset(input.var, first), count,
                                 slopes.from(first));
    });
  }

  void activation_slopes_from_points(math::MomentsForm form, ConstMomentsView input,
                                     const float* values, const float* derivatives,
                                     SlopesView slopes) override {
    kernels_.activation_slopes_from_points(form, input.var, input.size(), values, derivatives,
                                           slopes);
  }

  void shuffle(std::uint64_t seed, std::uint64_t epoch, Index n_rows, Index* order) override {
    cpu::shuffle(seed, epoch, n_rows, order);
  }
  void gather_rows(const float* source, Index cols, RowSelection rows, Index n_rows,
                   float* output) override {
    cpu::gather_rows(source, cols, rows, n_rows, output);
  }
  void record_predictions(ConstMomentsView prediction, const float* target, NoiseView noise,
                          TrainingState* state) override {
    cpu::record_predictions(kernels_, prediction, target, noise, state);
  }
  void normal(std::uint64_t seed, math::RandomStream stream, std::uint64_t step, Index first_row,
              Index n_rows, Index cols, float* output) override {
    cpu::normal(seed, stream, step, first_row, n_rows, cols, output);
  }
  void diffuse(const DiffusionTables& tables, std::uint64_t seed, const float* clean,
               Index n_features, TrainingLabels labels, RowSelection rows, Index n_rows,
               float* input, float* target) override {
    cpu::diffuse(tables, seed, clean, n_features, labels, rows, n_rows, input, target);
  }
  void append_conditions(const Conditions& conditions, const float* noisy, Index n_features,
                         const Index* timestep, const Index* labels, Index n_rows,
                         float* input) override {
    cpu::append_conditions(conditions, noisy, n_features, timestep, labels, n_rows, input);
  }
  void denoise(const math::SamplerStage* stages, const Index* stage, ConstMomentsView prediction,
               Index n_features, std::uint64_t seed, const Index* first_row, float* noisy,
               float* carry, float* var) override {
    cpu::denoise(stages, stage, prediction, n_features, seed, first_row, noisy, carry, var);
  }
  void denoise_covariance(const math::SamplerStage* stages, const Index* stage,
                          const float* jacobian, const float* prediction_covariance, Index n_rows,
                          Index n_features, float* epistemic, float* aleatoric) override {
    cpu::denoise_covariance(stages, stage, jacobian, prediction_covariance, n_rows, n_features,
                            epistemic, aleatoric);
  }
  void combine(const float* first, float first_weight, const float* second, float second_weight,
               Index size, float* output) override {
    cpu::combine(first, first_weight, second, second_weight, size, output);
  }
  void advance(Index* value, Index amount) override { *value += amount; }

 private:
  static const float* offset(const float* plane, Index count) {
    return plane == nullptr ? nullptr : plane + count;
  }

  /// Calls body(first, count) for pieces of so many elements.
  template <class Body>
  static void for_element_pieces(Index size, Body&& body) {
    for_pieces(size, elementwise_piece, element_ns, body);
  }

  /// output = input * weight, with weight seen as depth x columns through its strides.
  void multiply(ProductKind kind, ConstMomentsView input, ConstMomentsView weight,
                Index depth_stride, Index column_stride, ConstMomentsView bias,
                MomentsView output) {
    const Index depth = input.cols, columns = output.cols;
    float* packed = scratch<PackedWeight>(product_.packed_size(kind, depth, columns));
    product_.pack(kind, {weight.mean, weight.var, depth_stride, column_stride}, depth, columns,
                  bias.mean, bias.var, packed);
    const double row_cost = 3.0 * static_cast<double>(depth * columns) * multiply_add_ns;
    for_pieces(input.rows, row_piece, row_cost, [&](Index first, Index count) {
      const Index mean_stride = spread_stride(cell_count(formats_.mean, depth));
      const Index var_stride = spread_stride(cell_count(formats_.var, depth));
      float* mean = scratch<ProductCells>(row_piece * (mean_stride + 2 * var_stride));
      float* var = mean + row_piece * mean_stride;
      float* square = var + row_piece * var_stride;
      const auto pack = [&](Format format, bool squared, const float* plane, float* cells,
                            Index stride) {
        kernels_.pack_factors(format, squared, plane + first * depth, depth, count, depth,
                              {cells, stride}, {});
      };
      pack(formats_.mean, false, input.mean, mean, mean_stride);
      if (kind != ProductKind::known) pack(formats_.var, false, input.var, var, var_stride);
      if (kind != ProductKind::squared) pack(formats_.var, true, input.mean, square, var_stride);
      product_.multiply(kind, {mean, mean_stride, var, square, var_stride}, count, depth, columns,
                        packed, /*padded=*/false, output.mean + first * columns,
                        output.var + first * columns, columns);
    });
  }

  /// The innovations of one affine map, written to `weight` (out x in) and `bias` (1 x out, or
  /// empty).
  void sum_innovation(ConstMomentsView input, ConstMomentsView delta, MomentsView weight,
                      MomentsView bias) {
    const Index out = delta.cols, batch = input.rows;
    const Index bias_size = bias.size();
    const double cost = 2.0 * static_cast<double>(weight.size() * batch) * multiply_add_ns;
    const Sums total{weight.mean, weight.var, bias.mean, bias.var};
    total.clear(weight.size(), bias_size);
    constexpr Index wide = 128 * 128;
    if (weight.size() >= wide) {
      // Threads share the inputs of a block of samples, and each owns some rows of the weight.
      for_each_input_block(input, 0, batch, [&](const InputBlock& block) {
        pack_input_block(input, block);
        const double share = cost * static_cast<double>(block.samples * block.columns) /
                             static_cast<double>(batch * input.cols);
        for_pieces(out, innovation_outputs, share / static_cast<double>(out),
                   [&](Index first, Index count) {
                     add_innovation(input.cols, block, delta, first, count, total);
                   });
      });
      add_bias_innovation(delta, 0, batch, total);
      return;
    }
    // Each piece sums over some samples; the partial sums are added in the order of the samples.
    const Index piece = std::max<Index>(256, ceil_div(batch, 64));
    const Index n_pieces = ceil_div(batch, piece);
    const auto add_samples = [&](Index first, Index count, const Sums& sums) {
      for_each_input_block(input, first, count, [&](const InputBlock& block) {
        pack_input_block(input, block);
        for (Index output = 0; output < out; output += innovation_outputs) {
          add_innovation(input.cols, block, delta, output,
                         std::min(innovation_outputs, out - output), sums);
        }
      });
      add_bias_innovation(delta, first, count, sums);
    };
    if (n_pieces == 1) {
      add_samples(0, batch, total);
      return;
    }
    const Index stride = 2 * (weight.size() + bias_size);
    float* partial = scratch<PartialSums>(stride * n_pieces);
    const auto sums_of = [&](Index i) {
      float* first = partial + i * stride;
      float* bias_first = bias_size == 0 ? nullptr : first + 2 * weight.size();
      return Sums{first, first + weight.size(), bias_first,
                  bias_size == 0 ? nullptr : bias_first + bias_size};
    };
    for_pieces(batch, piece, cost / static_cast<double>(batch), [&](Index first, Index count) {
      const Sums sums = sums_of(first / piece);
      sums.clear(weight.size(), bias_size);
      add_samples(first, count, sums);
    });
    for (Index i = 0; i < n_pieces; ++i) total.add(sums_of(i), weight.size(), bias_size);
  }

  /// Sums of parameter innovations: out x in for the weight, out for the bias (or null).
  struct Sums {
    float* weight_mean;
    float* weight_var;
    float* bias_mean;
    float* bias_var;

    void clear(Index weight_size, Index bias_size) const {
      std::fill_n(weight_mean, weight_size, 0.0f);
      std::fill_n(weight_var, weight_size, 0.0f);
      std::fill_n(bias_mean, bias_size, 0.0f);
      std::fill_n(bias_var, bias_size, 0.0f);
    }
    void add(const Sums& other, Index weight_size, Index bias_size) const {
      for (Index i = 0; i < weight_size; ++i) weight_mean[i] += other.weight_mean[i];
      for (Index i = 0; i < weight_size; ++i) weight_var[i] += other.weight_var[i];
      for (Index i = 0; i < bias_size; ++i) bias_mean[i] += other.bias_mean[i];
      for (Index i = 0; i < bias_size; ++i) bias_var[i] += other.bias_var[i];
    }
  };

  /// The means and squares of some inputs in the cells of an outer product.
  struct InputBlock {
    Index first_sample;
    Index samples;
    Index first_column;
    Index columns;
    float* mean;
    float* square;
    Index stride;
  };

  /// Calls body(block) for the samples from `first_sample` on and all columns, in blocks that stay
  /// in the second-level cache. Their cells are not filled.
  template <class Body>
  void for_each_input_block(ConstMomentsView input, Index first_sample, Index samples,
                            Body&& body) {
    constexpr Index most_samples = 256, most_columns = 512;
    const Index padded = kernels_.layout.padded_columns(std::min(most_columns, input.cols));
    const Index stride = spread_stride(padded);
    float* cells = scratch<InputCells>(2 * most_samples * stride);
    for (Index column = 0; column < input.cols; column += most_columns) {
      for (Index sample = 0; sample < samples; sample += most_samples) {
        body(InputBlock{first_sample + sample, std::min(most_samples, samples - sample), column,
                        std::min(most_columns, input.cols - column), cells,
                        cells + most_samples * stride, stride});
      }
    }
  }

  void pack_input_block(ConstMomentsView input, const InputBlock& block) {
    constexpr Index piece = 64;  // an even number: two samples may share a cell
    for_pieces(block.samples, piece, static_cast<double>(block.columns) * element_ns,
               [&](Index first, Index count) {
                 const float* values =
                     input.mean + (block.first_sample + first) * input.cols + block.first_column;
                 const auto pack = [&](Format format, bool squared, float* cells) {
                   kernels_.pack_factors(
                       format, squared, values, input.cols, count, block.columns, {},
                       {cells + cell_count(format, first) * block.stride, block.stride});
                 };
                 pack(formats_.mean, false, block.mean);
                 pack(formats_.var, true, block.square);
               });
  }

  /// Adds the innovations of a block of inputs to `outputs` rows of the weight (out x in).
  void add_innovation(Index in, const InputBlock& block, ConstMomentsView delta, Index first_output,
                      Index outputs, const Sums& sums) {
    constexpr Index stride = innovation_outputs + 16;
    const auto add = [&](Format format, const float* plane, const float* inputs, float* sum) {
      float* cells = scratch<DeltaCells>(cell_count(format, block.samples) * stride);
      kernels_.pack_factors(format, false, plane + block.first_sample * delta.cols + first_output,
                            delta.cols, block.samples, outputs, {}, {cells, stride});
      kernels_.outer_product(format, {cells, outputs, stride},
                             {inputs, block.columns, block.stride}, block.samples, /*add=*/true,
                             sum + first_output * in + block.first_column, in);
    };
    add(formats_.mean, delta.mean, block.mean, sums.weight_mean);
    add(formats_.var, delta.var, block.square, sums.weight_var);
  }

  void add_bias_innovation(ConstMomentsView delta, Index first_sample, Index samples,
                           const Sums& sums) {
    if (sums.bias_mean == nullptr) return;
    const Index start = first_sample * delta.cols;
    kernels_.add_column_sums(delta.mean + start, delta.cols, samples, delta.cols, sums.bias_mean);
    kernels_.add_column_sums(delta.var + start, delta.cols, samples, delta.cols, sums.bias_var);
  }

  const Kernels& kernels_;
  Precision precision_;
  Formats formats_;
  MomentsProduct product_;
};

}  // namespace

std::unique_ptr<Backend> make_backend(const std::string& instruction_set, Precision precision) {
  const Kernels& kernels = kernels_for(instruction_set);
  require(precision == Precision::float32 || kernels.has_bfloat16, "precision: got '",
          precision_name(precision), "', needed 'float32': ", instruction_set,
          " has no products of bfloat16");
  return std::make_unique<CpuBackend>(kernels, precision);
}

}  // namespace tagix::cpu

namespace tagix {

bool cpu_has(Precision precision) {
  return precision == Precision::float32 || cpu::default_kernels().has_bfloat16;
}

std::shared_ptr<Backend> cpu_backend(Precision precision) {
  const auto make = [](Precision of) -> std::shared_ptr<Backend> {
    return cpu_has(of) ? cpu::make_backend(cpu::default_kernels().instruction_set, of) : nullptr;
  };
  static const std::shared_ptr<Backend> float32 = make(Precision::float32);
  static const std::shared_ptr<Backend> mixed = make(Precision::mixed);
  static const std::shared_ptr<Backend> bfloat16 = make(Precision::bfloat16);
  const std::shared_ptr<Backend>& backend = precision == Precision::float32 ? float32
                                            : precision == Precision::mixed ? mixed
                                                                            : bfloat16;
  require(backend != nullptr, "precision: got '", precision_name(precision),
          "', needed 'float32': ", cpu::default_kernels().instruction_set,
          " has no products of bfloat16");
  return backend;
}

}  // namespace tagix
