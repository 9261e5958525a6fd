#include "architectures.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "core/cuda.h"

namespace tagix::cuda {

Architectures parse_architectures(std::string_view list) {
  Architectures result;
  while (!list.empty()) {
    const std::string_view entry = list.substr(0, list.find(','));
    list.remove_prefix(std::min(entry.size() + 1, list.size()));
    int number = 0;
    if (std::from_chars(entry.data(), entry.data() + entry.size(), number).ec != std::errc{}) {
      continue;
    }
    if (!entry.ends_with("-virtual")) result.machine_code.push_back(number);
    if (!entry.ends_with("-real")) result.ptx.push_back(number);
  }
  return result;
}

int code_for(const Architectures& architectures, int compute_capability) {
  if (architectures.empty()) return compute_capability;
  int newest = 0;
  for (const int number : architectures.machine_code) {
    if (number / 10 == compute_capability / 10 && number <= compute_capability) {
      newest = std::max(newest, number);
    }
  }
  if (newest != 0) return newest;
  for (const int number : architectures.ptx) {
    if (number <= compute_capability) newest = std::max(newest, number);
  }
  return newest;
}

const Architectures& compiled_architectures() {
#ifdef TAGIX_CUDA_ARCHITECTURES
  static const Architectures parsed = parse_architectures(TAGIX_CUDA_ARCHITECTURES);
#else
  static const Architectures parsed;
#endif
  return parsed;
}

}  // namespace tagix::cuda

namespace tagix {

std::vector<std::string> cuda_architectures() {
  const cuda::Architectures& compiled = cuda::compiled_architectures();
  std::vector<std::string> names;
  for (const int number : compiled.machine_code) names.push_back("sm_" + std::to_string(number));
  for (const int number : compiled.ptx) names.push_back("compute_" + std::to_string(number));
  return names;
}

}  // namespace tagix
