#include "cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/require.h"
#include "cpu/adjoint.h"
#include "cpu/affine_innovations.h"
#include "cpu/affine_products.h"
#include "cpu/data.h"
#include "cpu/elementwise.h"
#include "cpu/executor_choice.h"
#include "cpu/graph_ops.h"
#include "cpu/image_affine.h"
#include "cpu/instruction_set.h"
#include "cpu/kernels.h"
#include "cpu/moments_product.h"
#include "cpu/normalise.h"
#include "cpu/scratch.h"
#include "cpu/targets.h"

namespace tagix::cpu {
namespace {

struct Innovations {};

/// Backend on the host, as a table: each operation is done by the file of its subject.
class CpuBackend final : public Backend {
 public:
  CpuBackend(const Kernels& kernels, Precision precision)
      : kernels_(kernels),
        precision_(precision),
        products_(kernels, formats_of(precision)),
        image_products_(kernels, formats_of(precision)),
        innovations_(kernels, formats_of(precision)) {}

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

  std::unique_ptr<Executor> fuse(const std::vector<ChainStep>& steps,
                                 std::unique_ptr<Executor> by_graph) override {
    return make_fused_executor(*this, kernels_, steps, std::move(by_graph));
  }

  // Activations are kernels of their own, over outputs that are in cache.
  bool has_epilogue(const math::ActivationSpec&) const override { return false; }

  void affine_forward(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                      const std::optional<Epilogue>&, MomentsView output) override {
    products_.forward(input, weight, bias, output);
  }

  void affine_means(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                    float* output) override {
    products_.means(input, weight, bias, output);
  }

  void affine_backward(ConstMomentsView delta, ConstMomentsView weight, const float* jacobian,
                       MomentsView delta_input) override {
    products_.backward(delta, weight, delta_input);
    if (jacobian != nullptr) scale_deltas(jacobian, delta_input);
  }

  const ImageProducts* image_products() const override { return &image_products_; }

  bool sums_innovations_together() const override { return false; }

  Index innovation_scratch(std::span<const AffinePass>) const override { return 0; }

