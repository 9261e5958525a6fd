#pragma once

#include <cmath>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "conformance/arrays.h"
#include "core/precision.h"
#include "core/require.h"

namespace tagix::conformance {

/// A float64 sum and the sum of the absolute values of its terms.
struct Sum {
  double value = 0;
  double magnitude = 0;

  void add(double term) {
    value += term;
    magnitude += std::fabs(term);
  }
};

/// The sum of these terms; of one term, a number known up to its relative error.
inline Sum sum_of(std::initializer_list<double> terms) {
  Sum sum;
  for (double term : terms) sum.add(term);
  return sum;
}

/// A number that must come out as it is.
inline Sum exactly(double value) { return {value, 0}; }

/// One output array of an operation in float64, and the tolerance of each of its elements:
///
///   |error| <= c (2^-24 sum |terms| + 2^-126)
///
/// which is relative where all terms have one sign, as in a variance, but for the smallest normal
/// float: below it a backend may flush to 0. Where there are no terms the element must be exact.
///
/// For sums of products whose factors the backend's precision rounds to bfloat16 the tolerance is
/// 1.01 2^-7 sum |terms| in place of that: two factors, each off by at most 2^-8 of itself.
struct Expected {
  enum class Terms { other, mean_products, var_products };

  std::string name;
  double c;
  std::vector<Sum> values;
  Terms terms = Terms::other;

  double tolerance(const Sum& truth, Precision precision) const {
    constexpr double epsilon = 0x1p-24, smallest_normal = 0x1p-126, rounded = 1.01 * 0x1p-7;
    if (truth.magnitude == 0) return 0;
    const bool is_rounded = (terms == Terms::mean_products && precision == Precision::bfloat16) ||
                            (terms == Terms::var_products && precision != Precision::float32);
    return is_rounded ? rounded * truth.magnitude + smallest_normal
                      : c * (epsilon * truth.magnitude + smallest_normal);
  }
};

/// What a call costs: floating-point operations (0 where they are not what counts, as in
/// transcendental functions and copies) and bytes read and written at least.
struct Cost {
  double flops;
  double bytes;
};

/// One method of Backend on one set of inputs. It knows what the method has to give and what it
/// costs: the conformance suite checks the first, for every backend, and the benchmarks report the
/// second. There is one such struct for each method, in a file of its name.
class Operation {
 public:
  virtual ~Operation() = default;

  /// The method, its shapes and its options.
  virtual std::string name() const = 0;
  virtual Cost cost() const = 0;

  /// Puts inputs and outputs into `arrays` and returns the call of the method.
  virtual std::function<void()> prepare(Arrays& arrays) const = 0;

  /// The outputs in the order in which prepare made them, by plain loops in float64.
  virtual std::vector<Expected> expected() const = 0;
};

using Operations = std::vector<std::unique_ptr<Operation>>;

/// How a result compares with what was expected.
struct Verdict {
  bool passed = true;
  double worst = 0;     ///< the largest error, in units of its tolerance
  std::string message;  ///< of the first element that is off
};

/// Compares results of a backend of that precision, as from Arrays::results, with the expected
/// ones.
inline Verdict compare(const std::vector<std::vector<double>>& results,
                       const std::vector<Expected>& expected, Precision precision) {
  Verdict verdict;
  const auto fail = [&verdict](std::string message) {
    if (verdict.passed) verdict.message = std::move(message);
    verdict.passed = false;
  };
  if (results.size() != expected.size()) {
    fail(text("got ", results.size(), " outputs, needed ", expected.size()));
    return verdict;
  }
  for (std::size_t k = 0; k < results.size(); ++k) {
    const Expected& output = expected[k];
    if (results[k].size() != output.values.size()) {
      fail(text(output.name, ": got ", results[k].size(), " elements, needed ",
                output.values.size()));
      return verdict;
    }
    for (std::size_t i = 0; i < output.values.size(); ++i) {
      const Sum& truth = output.values[i];
      const double error = std::fabs(results[k][i] - truth.value);
      const double tolerance = output.tolerance(truth, precision);
      if (error <= tolerance) {
        if (tolerance > 0) verdict.worst = std::fmax(verdict.worst, error / tolerance);
      } else {
        verdict.worst = std::fmax(verdict.worst, error / tolerance);
        fail(text(output.name, "[", i, "]: got ", results[k][i], ", needed ", truth.value, " +- ",
                  tolerance, " (", error / tolerance, " times the tolerance)"));
      }
    }
  }
  return verdict;
}

}  // namespace tagix::conformance
