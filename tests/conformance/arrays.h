#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "core/backend.h"
#include "core/memory.h"
#include "core/moments.h"
#include "core/require.h"

namespace tagix::conformance {

/// Independent Gaussians on the host; an empty `var` says that all values are known exactly.
struct HostGaussians {
  Index rows = 0;
  Index cols = 0;
  std::vector<float> mean;
  std::vector<float> var;
};

/// The arrays of one operation on one backend. Outputs hold NaN before a call, and all that a call
/// writes lies before a guard of NaNs, so that what is not written and what is written too far
/// both show.
class Arrays {
 public:
  explicit Arrays(Backend& backend) : backend_(backend) {}

  Backend& backend() { return backend_; }

  /// An array that the operation reads and may not change.
  const float* input(const std::vector<float>& host) {
    inputs_.push_back({host, Buffer<float>(backend_)});
    inputs_.back().device.assign(host);
    return inputs_.back().device.data();
  }
  const Index* input(const std::vector<Index>& host) {
    indices_.emplace_back(backend_);
    indices_.back().assign(host);
    return indices_.back().data();
  }
  ConstMomentsView input(const HostGaussians& host) {
    const float* mean = input(host.mean);
    return {mean, host.var.empty() ? nullptr : input(host.var), host.rows, host.cols};
  }

  /// An array of which the operation writes every element.
  float* output(Index size) {
    return in_place(std::vector<float>(static_cast<std::size_t>(size), poison()));
  }
  MomentsView output(Index rows, Index cols) {
    float* mean = output(rows * cols);
    return {mean, output(rows * cols), rows, cols};
  }

  /// An array that the operation reads and replaces.
  float* in_place(const std::vector<float>& host) {
    outputs_.push_back({host, Buffer<float>(backend_)});
    outputs_.back().host.insert(outputs_.back().host.end(), guard, poison());
    outputs_.back().device.assign(outputs_.back().host);
    return outputs_.back().device.data();
  }
  MomentsView in_place(const HostGaussians& host) {
    float* mean = in_place(host.mean);
    return {mean, in_place(host.var), host.rows, host.cols};
  }

  /// An array of some other type in the backend's memory.
  template <class T>
  Buffer<T>& values(const std::vector<T>& host) {
    const auto buffer = std::make_shared<Buffer<T>>(backend_);
    buffer->assign(host);
    others_.push_back(buffer);
    return *buffer;
  }

  /// Numbers that the operation returns to the host; they follow the arrays in results().
  std::vector<double>& returned() { return returned_; }

  /// Gives every output the contents that it had before the first call.
  void reset() {
    for (Pair& output : outputs_) output.device.assign(output.host);
  }

  /// The outputs in the order in which they were made. Throws std::runtime_error if the operation
  /// wrote past the end of one, or changed an input.
  std::vector<std::vector<double>> results() {
    backend_.synchronise();
    for (const Pair& input : inputs_) {
      if (!same_bits(download(input.device), input.host)) {
        throw std::runtime_error("an input was changed");
      }
    }
    std::vector<std::vector<double>> results;
    for (const Pair& output : outputs_) {
      const std::vector<float> host = download(output.device);
      for (std::size_t i = host.size() - guard; i < host.size(); ++i) {
        if (std::bit_cast<std::uint32_t>(host[i]) != poison_bits) {
          throw std::runtime_error(text("output ", results.size(), " was written past its end, by ",
                                        i - (host.size() - guard) + 1, " elements or more"));
        }
      }
      results.emplace_back(host.begin(), host.end() - guard);
    }
    if (!returned_.empty()) results.push_back(returned_);
    return results;
  }

 private:
  struct Pair {
    std::vector<float> host;
    Buffer<float> device;
  };

  static constexpr int guard = 16;
  static constexpr std::uint32_t poison_bits = 0x7fc0dead;
  static float poison() { return std::bit_cast<float>(poison_bits); }

  static bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * 4) == 0);
  }
  std::vector<float> download(const Buffer<float>& device) {
    std::vector<float> host(static_cast<std::size_t>(device.size()));
    backend_.download(device.data(), on_host(host), device.size());
    return host;
  }

  Backend& backend_;
  std::deque<Pair> inputs_;
  std::deque<Pair> outputs_;
  std::deque<Buffer<Index>> indices_;
  std::deque<std::shared_ptr<void>> others_;
  std::vector<double> returned_;
};

}  // namespace tagix::conformance
