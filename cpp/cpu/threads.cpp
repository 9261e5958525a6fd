#include "cpu/threads.h"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/require.h"

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace tagix::cpu {
namespace {

int available_processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
  const unsigned count = std::thread::hardware_concurrency();
  return count == 0 ? 1 : static_cast<int>(count);
}

/// Whether this thread is inside a parallel loop: a loop within one runs on the calling thread.
thread_local bool inside_loop = false;

/// One parallel loop: chunks are claimed by a counter, so that a thread whose core is busy with
/// something else claims fewer.
struct Job {
  void (*body)(void*, Index);
  void* context;
  Index n_chunks;
  std::atomic<Index> next{0};

  void work() {
    const DenormalsAsZero mode;
    const bool outer = inside_loop;
    inside_loop = true;
    for (Index chunk = next++; chunk < n_chunks; chunk = next++) body(context, chunk);
    inside_loop = outer;
  }
};

/// Workers beside the calling thread. They spin for a short while after a job, since the next one
/// of a training step follows within microseconds, and sleep after that.
class Pool {
 public:
  explicit Pool(int n_workers) {
    workers_.reserve(static_cast<std::size_t>(n_workers));
    try {
      for (int i = 0; i < n_workers; ++i) workers_.emplace_back([this] { serve(); });
    } catch (const std::system_error&) {
      // The system has no more threads to give: those that started share the work.
    }
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      ++ticket_;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  /// Returns when the job is done and no worker looks at it any more.
  void run(Job& job) {
    {
      const std::lock_guard lock(mutex_);
      job_ = &job;
      ++ticket_;
    }
    wake_.notify_all();
    job.work();
    {
      // Who wakes up from here on finds nothing to do.
      const std::lock_guard lock(mutex_);
      job_ = nullptr;
    }
    // The last chunks are under way on other threads: they are short.
    for (int spins = 0; n_at_work_.load() > 0; ++spins) {
      if (spins > 1000) std::this_thread::yield();
    }
  }

 private:
  void serve() {
    std::uint64_t seen = 0;
    for (;;) {
      for (int spins = 0; spins < 2000 && ticket_.load() == seen; ++spins) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
      }
      Job* job = nullptr;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return ticket_.load() != seen; });
        seen = ticket_.load();
        if (stopping_) return;
        job = job_;
        if (job == nullptr) continue;
        ++n_at_work_;
      }
      job->work();
      --n_at_work_;
    }
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<std::uint64_t> ticket_{0};
  Job* job_ = nullptr;
  std::atomic<int> n_at_work_{0};  // workers; the caller of run is not one
  bool stopping_ = false;
};

/// The one pool of the process. Workers start with the first loop that wants them.
struct Runtime {
  std::mutex running;  // held by the loop in progress; a second one at the same time runs alone
  std::unique_ptr<Pool> pool;
  std::atomic<int> count{available_processors()};
};

Runtime* runtime_instance = nullptr;

/// A forked child has none of the workers, and locks in an unknown state: it starts afresh and
/// leaves the old runtime where it is.
void forget_after_fork() {
  const int count = runtime_instance->count.load();
  runtime_instance = new Runtime;
  runtime_instance->count = count;
}

Runtime& runtime() {
  static const bool created = [] {
    runtime_instance = new Runtime;  // outlives static destructors: threads may still use it
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork(nullptr, nullptr, forget_after_fork);
#endif
    return true;
  }();
  static_cast<void>(created);
  return *runtime_instance;
}

}  // namespace

int thread_count() { return runtime().count.load(); }

void set_thread_count(int count) {
  require(count >= 1 && count <= max_thread_count, "n: got ", count,
          " threads, needed at least 1 and at most ", max_thread_count);
  Runtime& state = runtime();
  const std::lock_guard lock(state.running);
  state.pool.reset();
  state.count = count;
}

void detail::run_chunks(Index n_chunks, void (*body)(void*, Index), void* context) {
  Runtime& state = runtime();
  Job job{body, context, n_chunks};
  if (inside_loop || state.count.load() == 1) {
    job.work();
    return;
  }
  const std::unique_lock lock(state.running, std::try_to_lock);
  if (!lock.owns_lock()) {
    job.work();
    return;
  }
  if (!state.pool) state.pool = std::make_unique<Pool>(state.count.load() - 1);
  state.pool->run(job);
}

}  // namespace tagix::cpu
