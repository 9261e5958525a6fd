#include "conformance/suite.h"

#include <cstdlib>
#include <stdexcept>

#include "conformance/activation_excess.h"
#include "conformance/activation_forward.h"
#include "conformance/activation_from_points.h"
#include "conformance/activation_points.h"
#include "conformance/activation_slopes.h"
#include "conformance/activation_slopes_from_points.h"
#include "conformance/activation_values.h"
#include "conformance/add.h"
#include "conformance/add_spread.h"
#include "conformance/add_weight_adjoint.h"
#include "conformance/advance.h"
#include "conformance/affine_adjoint.h"
#include "conformance/affine_backward.h"
#include "conformance/affine_epilogue.h"
#include "conformance/affine_forward.h"
#include "conformance/affine_innovations.h"
#include "conformance/affine_means.h"
#include "conformance/affine_spread.h"
#include "conformance/append_conditions.h"
#include "conformance/check_finite.h"
#include "conformance/class_probabilities.h"
#include "conformance/columns.h"
#include "conformance/combine.h"
#include "conformance/copy.h"
#include "conformance/denoise.h"
#include "conformance/denoise_covariance.h"
#include "conformance/diffuse.h"
#include "conformance/forget.h"
#include "conformance/gather.h"
#include "conformance/gather_jacobian.h"
#include "conformance/gather_rows.h"
#include "conformance/largest.h"
#include "conformance/mix.h"
#include "conformance/normal.h"
#include "conformance/normalise.h"
#include "conformance/normalise_backward.h"
#include "conformance/observe.h"
#include "conformance/observe_classes.h"
#include "conformance/product.h"
#include "conformance/product_excess.h"
#include "conformance/residual_activation.h"
#include "conformance/scale_adjoint.h"
#include "conformance/scale_deltas.h"
#include "conformance/scale_deltas_to.h"
#include "conformance/shuffle.h"
#include "conformance/split_prediction.h"
#include "conformance/start_adjoint.h"
#include "conformance/sum_classes.h"
#include "conformance/sum_predictions.h"
#include "conformance/test_drift.h"
#include "conformance/update.h"
#include "conformance/update_by_passes.h"
#include "core/cuda.h"
#include "cpu/cpu_backend.h"
#include "cpu/instruction_set.h"

namespace tagix::conformance {
namespace {

template <class Struct>
Method method(const char* name) {
  return {name, Struct::cases, Struct::benchmarks};
}

/// Whether device "cuda" is there. Throws if the environment variable TAGIX_REQUIRE_CUDA is set and
/// it is not.
bool has_cuda() {
  const std::optional<std::string> why_not = cuda_why_not();
  if (why_not && std::getenv("TAGIX_REQUIRE_CUDA") != nullptr) throw std::runtime_error(*why_not);
  return !why_not;
}

}  // namespace

const std::vector<Method>& methods() {
  static const std::vector<Method> methods{
      method<AffineForward>("affine_forward"),
      method<AffineEpilogue>("affine_epilogue"),
      method<AffineMeans>("affine_means"),
      method<AffineBackward>("affine_backward"),
      method<AffineInnovations>("affine_innovations"),
      method<ActivationForward>("activation_forward"),
      method<ActivationValues>("activation_values"),
      method<ActivationPoints>("activation_points"),
      method<ActivationFromPoints>("activation_from_points"),
      method<ScaleDeltas>("scale_deltas"),
      method<Observe>("observe"),
      method<ObserveClasses>("observe_classes"),
      method<ClassProbabilities>("class_probabilities"),
      method<SplitPrediction>("split_prediction"),
      method<Update>("update"),
      method<UpdateByPasses>("update_by_passes"),
      method<TestDrift>("test_drift"),
      method<Forget>("forget"),
      method<Copy>("copy"),
      method<Add>("add"),
      method<CopyColumns>("copy_columns"),
      method<AddColumns>("add_columns"),
      method<ClearColumns>("clear_columns"),
      method<Mix>("mix"),
      method<Gather>("gather"),
      method<Largest>("largest"),
      method<LargestBackward>("largest_backward"),
      method<Normalise>("normalise"),
      method<NormaliseBackward>("normalise_backward"),
      method<Product>("product"),
      method<ProductSlopes>("product_slopes"),
      method<ScaleDeltasTo>("scale_deltas_to"),
      method<ResidualActivation>("residual_activation"),
      method<CheckFinite>("check_finite"),
      method<StartAdjoint>("start_adjoint"),
      method<AffineAdjoint>("affine_adjoint"),
      method<ActivationSlopes>("activation_slopes"),
      method<ActivationSlopesFromPoints>("activation_slopes_from_points"),
      method<ScaleAdjoint>("scale_adjoint"),
      method<AffineSpread>("affine_spread"),
      method<ActivationExcess>("activation_excess"),
      method<ProductExcess>("product_excess"),
      method<AddSpread>("add_spread"),
      method<AddWeightAdjoint>("add_weight_adjoint"),
      method<GatherJacobian>("gather_jacobian"),
      method<Shuffle>("shuffle"),
      method<GatherRows>("gather_rows"),
      method<SumPredictions>("sum_predictions"),
      method<SumClasses>("sum_classes"),
      method<Normal>("normal"),
      method<Diffuse>("diffuse"),
      method<AppendConditions>("append_conditions"),
      method<Denoise>("denoise"),
      method<DenoiseCovariance>("denoise_covariance"),
      method<Combine>("combine"),
      method<Advance>("advance"),
  };
  return methods;
}

std::unique_ptr<Backend> CpuVariant::make() const {
  return cpu::make_backend(instruction_set, precision);
}

std::vector<CpuVariant> cpu_variants() {
  std::vector<CpuVariant> variants;
  for (const std::string& instruction_set : cpu::supported_instruction_sets()) {
    variants.push_back({instruction_set, Precision::float32});
    if (!cpu::kernels_for(instruction_set).has_bfloat16) continue;
    variants.push_back({instruction_set, Precision::mixed});
    variants.push_back({instruction_set, Precision::bfloat16});
  }
  return variants;
}

std::vector<std::shared_ptr<Backend>> backends() {
  std::vector<std::shared_ptr<Backend>> backends;
  for (const CpuVariant& variant : cpu_variants()) backends.push_back(variant.make());
  if (!has_cuda()) return backends;
  for (const Precision precision : {Precision::float32, Precision::mixed, Precision::bfloat16}) {
    if (cuda_has(precision)) backends.push_back(cuda_backend(precision));
  }
  return backends;
}

std::vector<std::shared_ptr<Backend>> float32_backends() {
  std::vector<std::shared_ptr<Backend>> all = backends();
  std::erase_if(all,
                [](const auto& backend) { return backend->precision() != Precision::float32; });
  return all;
}

std::vector<std::shared_ptr<Backend>> devices() {
  std::vector<std::shared_ptr<Backend>> devices{cpu_backend()};
  if (has_cuda()) devices.push_back(cuda_backend());
  return devices;
}

}  // namespace tagix::conformance
