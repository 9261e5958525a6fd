#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "affine_kernels.h"
#include "architectures.h"
#include "core/backend.h"
#include "core/cuda.h"
#include "core/executor.h"
#include "core/memory.h"
#include "core/require.h"
#include "fused_activation.h"
#include "fused_executor.h"
#include "operations.h"
#include "recorded_graph.h"
#include "runtime.h"

namespace tagix::cuda {
namespace {

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(Precision precision) : precision_(precision) {}

  std::string name() const override {
    return text("cuda (", cuda_device_name(), ", ", precision_name(precision()), ")");
  }
  Precision precision() const override { return precision_; }

  void* allocate(std::size_t bytes) override { return cuda::allocate(bytes); }
  void release(void* memory, std::size_t) noexcept override { cuda::release(memory); }
  void upload_bytes(const void* host, void* memory, std::size_t bytes) override {
    if (bytes == 0) return;
    const DeviceScope scope;
    check(cudaMemcpyAsync(memory, host, bytes, cudaMemcpyHostToDevice, stream()), "upload");
    cuda::synchronise("upload");
  }
  void download_bytes(const void* memory, void* host, std::size_t bytes) override {
    if (bytes == 0) return;
    const DeviceScope scope;
    check(cudaMemcpyAsync(host, memory, bytes, cudaMemcpyDeviceToHost, stream()), "download");
    cuda::synchronise("download");
  }
  bool reads_host_memory() const override { return false; }
  void synchronise() override { cuda::synchronise("synchronise"); }
  std::unique_ptr<Recording> record(const std::function<void()>& queue) override {
    return record_graph(queue);
  }

  std::unique_ptr<Executor> fuse(const std::vector<ChainStep>& steps,
                                 std::unique_ptr<Executor> by_graph) override {
    const bool has_parameters = std::any_of(steps.begin(), steps.end(), [](const ChainStep& step) {
      return std::holds_alternative<AffineStep>(step);
    });
    return has_parameters ? make_fused_executor(*this, steps, std::move(by_graph))
                          : std::move(by_graph);
  }

  bool has_epilogue(const math::ActivationSpec& activation) const override {
    return is_fused_activation(activation);
  }
  void affine_forward(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                      const std::optional<Epilogue>& epilogue, MomentsView output) override {
    cuda::affine_forward(precision_, input, weight, bias, epilogue, output);
  }
  void affine_means(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                    float* output) override {
    cuda::affine_means(precision_, input, weight, bias, output);
  }
  void affine_backward(ConstMomentsView delta, ConstMomentsView weight, const float* jacobian,
                       MomentsView delta_input) override {
    cuda::affine_backward(precision_, delta, weight, jacobian, delta_input);
  }
  // Two kernels then sum those of a whole network.
  const ImageProducts* image_products() const override { return nullptr; }

  bool sums_innovations_together() const override { return true; }
  Index innovation_scratch(std::span<const AffinePass> passes) const override {
    return plan_innovations(precision_, passes).scratch;
  }
  void affine_innovations(std::span<const AffinePass> passes, MomentsView innovation,
                          float* scratch) override {
    const InnovationPlan plan = plan_innovations(precision_, passes);
    sum_innovations(precision_, plan, scratch, nullptr);
    reduce_innovations(plan, scratch, innovation);
  }
  void update_by_passes(const UpdateRule& rule, Index batch_size,
                        std::span<const AffinePass> passes, MomentsView parameters,
                        TrainingState* state, float* scratch) override {
    const InnovationPlan plan = plan_innovations(precision_, passes);
    sum_innovations(precision_, plan, scratch, state);
    reduce_and_update(plan, scratch, rule, batch_size, parameters, state);
  }

