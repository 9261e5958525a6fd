#include "core/cuda.h"
#include "core/require.h"

namespace tagix {

bool cuda_is_built() { return false; }

std::optional<std::string> cuda_why_not() {
#ifdef TAGIX_CUDA_TURNED_OFF
  return "this build of tagix has no CUDA kernels: they were turned off with TAGIX_CUDA=OFF";
#else
  return "this build of tagix has no CUDA kernels: nvcc was not found when it was built. Install "
         "it "
         "again with nvcc on the PATH";
#endif
}

std::vector<std::string> cuda_architectures() { return {}; }

std::string cuda_device_name() {
  require(false, "device: got 'cuda', but ", *cuda_why_not());
  return {};
}

bool cuda_has(Precision precision) { return precision == Precision::float32; }

std::shared_ptr<Backend> cuda_backend(Precision) {
  require(false, "device: got 'cuda', but ", *cuda_why_not());
  return nullptr;
}

std::uintptr_t cuda_stream() {
  require(false, "device: got 'cuda', but ", *cuda_why_not());
  return 0;
}

void cuda_wait_for_all() noexcept {}

}  // namespace tagix
