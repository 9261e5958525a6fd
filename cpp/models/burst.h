#pragma once

#include <algorithm>
#include <chrono>

#include "core/index.h"

namespace tagix {

/// How many equal steps to queue before waiting for them: about 10 ms of work, so that waiting
/// costs little and other threads are not kept for long.
class Burst {
 public:
  Index n_steps() const { return std::max<Index>(1, static_cast<Index>(seconds / step_seconds_)); }

  void begin() { start_ = Clock::now(); }
  /// To be called when the steps queued since `begin` have been done.
  void end(Index n_steps) {
    step_seconds_ = std::chrono::duration<double>(Clock::now() - start_).count() /
                    static_cast<double>(std::max<Index>(1, n_steps));
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr double seconds = 0.01;

  Clock::time_point start_;
  double step_seconds_ = seconds;  // until it has been measured
};

}  // namespace tagix