  void activation_forward(const math::ActivationSpec& spec, ConstMomentsView input,
                          MomentsView output, float* jacobian) override {
    cuda::activation_forward(spec, input, output, jacobian);
  }
  void activation_values(const math::ActivationSpec& spec, const float* input, Index size,
                         float* output) override {
    cuda::activation_values(spec, input, size, output);
  }
  void activation_points(math::MomentsForm form, ConstMomentsView input, float* points) override {
    cuda::activation_points(form, input, points);
  }
  void activation_from_points(math::MomentsForm form, ConstMomentsView input, const float* values,
                              const float* derivatives, MomentsView output,
                              float* jacobian) override {
    cuda::activation_from_points(form, input, values, derivatives, output, jacobian);
  }
  void scale_deltas(const float* jacobian, MomentsView delta) override {
    cuda::scale_deltas(jacobian, delta);
  }
  void observe(ConstMomentsView prediction, const float* target, NoiseView noise, float spread,
               MomentsView delta) override {
    cuda::observe(prediction, target, noise, spread, delta);
  }
  void split_prediction(ConstMomentsView prediction, NoiseView noise, MomentsView values,
                        float* noise_var, float* total_var) override {
    cuda::split_prediction(prediction, noise, values, noise_var, total_var);
  }
  void class_probabilities(ConstMomentsView prediction, const math::ClassHead& classes,
                           float* probabilities) override {
    cuda::class_probabilities(prediction, classes, probabilities);
  }
  void update(const UpdateRule& rule, Index batch_size, ConstMomentsView innovation,
              MomentsView parameters, const TrainingState* state) override {
    cuda::update(rule, batch_size, innovation, parameters, state);
  }
  void copy(ConstMomentsView values, MomentsView target) override {
    if (values.size() == 0) return;
    const DeviceScope scope;
    const std::size_t bytes = static_cast<std::size_t>(values.size()) * sizeof(float);
    const auto copy_plane = [bytes](const float* from, float* to) {
      check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream()), "copy");
    };
    copy_plane(values.mean, target.mean);
    copy_plane(values.var, target.var);
  }
  void test_drift(const Forgetting& forgetting, TrainingState* state,
                  math::DriftState* drift) override {
    cuda::test_drift(forgetting, state, drift);
  }
  void forget(const ParameterWalk& step, const math::DriftState* drift, const TrainingState* state,
              Index size, float* var) override {
    cuda::forget(step, drift, state, size, var);
  }
  void add(ConstMomentsView values, MomentsView sum) override { cuda::add(values, sum); }
  void copy_columns(ConstColumnsView values, ColumnsView target) override {
    cuda::copy_columns(values, target);
  }
  void add_columns(ConstColumnsView values, ColumnsView sum) override {
    cuda::add_columns(values, sum);
  }
  void clear_columns(ColumnsView target) override { cuda::clear_columns(target); }
  void mix(ConstMomentsView input, const TapsView& taps, bool add, MomentsView output) override {
    cuda::mix(input, taps, add, output);
  }
  void gather(const float* input, Index channels, const PositionsView& positions, Index first_row,
              Index rows, float* output) override {
    cuda::gather(input, channels, positions, first_row, rows, output);
  }
  void largest(ConstMomentsView input, const PositionsView& windows, MomentsView output,
               float* choice) override {
    cuda::largest(input, windows, output, choice);
  }
  void largest_backward(ConstMomentsView delta, const float* choice, Index n_choices,
                        const PositionsView& readers, bool add, MomentsView below) override {
    cuda::largest_backward(delta, choice, n_choices, readers, add, below);
  }
  void normalise(ConstMomentsView input, const NormSets& sets, MomentsView output,
                 float* scale) override {
    cuda::normalise(input, sets, output, scale);
  }
  void normalise_backward(ConstMomentsView output, const float* scale, const NormSets& sets,
                          ConstMomentsView delta, bool add, MomentsView below) override {
    cuda::normalise_backward(output, scale, sets, delta, add, below);
  }
  void product(ConstMomentsView a, ConstMomentsView b, MomentsView output) override {
    cuda::product(a, b, output);
  }
  void product_slopes(ConstMomentsView a, ConstMomentsView b, SlopesView slopes) override {
    cuda::product_slopes(a, b, slopes);
  }
  void scale_deltas_to(const float* jacobian, ConstMomentsView delta, bool add,
                       MomentsView below) override {
    cuda::scale_deltas_to(jacobian, delta, add, below);
  }
  void residual_activation(ConstMomentsView input, MomentsView output, float* jacobian) override {
    cuda::residual_activation(input, output, jacobian);
  }
  void check_finite(ConstMomentsView values, TrainingState* state) override {
    cuda::check_finite(values, state);
  }

  void start_adjoint(Index n_outputs, MomentsView adjoint) override {
    cuda::start_adjoint(n_outputs, adjoint);
  }
  void affine_adjoint(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView adjoint,
                      MomentsView below) override {
    cuda::affine_adjoint(input, weight, adjoint, below);
  }
  void activation_slopes(const math::ActivationSpec& spec, ConstMomentsView input, bool residual,
                         SlopesView slopes) override {
    cuda::activation_slopes(spec, input, residual, slopes);
  }
  void activation_slopes_from_points(math::MomentsForm form, ConstMomentsView input,
                                     const float* values, const float* derivatives, bool residual,
                                     SlopesView slopes) override {
    cuda::activation_slopes_from_points(form, input, values, derivatives, residual, slopes);
  }
  void scale_adjoint(ConstSlopesView slopes, Index size, ConstMomentsView adjoint, bool add,
                     MomentsView below) override {
    cuda::scale_adjoint(slopes, size, adjoint, add, below);
  }
  void affine_spread(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                     float* spread) override {
    cuda::affine_spread(input, weight, bias, spread);
  }
  void activation_excess(const float* input_var, const float* jacobian, const float* var,
                         Index size, float* excess) override {
    cuda::activation_excess(input_var, jacobian, var, size, excess);
  }
  void product_excess(const float* a_var, const float* b_var, Index size, float* excess) override {
    cuda::product_excess(a_var, b_var, size, excess);
  }
  void add_spread(ConstMomentsView adjoint, const float* var, Index var_stride, Index n_outputs,
                  Covariances covariances, float* covariance) override {
    cuda::add_spread(adjoint, var, var_stride, n_outputs, covariances, covariance);
  }
  void add_weight_adjoint(const float* input, Index in, ConstMomentsView adjoint, Index n_outputs,
                          ColumnsView sums) override {
    cuda::add_weight_adjoint(input, in, adjoint, n_outputs, sums);
  }
  void gather_jacobian(ConstMomentsView adjoint, Index n_outputs, Index n_inputs,
                       float* jacobian) override {
    cuda::gather_jacobian(adjoint, n_outputs, n_inputs, jacobian);
  }

  void shuffle(std::uint64_t seed, std::uint64_t epoch, Index n_rows, Index* order) override {
    cuda::shuffle(seed, epoch, n_rows, order);
  }
  void gather_rows(const float* source, Index cols, RowSelection rows, Index n_rows,
                   float* output) override {
    cuda::gather_rows(source, cols, rows, n_rows, output);
  }
  void sum_predictions(ConstMomentsView prediction, const float* target, NoiseView noise,
                       TrainingState* state) override {
    cuda::sum_predictions(prediction, target, noise, state);
  }
  void normal(std::uint64_t seed, math::RandomStream stream, std::uint64_t step, Index first_row,
              Index n_rows, Index cols, float* output) override {
    cuda::normal(seed, stream, step, first_row, n_rows, cols, output);
  }
  void diffuse(const DiffusionTables& tables, std::uint64_t seed, const float* clean,
               Index n_features, TrainingLabels labels, RowSelection rows, Index n_rows,
               float* input, float* target) override {
    cuda::diffuse(tables, seed, clean, n_features, labels, rows, n_rows, input, target);
  }
  void append_conditions(const Conditions& conditions, const float* noisy, Index n_features,
                         const Index* timestep, const Index* labels, Index n_rows,
                         float* input) override {
    cuda::append_conditions(conditions, noisy, n_features, timestep, labels, n_rows, input);
  }
  void denoise(const math::SamplerStage* stages, const Index* stage, ConstMomentsView prediction,
               Index n_features, std::uint64_t seed, const Index* first_row, float* noisy,
               float* carry, float* var) override {
    cuda::denoise(stages, stage, prediction, n_features, seed, first_row, noisy, carry, var);
  }
  void denoise_covariance(const math::SamplerStage* stages, const Index* stage,
                          const float* jacobian, const float* prediction_covariance, Index n_rows,
                          Index n_features, float* epistemic, float* aleatoric) override {
    cuda::denoise_covariance(stages, stage, jacobian, prediction_covariance, n_rows, n_features,
                             epistemic, aleatoric);
  }
  void combine(const float* first, float first_weight, const float* second, float second_weight,
               Index size, float* output) override {
    cuda::combine(first, first_weight, second, second_weight, size, output);
  }
  void advance(Index* value, Index amount) override { cuda::advance(value, amount); }

 private:
  Precision precision_;
};

