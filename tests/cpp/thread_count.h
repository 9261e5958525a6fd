#pragma once

#include "cpu/threads.h"

namespace tagix::test {

/// Changes the number of threads, if asked to, and puts it back at the end of the scope.
class ThreadCount {
 public:
  ThreadCount() = default;
  explicit ThreadCount(int count) { cpu::set_thread_count(count); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;
  ~ThreadCount() { cpu::set_thread_count(before_); }

 private:
  int before_ = cpu::thread_count();
};

}  // namespace tagix::test