  void affine_innovations(std::span<const AffinePass> passes, MomentsView innovation,
                          float*) override {
    for (const AffinePass& pass : passes) {
      if (pass.windows) {
        image_products_.sum_innovations(pass, innovation);
      } else {
        innovations_.sum({&pass, 1}, innovation);
      }
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
    check_finite(innovation, state);
    update(rule, batch_size, innovation, parameters, state);
  }

  void activation_forward(const math::ActivationSpec& spec, ConstMomentsView input,
                          MomentsView output, float* jacobian) override {
    cpu::activation_forward(kernels_, spec, input, output, jacobian);
  }

  void activation_values(const math::ActivationSpec& spec, const float* input, Index size,
                         float* output) override {
    cpu::activation_values(kernels_, spec, input, size, output);
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
    cpu::scale_deltas(kernels_, jacobian, delta);
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
    cpu::update(kernels_, rule, batch_size, innovation, parameters, state);
  }

  void test_drift(const Forgetting& forgetting, TrainingState* state,
                  math::DriftState* drift) override {
    test_summed_drift(forgetting.decay(), forgetting.threshold(), *state, *drift);
  }

  void forget(const ParameterWalk& step, const math::DriftState* drift, const TrainingState* state,
              Index size, float* var) override {
    cpu::forget(kernels_, step, drift, state, size, var);
  }

  void copy(ConstMomentsView values, MomentsView target) override { cpu::copy(values, target); }

  void add(ConstMomentsView values, MomentsView sum) override { cpu::add(kernels_, values, sum); }

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
  void gather(const float* input, Index channels, const PositionsView& positions, Index first_row,
              Index rows, float* output) override {
    cpu::gather(input, channels, positions, first_row, rows, output);
  }
  void largest(ConstMomentsView input, const PositionsView& windows, MomentsView output,
               float* choice) override {
    cpu::largest(input, windows, output, choice);
  }
  void largest_backward(ConstMomentsView delta, const float* choice, Index n_choices,
                        const PositionsView& readers, bool add, MomentsView below) override {
    cpu::largest_backward(delta, choice, n_choices, readers, add, below);
  }
  void normalise(ConstMomentsView input, const NormSets& sets, MomentsView output,
                 float* scale) override {
    cpu::normalise(input, sets, output, scale);
  }
  void normalise_backward(ConstMomentsView output, const float* scale, const NormSets& sets,
                          ConstMomentsView delta, bool add, MomentsView below) override {
    cpu::normalise_backward(output, scale, sets, delta, add, below);
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

  void check_finite(ConstMomentsView values, TrainingState* state) override {
    cpu::check_finite(kernels_, values, state);
  }

  void start_adjoint(Index n_outputs, MomentsView adjoint) override {
    cpu::start_adjoint(n_outputs, adjoint);
  }
  void affine_adjoint(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView adjoint,
                      MomentsView below) override {
    cpu::affine_adjoint(kernels_, formats_of(precision_), input, weight, adjoint, below);
  }

  void activation_slopes(const math::ActivationSpec& spec, ConstMomentsView input, bool residual,
                         SlopesView slopes) override {
    cpu::activation_slopes(kernels_, spec, input, residual, slopes);
  }

  void activation_slopes_from_points(math::MomentsForm form, ConstMomentsView input,
                                     const float* values, const float* derivatives, bool residual,
                                     SlopesView slopes) override {
    kernels_.activation_slopes_from_points(form, input.var, input.size(), values, derivatives,
                                           residual, slopes);
  }

  void scale_adjoint(ConstSlopesView slopes, Index size, ConstMomentsView adjoint, bool add,
                     MomentsView below) override {
    cpu::scale_adjoint(kernels_, slopes, size, adjoint, add, below);
  }
  void affine_spread(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                     float* spread) override {
    cpu::affine_spread(kernels_, formats_of(precision_), input, weight, bias, spread);
  }
  void activation_excess(const float* input_var, const float* jacobian, const float* var,
                         Index size, float* excess) override {
    cpu::activation_excess(kernels_, input_var, jacobian, var, size, excess);
  }
  void product_excess(const float* a_var, const float* b_var, Index size, float* excess) override {
    cpu::product_excess(a_var, b_var, size, excess);
  }
  void add_spread(ConstMomentsView adjoint, const float* var, Index var_stride, Index n_outputs,
                  Covariances covariances, float* covariance) override {
    cpu::add_spread(kernels_, adjoint, var, var_stride, n_outputs, covariances, covariance);
  }
  void add_weight_adjoint(const float* input, Index in, ConstMomentsView adjoint, Index n_outputs,
                          ColumnsView sums) override {
    cpu::add_weight_adjoint(kernels_, input, in, adjoint, n_outputs, sums);
  }
  void gather_jacobian(ConstMomentsView adjoint, Index n_outputs, Index n_inputs,
                       float* jacobian) override {
    cpu::gather_jacobian(adjoint, n_outputs, n_inputs, jacobian);
  }

  void shuffle(std::uint64_t seed, std::uint64_t epoch, Index n_rows, Index* order) override {
    cpu::shuffle(seed, epoch, n_rows, order);
  }
  void gather_rows(const float* source, Index cols, RowSelection rows, Index n_rows,
                   float* output) override {
    cpu::gather_rows(source, cols, rows, n_rows, output);
  }
  void sum_predictions(ConstMomentsView prediction, const float* target, NoiseView noise,
                       TrainingState* state) override {
    cpu::sum_predictions(kernels_, prediction, target, noise, state);
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
  const Kernels& kernels_;
  Precision precision_;
  AffineProducts products_;
  ImageAffine image_products_;
  AffineInnovations innovations_;
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