std::string version_text(int version) { return text(version / 1000, ".", version % 1000 / 10); }

}  // namespace
}  // namespace tagix::cuda

namespace tagix {

bool cuda_is_built() { return true; }

std::optional<std::string> cuda_why_not() {
  int driver = 0, runtime = 0, count = 0;
  cudaRuntimeGetVersion(&runtime);
  // The runtime says "insufficient driver" where there is none at all, too.
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();
    return "this machine has no NVIDIA driver";
  }
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (status == cudaErrorInsufficientDriver) {
    return text("the NVIDIA driver is too old: it serves CUDA ", cuda::version_text(driver),
                ", and this build needs ", cuda::version_text(runtime));
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    return visible == nullptr
               ? "the NVIDIA driver finds no GPU"
               : text("the NVIDIA driver finds no GPU, with CUDA_VISIBLE_DEVICES='", visible, "'");
  }
  if (status != cudaSuccess) {
    return text("the NVIDIA driver does not answer: ", cudaGetErrorString(status));
  }
  // Attributes, which are quick to ask for; a description of the GPU takes milliseconds.
  int major = 0, minor = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0) != cudaSuccess) {
    cudaGetLastError();
    return "the NVIDIA driver does not describe the GPU";
  }
  if (major * 10 + minor < 75) {
    return text("the GPU is too old: it has compute capability ", major, ".", minor,
                ", and 7.5 is needed");
  }
  if (cuda::code_for(cuda::compiled_architectures(), 10 * major + minor) == 0) {
    return text("this build of tagix has no kernels for a GPU of compute capability ", major, ".",
                minor, ". Install it again with CUDAARCHS=", major, minor, " in the environment");
  }
  return std::nullopt;
}

