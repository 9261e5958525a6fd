#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "cpu/threads.h"
#include "test_helpers.h"
#include "thread_count.h"

#if defined(__unix__)
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

using namespace tagix;
using namespace tagix::test;
using cpu::parallel_for;

namespace {

constexpr double much_work = 1e9;  // nanoseconds: enough to wake other threads

/// How often each chunk of a loop ran.
class Visits {
 public:
  explicit Visits(Index n_chunks) : counts_(static_cast<std::size_t>(n_chunks)) {}
  void add(Index chunk) { ++counts_[static_cast<std::size_t>(chunk)]; }
  bool all(int times) const {
    for (const std::atomic<int>& count : counts_) {
      if (count.load() != times) return false;
    }
    return true;
  }

 private:
  std::vector<std::atomic<int>> counts_;
};

}  // namespace

TEST_CASE("every chunk runs exactly once, whatever the number of threads") {
  for (int n_threads : {1, 2, 3, 8}) {
    const ThreadCount restored(n_threads);
    CHECK(cpu::thread_count() == n_threads);
    for (Index n_chunks : {0, 1, 2, 3, 7, 64, 1000}) {
      for (double nanoseconds : {0.0, much_work}) {
        CAPTURE(n_threads);
        CAPTURE(n_chunks);
        Visits visits(n_chunks);
        for (int times = 1; times <= 20; ++times) {
          parallel_for(n_chunks, nanoseconds, [&](Index chunk) { visits.add(chunk); });
          REQUIRE(visits.all(times));
        }
      }
    }
  }
}

TEST_CASE("work that pays runs on several threads, and small work on the caller") {
  const ThreadCount restored(2);
  std::mutex mutex;
  std::set<std::thread::id> ids;
  // Two chunks that wait for each other: one thread alone would run into the limit.
  std::atomic<int> arrived{0}, met{0};
  parallel_for(2, much_work, [&](Index) {
    ++arrived;
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (arrived.load() < 2 && std::chrono::steady_clock::now() < limit) {
      std::this_thread::yield();
    }
    met += arrived.load() == 2;
    const std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  CHECK(met.load() == 2);
  CHECK(ids.size() == 2);

  ids.clear();
  parallel_for(100, 10.0, [&](Index) { ids.insert(std::this_thread::get_id()); });
  CHECK(ids == std::set<std::thread::id>{std::this_thread::get_id()});
}

TEST_CASE("what chunks write is there when the loop returns") {
  const ThreadCount restored(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<int> values(500, 0);
    parallel_for(500, much_work,
                 [&](Index chunk) { values[static_cast<std::size_t>(chunk)] = round + 1; });
    REQUIRE(values == std::vector<int>(500, round + 1));
  }
}

TEST_CASE("a loop inside a loop runs every chunk once") {
  const ThreadCount restored(2);
  Visits visits(30 * 40);
  parallel_for(30, much_work, [&](Index outer) {
    parallel_for(40, much_work, [&](Index inner) { visits.add(outer * 40 + inner); });
  });
  CHECK(visits.all(1));
}

TEST_CASE("loops from several threads at once run every chunk once") {
  const ThreadCount restored(2);
  constexpr int n_callers = 4, n_loops = 50;
  std::vector<Visits> visits;
  for (int i = 0; i < n_callers; ++i) visits.emplace_back(100);
  std::vector<std::thread> callers;
  for (Visits& own : visits) {
    callers.emplace_back([&own] {
      for (int i = 0; i < n_loops; ++i) {
        parallel_for(100, much_work, [&](Index chunk) { own.add(chunk); });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const Visits& own : visits) CHECK(own.all(n_loops));
}

TEST_CASE("the number of threads changes between and beside loops") {
  const ThreadCount restored(2);
  std::atomic<bool> stop{false};
  Visits visits(64);
  int n_loops = 0;
  std::thread caller([&] {
    while (!stop.load()) {
      parallel_for(64, much_work, [&](Index chunk) { visits.add(chunk); });
      ++n_loops;
    }
  });
  for (int i = 0; i < 100; ++i) cpu::set_thread_count(1 + i % 4);
  stop = true;
  caller.join();
  CHECK(visits.all(n_loops));
}

TEST_CASE("a number of threads out of range is refused") {
  const int before = cpu::thread_count();
  check_refused([] { cpu::set_thread_count(0); }, {"got 0 threads", "at least 1"});
  check_refused([] { cpu::set_thread_count(-3); }, {"got -3 threads", "at least 1"});
  check_refused([] { cpu::set_thread_count(4097); }, {"got 4097 threads", "at most 4096"});
  CHECK(cpu::thread_count() == before);
}

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("where the system cannot start all threads, those that started do the work") {
  const ThreadCount restored(1);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(60);
    // Room for a few stacks, far from enough for all.
    Index pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const auto bytes = static_cast<rlim_t>(pages) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
    const rlimit limit{bytes + (rlim_t{100} << 20), bytes + (rlim_t{100} << 20)};
    if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
    cpu::set_thread_count(300);
    Visits visits(200);
    for (int times = 0; times < 3; ++times) {
      parallel_for(200, much_work, [&](Index chunk) { visits.add(chunk); });
    }
    _exit(visits.all(3) ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
#endif

// ThreadSanitizer knows no threads in a forked child.
#if defined(__unix__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("a child forked after a parallel loop can run one") {
  const ThreadCount restored(2);
  for (int round = 0; round < 5; ++round) {
    Visits before(16);
    parallel_for(16, much_work, [&](Index chunk) { before.add(chunk); });
    REQUIRE(before.all(1));

    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      Visits visits(200);
      for (int times = 0; times < 10; ++times) {
        parallel_for(200, much_work, [&](Index chunk) { visits.add(chunk); });
      }
      const bool kept = cpu::thread_count() == 2;
      cpu::set_thread_count(3);
      parallel_for(200, much_work, [&](Index chunk) { visits.add(chunk); });
      _exit(visits.all(11) && kept && cpu::thread_count() == 3 ? 0 : 1);
    }
    int status = -1;
    bool ended = false;
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!ended && std::chrono::steady_clock::now() < limit) {
      ended = waitpid(child, &status, WNOHANG) == child;
      if (!ended) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (!ended) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
    }
    CHECK_MESSAGE(ended, "the child hangs");
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);

    Visits after(16);
    parallel_for(16, much_work, [&](Index chunk) { after.add(chunk); });
    CHECK(after.all(1));
  }
}
#endif
