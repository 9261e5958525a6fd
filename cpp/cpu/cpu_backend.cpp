#include "cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/require.h"
#include "cpu/covariance.h"
#include "cpu/fused_executor.h"
#include "cpu/graph_ops.h"
#include "cpu/instruction_set.h"
#include "cpu/kernels.h"
#include "cpu/moments_product.h"
#include "cpu/pieces.h"
#include "cpu/scratch.h"
#include "cpu/threads.h"
#include "math/normal.h"
#include "math/permutation.h"

namespace tagix::cpu {
namespace {

struct PackedWeight {};
struct ProductCells {};
struct InputCells {};
struct DeltaCells {};
struct PartialSums {};
struct AddedSums {};
struct Innovations {};
struct RepeatedNoise {};
struct NoisyColumns {};
struct NoiseVariances {};
struct TreeNodes {};
struct ClassProbabilities {};
struct TangentFactors {};
struct SquareMatrix {};

constexpr Index row_piece = 96;  // rows of a product: whole register tiles at every level

constexpr Index innovation_outputs = 96;  // whose innovations are added up at a time

/// A distance between rows, at least `size` floats, at which they do not compete for the same few
/// lines of the first-level cache.
Index spread_stride(Index size) {
  const Index lines = ceil_div(size, 16);
  return 16 * (lines % 2 == 0 ? lines + 1 : lines);
}

/// Rough costs that decide whether other threads are woken: a product's multiply-add, a random
/// number, an output of classes.
constexpr double multiply_add_ns = 0.02;
constexpr double random_ns = 10;
constexpr double class_ns = 20;

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
    for_elements(input.size(), [&](Index first, Index count) {
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
    for_elements(delta.size(), [&](Index first, Index count) {
      kernels_.scale_deltas(jacobian + first, count, delta.mean + first, delta.var + first);
    });
  }

  void observe(ConstMomentsView prediction, const float* target, NoiseView noise, float spread,
               MomentsView delta) override {
    observe_alike(prediction, target, noise, spread, delta);
    if (noise.weight == nullptr) return;
    for (Index i = 0; i < delta.size(); ++i) {
      const math::Innovation<float> result = math::weighted(
          math::Innovation<float>{delta.mean[i], delta.var[i]}, noise.weight[i / delta.cols]);
      delta.mean[i] = result.delta_mean;
      delta.var[i] = result.delta_var;
    }
  }

  void split_prediction(ConstMomentsView prediction, NoiseView noise, MomentsView values,
                        float* noise_var, float* total_var) override {
    const Index cols = values.cols, size = values.size();
    copy_columns(prediction.mean, prediction.cols, values.mean, cols, prediction.rows, cols);
    copy_columns(prediction.var, prediction.cols, values.var, cols, prediction.rows, cols);
    for_noise_variances(prediction, noise, [&](Index first, Index rows, const float* block) {
      std::copy_n(block, rows * cols, noise_var + first * cols);
    });
    std::copy_n(values.var, size, total_var);
    kernels_.add(noise_var, size, total_var);
  }

  void class_probabilities(ConstMomentsView prediction, const math::ClassHead& classes,
                           float* probabilities) override {
    const Index n = prediction.cols, n_classes = classes.n_classes;
    for_rows_of(prediction.rows, static_cast<double>(n) * cost_of(classes), [&](Index row) {
      const float *const mean = prediction.mean + row * n, *const var = prediction.var + row * n;
      float* const of_class = probabilities + row * n_classes;
      if (classes.link == math::ClassLink::softmax) {
        kernels_.softmax_probabilities(mean, var, n, of_class);
        return;
      }
      if (classes.link == math::ClassLink::tree) {
        // From the root down: node i, whose probability is nodes[i], has the children 2 i, 2 i + 1.
        float* const nodes = scratch<TreeNodes>(2 * n_classes);
        nodes[1] = 1;
        for (Index node = 1; node < n_classes; ++node) {
          const auto branch = math::branch_probabilities(mean[node - 1], var[node - 1]);
          nodes[2 * node] = nodes[node] * branch.left;
          nodes[2 * node + 1] = nodes[node] * branch.right;
        }
        std::copy_n(nodes + n_classes, n_classes, of_class);
        return;
      }
      if (classes.link == math::ClassLink::one_vs_rest) {
        float top = -std::numeric_limits<float>::infinity();
        for (Index i = 0; i < n; ++i) {
          of_class[i] = math::one_vs_rest_log_weight(classes, mean[i], var[i]);
          top = std::max(top, of_class[i]);
        }
        double total = 0;
        for (Index i = 0; i < n; ++i) total += of_class[i] = math::exp(of_class[i] - top);
        for (Index i = 0; i < n; ++i) of_class[i] = static_cast<float>(of_class[i] / total);
        return;
      }
      const math::RemaxTotals totals = math::remax_totals(mean, var, n);
      double sum = 0;
      for (Index i = 0; i < n; ++i) {
        of_class[i] = math::remax_weight(mean[i], var[i], totals);
        sum += static_cast<double>(of_class[i]);
      }
      for (Index i = 0; i < n; ++i) of_class[i] = static_cast<float>(of_class[i] / sum);
    });
  }

  void update(const UpdateRule& rule, Index batch_size, ConstMomentsView innovation,
              MomentsView parameters, const TrainingState* state) override {
    if (state->failure != Failure::none) return;
    for_elements(parameters.size(), [&](Index first, Index count) {
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
    const bool drifts = drift != nullptr && drift->drifts;
    const float least_var = drifts ? std::max(step.least_var, step.drifted_var) : step.least_var;
    for_elements(size, [&](Index first, Index count) {
      kernels_.forget(step.process_var, step.prior_var, least_var, count, var + first);
    });
  }

  void copy(ConstMomentsView values, MomentsView target) override {
    std::copy_n(values.mean, values.size(), target.mean);
    std::copy_n(values.var, values.size(), target.var);
  }

  void add(ConstMomentsView values, MomentsView sum) override {
    for_elements(values.size(), [&](Index first, Index count) {
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

  void start_tangents(Index n_directions, MomentsView tangents) override {
    const Index batch = tangents.rows / n_directions;
    std::fill_n(tangents.mean, tangents.size(), 0.0f);
    std::fill_n(tangents.var, tangents.size(), 0.0f);
    for (Index row = 0; row < tangents.rows; ++row) {
      tangents.mean[row * tangents.cols + row / batch] = 1;
    }
  }

  void affine_tangents(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView tangents,
                       MomentsView output) override {
    const Index depth = input.cols, columns = output.cols;
    constexpr ProductKind kind = ProductKind::both;
    float* packed = scratch<PackedWeight>(product_.packed_size(kind, depth, columns));
    product_.pack(kind, {weight.mean, weight.var, 1, depth}, depth, columns, nullptr, nullptr,
                  packed);
    const double row_cost = 3.0 * static_cast<double>(depth * columns) * multiply_add_ns;
    for_pieces(tangents.rows, row_piece, row_cost, [&](Index first, Index count) {
      float* products = scratch<TangentFactors>(row_piece * depth);
      for (Index row = 0; row < count; ++row) {
        kernels_.twice_product(input.mean + (first + row) % input.rows * depth,
                               tangents.mean + (first + row) * depth, depth,
                               products + row * depth);
      }
      const Index mean_stride = spread_stride(cell_count(formats_.mean, depth));
      const Index var_stride = spread_stride(cell_count(formats_.var, depth));
      float* mean = scratch<ProductCells>(row_piece * (mean_stride + 2 * var_stride));
      float* var = mean + row_piece * mean_stride;
      float* square = var + row_piece * var_stride;
      const auto pack = [&](Format format, const float* plane, float* cells, Index stride) {
        kernels_.pack_factors(format, /*squared=*/false, plane, depth, count, depth,
                              {cells, stride}, {});
      };
      pack(formats_.mean, tangents.mean + first * depth, mean, mean_stride);
      pack(formats_.var, tangents.var + first * depth, var, var_stride);
      pack(formats_.var, products, square, var_stride);
      product_.multiply_tangents(kind, {mean, mean_stride, var, square, var_stride}, count, depth,
                                 columns, packed, /*padded=*/false, output.mean + first * columns,
                                 output.var + first * columns, columns);
    });
  }

  void activation_slopes(const math::ActivationSpec& spec, ConstMomentsView input,
                         SlopesView slopes) override {
    for_elements(input.size(), [&](Index first, Index count) {
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

  void scale_tangents(ConstSlopesView slopes, Index size, MomentsView tangents) override {
    for (Index start = 0; start < tangents.size(); start += size) {
      for_elements(size, [&](Index first, Index count) {
        kernels_.scale_tangents(slopes.from(first), count, tangents.mean + start + first,
                                tangents.var + start + first);
      });
    }
  }

  void gather_jacobian(ConstMomentsView tangents, Index n_directions, Index n_outputs,
                       float* jacobian) override {
    const Index batch = tangents.rows / n_directions;
    for_pieces(batch, 512, static_cast<double>(n_outputs * n_directions) * element_ns,
               [&](Index first, Index count) {
                 write_jacobian(tangents.mean + first * tangents.cols, batch * tangents.cols,
                                tangents.cols, n_directions, count, n_outputs,
                                jacobian + first * n_outputs * n_directions, n_directions);
               });
  }

  void affine_covariance(ConstMomentsView input, ConstMomentsView weight, const float* var,
                         Index n_outputs, float* covariance) override {
    const double cost = static_cast<double>(n_outputs * n_outputs * (1 + input.cols)) * element_ns;
    for_pieces(input.rows, 64, cost, [&](Index first, Index count) {
      write_affine_covariance(kernels_, {weight.mean, n_outputs, input.cols},
                              offset(input.var, first * input.cols), input.cols, count,
                              var + first * weight.rows, weight.rows,
                              covariance + first * n_outputs * n_outputs);
    });
  }

  void scale_covariance(const float* jacobian, ConstMomentsView output, Index n_outputs,
                        float* covariance) override {
    const Index cols = output.cols;
    for_pieces(output.rows, 512, static_cast<double>(n_outputs * n_outputs) * element_ns,
               [&](Index first, Index count) {
                 take_through_activation(jacobian + first * cols, cols, output.var + first * cols,
                                         cols, count, n_outputs,
                                         covariance + first * n_outputs * n_outputs);
               });
  }

  void shuffle(std::uint64_t seed, std::uint64_t epoch, Index n_rows, Index* order) override {
    const math::Permutation permutation(seed, epoch, static_cast<std::uint64_t>(n_rows));
    for_pieces(n_rows, elementwise_piece, random_ns, [&](Index first, Index count) {
      for (Index i = first; i < first + count; ++i) {
        order[i] = static_cast<Index>(permutation(static_cast<std::uint64_t>(i)));
      }
    });
  }

  void gather_rows(const float* source, Index cols, RowSelection rows, Index n_rows,
                   float* output) override {
    for (Index i = 0; i < n_rows; ++i) {
      std::copy_n(source + row_of(rows, i) * cols, cols, output + i * cols);
    }
  }

  void record_predictions(ConstMomentsView prediction, const float* target, NoiseView noise,
                          TrainingState* state) override {
    if (state->failure != Failure::none) return;
    PredictionSums sums;
    bool overflows = false;
    if (noise.classes.exists()) {
      overflows = record_classes(prediction, target, noise.classes, sums);
    } else {
      overflows = record_numbers(prediction, target, noise, sums);
    }
    if (overflows) {
      state->failure = Failure::prediction;
      return;
    }
    state->sums += sums;
    state->position += prediction.rows;
  }

  void normal(std::uint64_t seed, math::RandomStream stream, std::uint64_t step, Index first_row,
              Index n_rows, Index cols, float* output) override {
    for_rows(n_rows, cols, [&](Index row) {
      math::normal_row(seed, stream, step, static_cast<std::uint64_t>(first_row + row), cols,
                       output + row * cols);
    });
  }

  void diffuse(const DiffusionTables& tables, std::uint64_t seed, const float* clean,
               Index n_features, TrainingLabels labels, RowSelection rows, Index n_rows,
               float* input, float* target) override {
    const std::uint64_t epoch = rows.state->epoch;
    const Index cols = n_features + tables.conditions.cols();
    for_rows(n_rows, n_features, [&](Index i) {
      const Index row = row_of(rows, i);
      const auto key = static_cast<std::uint64_t>(row);
      const Index t = math::drawn_timestep(seed, epoch, key, tables.first_step, tables.n_steps);
      Index label = -1;
      if (labels.of_row != nullptr && !math::drops_label(seed, epoch, key, labels.dropped_below)) {
        label = labels.of_row[row];
      }
      const math::NoiseLevel level = tables.levels[t];
      const float* clean_row = clean + row * n_features;
      float* noise = target + i * n_features;  // until it is replaced by the target
      math::normal_row(seed, math::RandomStream::diffusion_noise, epoch, key, n_features, noise);
      float* input_row = input + i * cols;
      for (Index k = 0; k < n_features; ++k) {
        input_row[k] = math::diffused(clean_row[k], noise[k], level);
        noise[k] = math::diffusion_target(clean_row[k], noise[k], level);
      }
      copy_conditions(tables.conditions, t, label, input_row + n_features);
    });
  }

  void append_conditions(const Conditions& conditions, const float* noisy, Index n_features,
                         const Index* timestep, const Index* labels, Index n_rows,
                         float* input) override {
    const Index cols = n_features + conditions.cols();
    for (Index i = 0; i < n_rows; ++i) {
      std::memcpy(input + i * cols, noisy + i * n_features, bytes(n_features));
      copy_conditions(conditions, *timestep, labels == nullptr ? -1 : labels[i],
                      input + i * cols + n_features);
    }
  }

  void denoise(const math::SamplerStage* stages, const Index* stage, ConstMomentsView prediction,
               Index n_features, std::uint64_t seed, const Index* first_row, float* noisy,
               float* carry, float* var) override {
    const math::SamplerStage step = stages[*stage];
    const Index cols = n_features;
    for_rows(prediction.rows, cols, [&](Index row) {
      // The variances of this row are written last: until then they hold its random numbers.
      float* numbers = var + row * cols;
      if (step.noise_std != 0) {
        math::normal_row(seed, math::RandomStream::sampler_noise,
                         static_cast<std::uint64_t>(*stage),
                         static_cast<std::uint64_t>(*first_row + row), cols, numbers);
      } else {
        std::fill_n(numbers, cols, 0.0f);
      }
      const Index predicted = row * prediction.cols;
      for (Index k = 0; k < cols; ++k) {
        const Index i = row * cols + k;
        const float x = noisy[i], mean = prediction.mean[predicted + k];
        noisy[i] = math::stage_result(x, mean, carry == nullptr ? 0.0f : carry[i], var[i], step);
        if (carry != nullptr) carry[i] = math::stage_carry(x, mean, step);
        var[i] = math::stage_var(prediction.var[predicted + k], step);
      }
    });
  }

  void denoise_covariance(const math::SamplerStage* stages, const Index* stage,
                          const float* jacobian, const float* prediction_covariance, Index n_rows,
                          Index n_features, float* epistemic, float* aleatoric) override {
    const math::SamplerStage step = stages[*stage];
    const Index n = n_features;
    const double row_cost = 2.0 * static_cast<double>(n * n * (n + 2)) * element_ns;
    for_pieces(n_rows, 256, row_cost, [&](Index first, Index count) {
      float* slopes = scratch<SquareMatrix>(n * n);
      for (Index row = first; row < first + count; ++row) {
        const float* j = jacobian + row * n * n;
        const float* w = prediction_covariance + row * n * n;
        float* s = epistemic + row * n * n;
        float* product = aleatoric + row * n * n;  // A S, before it is what it is called
        for (Index i = 0; i < n * n; ++i) {
          slopes[i] = math::stage_slope(i % (n + 1) == 0 ? 1.0f : 0.0f, j[i], step);
        }
        for (Index i = 0; i < n; ++i) {
          for (Index k = 0; k < n; ++k) {
            float sum = 0;
            for (Index l = 0; l < n; ++l) sum += slopes[i * n + l] * s[l * n + k];
            product[i * n + k] = sum;
          }
        }
        for (Index i = 0; i < n; ++i) {
          for (Index k = i; k < n; ++k) {
            float sum = math::stage_var(w[i * n + k], step);
            for (Index l = 0; l < n; ++l) sum += product[i * n + l] * slopes[k * n + l];
            s[i * n + k] = sum;
            s[k * n + i] = sum;
          }
        }
        for (Index i = 0; i < n; ++i) {
          for (Index k = 0; k < n; ++k) {
            product[i * n + k] =
                math::tweedie_covariance(i == k ? 1.0f : 0.0f, j[i * n + k], j[k * n + i], step);
          }
        }
      }
    });
  }

  void combine(const float* first, float first_weight, const float* second, float second_weight,
               Index size, float* output) override {
    for_pieces(size, elementwise_piece, element_ns, [&](Index from, Index count) {
      for (Index i = from; i < from + count; ++i) {
        output[i] = first_weight * first[i] + second_weight * second[i];
      }
    });
  }

  void advance(Index* value, Index amount) override { *value += amount; }

 private:
  static Index row_of(RowSelection rows, Index i) {
    const Index at = rows.state->position + i;
    return rows.order == nullptr ? at : rows.order[at];
  }
  static std::size_t bytes(Index count) { return static_cast<std::size_t>(count) * sizeof(float); }
  static const float* offset(const float* plane, Index count) {
    return plane == nullptr ? nullptr : plane + count;
  }
  static void copy_conditions(const Conditions& conditions, Index t, Index label, float* target) {
    for (Index col = 0; col < conditions.cols(); ++col) target[col] = conditions.at(t, label, col);
  }

  /// Calls body(first row, rows, their noise variances: rows x n) for all the rows of a prediction.
  template <class Body>
  void for_noise_variances(ConstMomentsView prediction, NoiseView noise, Body&& body) const {
    const Index cols = prediction.cols, n = noise.n_targets(cols);
    const Index block = std::max<Index>(1, elementwise_piece / (4 * n));
    float* const noise_var = scratch<NoiseVariances>(3 * block * n);
    for (Index first = 0; first < prediction.rows; first += block) {
      const Index rows = std::min(block, prediction.rows - first);
      if (noise.head.exists()) {
        float *const mean = noise_var + block * n, *const var = mean + block * n;
        copy_columns(prediction.mean + first * cols + n, cols, mean, n, rows, n);
        copy_columns(prediction.var + first * cols + n, cols, var, n, rows, n);
        kernels_.infer_noise(noise.head, mean, var, rows * n, noise_var);
      } else {
        for (Index i = 0; i < rows * n; ++i) {
          noise_var[i] = noise.data[(first + i / n) * noise.row_stride + i % n * noise.col_stride];
        }
      }
      body(first, rows, noise_var);
    }
  }

  /// Copies `cols` columns between matrices of so many columns each.
  static void copy_columns(const float* source, Index source_cols, float* target, Index target_cols,
                           Index rows, Index cols) {
    for (Index row = 0; row < rows; ++row) {
      std::copy_n(source + row * source_cols, cols, target + row * target_cols);
    }
  }

  /// Sums what was predicted of numbers; returns whether a prediction is not finite.
  bool record_numbers(ConstMomentsView prediction, const float* target, NoiseView noise,
                      PredictionSums& sums) const {
    bool overflows = false;
    for_noise_variances(prediction, noise, [&](Index first, Index rows, const float* noise_var) {
      const Index n_targets = noise.n_targets(prediction.cols);
      for (Index i = 0; i < rows * n_targets; ++i) {
        const Index row = first + i / n_targets, col = i % n_targets;
        const Index predicted = row * prediction.cols + col;
        const float mean = prediction.mean[predicted], var = prediction.var[predicted];
        const float observed = target[row * n_targets + col];
        overflows = overflows || !std::isfinite(mean) || !std::isfinite(var + noise_var[i]);
        if (!std::isnan(observed)) sums.add(observed, mean, var, noise_var[i]);
      }
    });
    return overflows;
  }

  /// The same of classes.
  bool record_classes(ConstMomentsView prediction, const float* target,
                      const math::ClassHead& classes, PredictionSums& sums) const {
    bool overflows = false;
    const bool is_softmax = classes.link == math::ClassLink::softmax;
    float* const of_class = is_softmax ? scratch<ClassProbabilities>(prediction.cols) : nullptr;
    for (Index row = 0; row < prediction.rows; ++row) {
      const float* mean = prediction.mean + row * prediction.cols;
      const float* var = prediction.var + row * prediction.cols;
      for (Index i = 0; i < prediction.cols; ++i) {
        overflows = overflows || !std::isfinite(mean[i]) || !std::isfinite(var[i]);
      }
      const Index label = classes.label_of(target[row]);
      if (label < 0) continue;
      if (is_softmax) {
        kernels_.softmax_probabilities(mean, var, prediction.cols, of_class);
        sums.add(math::recorded_class(classes, static_cast<double>(of_class[label])));
      } else {
        sums.add(math::recorded_class(classes, mean, var, label));
      }
    }
    return overflows;
  }

  /// Rough nanoseconds for an output of a row.
  static double cost_of(const math::ClassHead& classes) {
    return classes.link == math::ClassLink::softmax ? 4 * element_ns : class_ns;
  }

  /// `observe` of rows that all have the same weight.
  void observe_alike(ConstMomentsView prediction, const float* target, NoiseView noise_view,
                     float spread, MomentsView delta) const {
    if (noise_view.head.exists()) {
      observe_noisy(prediction, target, noise_view.head, spread, delta);
      return;
    }
    if (noise_view.classes.exists()) {
      observe_classes(prediction, target, noise_view.classes, spread, delta);
      return;
    }
    const Index cols = prediction.cols;
    const auto observe_rows = [&](Index row, Index rows, const float* noise, Index noise_stride) {
      const Index first = row * cols;
      kernels_.observe(prediction.mean + first, prediction.var + first, target + first, noise,
                       noise_stride, spread, rows * cols, delta.mean + first, delta.var + first);
    };
    const bool uniform = noise_view.row_stride == 0 && noise_view.col_stride == 0;
    const bool dense = noise_view.row_stride == cols && noise_view.col_stride == 1;
    if (uniform || dense) {
      observe_rows(0, prediction.rows, noise_view.data, noise_view.col_stride);
      return;
    }
    // Rows may be narrower than a vector, so noise that repeats is written out for some at a time.
    const Index block = std::max<Index>(1, elementwise_piece / cols);
    float* noise = scratch<RepeatedNoise>(block * cols);
    for (Index row = 0; row < prediction.rows; row += block) {
      const Index rows = std::min(block, prediction.rows - row);
      for (Index i = 0; i < rows; ++i) {
        const float* source = noise_view.data + (row + i) * noise_view.row_stride;
        for (Index k = 0; k < cols; ++k) noise[i * cols + k] = source[k * noise_view.col_stride];
      }
      observe_rows(row, rows, noise, 1);
    }
  }

  /// `observe` of classes. In the tree no output has an innovation but those on the class's path.
  void observe_classes(ConstMomentsView prediction, const float* target,
                       const math::ClassHead& classes, float spread, MomentsView delta) const {
    const Index n = prediction.cols;
    const bool by_path = classes.link == math::ClassLink::tree;
    const double row_ns = static_cast<double>(n) * (by_path ? element_ns : cost_of(classes));
    for_rows_of(prediction.rows, row_ns, [&](Index row) {
      const float *const mean = prediction.mean + row * n, *const var = prediction.var + row * n;
      float *const delta_mean = delta.mean + row * n, *const delta_var = delta.var + row * n;
      const Index label = classes.label_of(target[row]);
      if (classes.link == math::ClassLink::softmax && label >= 0) {
        kernels_.observe_softmax(mean, var, n, label, spread, delta_mean, delta_var);
        return;
      }
      std::fill_n(delta_mean, n, 0.0f);
      std::fill_n(delta_var, n, 0.0f);
      if (label < 0) return;
      const auto write = [&](Index output, const math::Innovation<float>& innovation) {
        delta_mean[output] = innovation.delta_mean;
        delta_var[output] = innovation.delta_var;
      };
      if (by_path) {
        for (Index node = classes.n_classes + label; node > 1; node >>= 1) {
          const Index output = (node >> 1) - 1;
          const float branch = node % 2 == 1 ? 1.0f : -1.0f;
          write(output, math::probit_innovation(mean[output], var[output], branch, spread));
        }
        return;
      }
      if (classes.link == math::ClassLink::one_vs_rest) {
        for (Index i = 0; i < n; ++i) {
          write(i, math::one_vs_rest_innovation(classes, mean[i], var[i], i == label ? 1.0f : 0.0f,
                                                spread));
        }
        return;
      }
      const math::RemaxTotals totals = math::remax_totals(mean, var, n);
      for (Index i = 0; i < n; ++i) {
        write(i, math::remax_innovation(math::remax_unit(mean[i], var[i]), totals, n,
                                        i == label ? 1.0f : 0.0f, classes.noise_var, spread));
      }
    });
  }

  /// `observe` with a noise head. Rows may be narrower than a vector, so some at a time are sorted
  /// by columns of values and of the head.
  void observe_noisy(ConstMomentsView prediction, const float* target, math::NoiseHead head,
                     float spread, MomentsView delta) const {
    const Index cols = prediction.cols, n = head.n_targets(cols);
    const Index block = std::max<Index>(1, elementwise_piece / (8 * n));
    float* const planes = scratch<NoisyColumns>(8 * block * n);
    for (Index first = 0; first < prediction.rows; first += block) {
      const Index rows = std::min(block, prediction.rows - first), size = rows * n;
      const auto plane = [&](Index i) { return planes + i * size; };
      const auto take = [&](const float* source, Index column, float* part) {
        copy_columns(source + first * cols + column, cols, part, n, rows, n);
      };
      take(prediction.mean, 0, plane(0));
      take(prediction.var, 0, plane(1));
      take(prediction.mean, n, plane(2));
      take(prediction.var, n, plane(3));
      kernels_.observe_noisy(head,
                             {plane(0), plane(1), plane(2), plane(3), target + first * n, plane(4),
                              plane(5), plane(6), plane(7)},
                             spread, size);
      const auto give = [&](const float* part, float* result, Index column) {
        copy_columns(part, n, result + first * cols + column, cols, rows, n);
      };
      give(plane(4), delta.mean, 0);
      give(plane(5), delta.var, 0);
      give(plane(6), delta.mean, n);
      give(plane(7), delta.var, n);
    }
  }

  template <class Body>
  static void for_elements(Index size, Body&& body) {
    for_pieces(size, elementwise_piece, element_ns, body);
  }

  /// Calls body(row) for rows that each draw `numbers` random numbers.
  template <class Body>
  static void for_rows(Index n_rows, Index numbers, Body&& body) {
    for_rows_of(n_rows, static_cast<double>(numbers) * random_ns, body);
  }

  /// Calls body(row) for rows that each take so many nanoseconds.
  template <class Body>
  static void for_rows_of(Index n_rows, double row_ns, Body&& body) {
    for_pieces(n_rows, 512, row_ns, [&](Index first, Index count) {
      for (Index row = first; row < first + count; ++row) body(row);
    });
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