std::string cuda_device_name() {
  const std::optional<std::string> why_not = cuda_why_not();
  require(!why_not, "device: got 'cuda', but ", why_not.value_or(""));
  cudaDeviceProp properties{};
  cuda::check(cudaGetDeviceProperties(&properties, 0), "naming the device");
  return properties.name;
}

bool cuda_has(Precision precision) {
  return precision == Precision::float32 || cuda_why_not() || cuda::compute_capability() >= 80;
}

std::shared_ptr<Backend> cuda_backend(Precision precision) {
  const std::optional<std::string> why_not = cuda_why_not();
  require(!why_not, "device: got 'cuda', but ", why_not.value_or(""));
  if (!cuda_has(precision)) {
    require(false, "precision: got '", precision_name(precision),
            "', needed 'float32': ", cuda_device_name(), " has no products of bfloat16");
  }
  const auto make = [](Precision of) { return std::make_shared<cuda::CudaBackend>(of); };
  static const std::shared_ptr<Backend> float32 = make(Precision::float32);
  static const std::shared_ptr<Backend> mixed = make(Precision::mixed);
  static const std::shared_ptr<Backend> bfloat16 = make(Precision::bfloat16);
  return precision == Precision::float32 ? float32
         : precision == Precision::mixed ? mixed
                                         : bfloat16;
}

std::uintptr_t cuda_stream() { return reinterpret_cast<std::uintptr_t>(cuda::stream()); }

void cuda_wait_for_all() noexcept {
  try {
    const cuda::DeviceScope scope;
    cudaDeviceSynchronize();
    cudaGetLastError();
  } catch (const cuda::Error&) {
    // The driver is gone, and with it what there was to wait for.
  }
}

}  // namespace tagix
