#include <doctest/doctest.h>

#include <cstring>
#include <limits>

#include "conformance/suite.h"
#include "cpp/thread_count.h"
#include "cpu/threads.h"

using namespace tagix;
using namespace tagix::conformance;
using tagix::test::ThreadCount;

namespace {

bool same_bits(const std::vector<std::vector<double>>& a,
               const std::vector<std::vector<double>>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t k = 0; k < a.size(); ++k) {
    if (a[k].size() != b[k].size()) return false;
    if (std::memcmp(a[k].data(), b[k].data(), a[k].size() * sizeof(double)) != 0) return false;
  }
  return true;
}

std::vector<std::vector<double>> run(const Operation& operation, Backend& backend) {
  Arrays arrays(backend);
  operation.prepare(arrays)();
  return arrays.results();
}

}  // namespace

TEST_CASE("every method of every backend is within its tolerance of float64") {
  const ThreadCount restored;
  const std::vector<std::shared_ptr<Backend>> all = backends();
  for (const Method& method : methods()) {
    SUBCASE(method.name.c_str()) {
      double worst = 0;
      for (const auto& operation : method.cases()) {
        const std::vector<Expected> expected = operation->expected();
        for (const std::shared_ptr<Backend>& backend : all) {
          INFO(operation->name(), " on ", backend->name());
          cpu::set_thread_count(1);
          const std::vector<std::vector<double>> serial = run(*operation, *backend);
          const Verdict verdict = compare(serial, expected, backend->precision());
          CHECK_MESSAGE(verdict.passed, verdict.message);
          worst = std::max(worst, verdict.worst);
          for (int n_threads : {2, 3}) {
            // A GPU does not know them: one more run shows whether it repeats itself.
            if (n_threads > 2 && !backend->reads_host_memory()) continue;
            INFO(n_threads, " threads");
            cpu::set_thread_count(n_threads);
            CHECK_MESSAGE(same_bits(run(*operation, *backend), serial),
                          "not the bits of one thread");
          }
        }
      }
      MESSAGE(method.name, ": largest error ", worst, " of the tolerance");
    }
  }
}

TEST_CASE("predictions that are not finite are a failure, and nothing counts from then on") {
  for (const std::shared_ptr<Backend>& backend : backends()) {
    for (float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      for (bool in_mean : {true, false}) {
        for (bool missing : {true, false}) {
          INFO(backend->name(), ", ", bad, (in_mean ? " mean" : " variance"),
               (missing ? ", target missing" : ""));
          Arrays arrays(*backend);
          const std::vector<float> good{0, 1, 2}, ones{1, 1, 1};
          std::vector<float> mean = good, var = ones, target{0, 1, 0};
          (in_mean ? mean : var)[1] = bad;
          if (missing) target[1] = std::numeric_limits<float>::quiet_NaN();
          Buffer<TrainingState>& state = arrays.values<TrainingState>({{}});
          const NoiseView noise{arrays.input(std::vector<float>{0.1f}), 0, 0};
          const ConstMomentsView bad_moments{arrays.input(mean), arrays.input(var), 3, 1};
          const ConstMomentsView good_moments{arrays.input(good), arrays.input(ones), 3, 1};
          backend->sum_predictions(bad_moments, arrays.input(target), noise, state.data());
          CHECK(state.first().failure == Failure::prediction);
          // Neither what follows nor an update does anything now.
          const MomentsView parameters = arrays.in_place(HostGaussians{1, 3, good, ones});
          backend->sum_predictions(good_moments, arrays.input(good), noise, state.data());
          backend->check_finite(bad_moments, state.data());
          backend->update({}, 1, good_moments, parameters, state.data());
          const TrainingState end = state.first();
          CHECK(end.failure == Failure::prediction);
          CHECK(end.position == 0);
          CHECK(end.sums.n_observed == 0);
          const auto results = arrays.results();
          CHECK(results[0] == std::vector<double>(good.begin(), good.end()));
          CHECK(results[1] == std::vector<double>(ones.begin(), ones.end()));
        }
      }
    }
  }
}
