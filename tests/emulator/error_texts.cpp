// Names and texts of errors.

#include <set>
#include <string>

#include "device_state.h"

using namespace tagix_emulator;

namespace {

struct ErrorText {
  cudaError_t error;
  const char *name, *text;
};

#define TAGIX_EMULATOR_ERROR(name, text) {name, #name, text}
constexpr ErrorText error_texts[] = {
    TAGIX_EMULATOR_ERROR(cudaSuccess, "no error"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidValue, "invalid argument"),
    TAGIX_EMULATOR_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    TAGIX_EMULATOR_ERROR(cudaErrorInsufficientDriver,
                         "CUDA driver version is insufficient for CUDA runtime version"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    TAGIX_EMULATOR_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    TAGIX_EMULATOR_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    TAGIX_EMULATOR_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    TAGIX_EMULATOR_ERROR(cudaErrorNotSupported, "operation not supported"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureUnsupported,
                         "operation not permitted when stream is capturing"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureInvalidated,
                         "operation failed due to a previous error during capture"),
    TAGIX_EMULATOR_ERROR(cudaErrorStreamCaptureWrongThread,
                         "attempt to terminate a thread-local capture sequence from another "
                         "thread"),
    TAGIX_EMULATOR_ERROR(cudaErrorInvalidClusterSize,
                         "a kernel launch error has occurred due to cluster misconfiguration"),
};
#undef TAGIX_EMULATOR_ERROR

const ErrorText* find_error(cudaError_t error) {
  for (const ErrorText& known : error_texts) {
    if (known.error == error) return &known;
  }
  return nullptr;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  const ErrorText* const known = find_error(error);
  return known == nullptr ? "unrecognized error code" : known->name;
}

const char* cudaGetErrorString(cudaError_t error) {
  const ErrorText* const known = find_error(error);
  if (known == nullptr) return "unrecognized error code";
  const std::lock_guard guard(lock);
  if (error == cudaSuccess || error != device.fault) return known->text;
  static std::set<std::string> texts;  // callers keep the pointer
  return texts.insert(std::string(known->text) + " (" + message + ")").first->c_str();
}

cudaError_t cudaGetLastError() {
  const std::lock_guard guard(lock);
  const cudaError_t error = device.fault != cudaSuccess ? device.fault : last_error;
  last_error = cudaSuccess;
  return error;
}
