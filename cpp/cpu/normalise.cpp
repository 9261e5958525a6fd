#include "cpu/normalise.h"

#include <algorithm>

#include "cpu/pieces.h"
#include "ops/normalise.h"

namespace tagix::cpu {
namespace {

/// Calls each(first, count) for the elements of a set that lie side by side.
template <class Each>
void for_runs(const NormSets& sets, Index set, const Each& each) {
  const Index width = sets.group_width();
  for (Index k = 0; k < sets.size(); k += width) each(sets.place(set, k), width);
}

/// The mean of term(i) over a set: neighbours are summed beside each other in float, a few at a
/// time, and these sums in double.
template <class Term>
float mean_over(const NormSets& sets, Index set, const Term& term) {
  constexpr Index lanes = 32, most_runs = 32;
  float parts[lanes] = {};
  double total = 0;
  Index n_runs = 0;
  const auto flush = [&] {
    for (float& part : parts) {
      total += double{part};
      part = 0;
    }
  };
  for_runs(sets, set, [&](Index first, Index count) {
    Index i = 0;
    for (; i + lanes <= count; i += lanes) {
      for (Index lane = 0; lane < lanes; ++lane) parts[lane] += term(first + i + lane);
    }
    for (Index lane = 0; i < count; ++i, ++lane) parts[lane] += term(first + i);
    n_runs += ceil_div(count, lanes);
    if (n_runs < most_runs) return;
    flush();
    n_runs = 0;
  });
  flush();
  return static_cast<float>(total / static_cast<double>(sets.size()));
}

/// Calls each(i) for the elements of a set.
template <class Each>
void for_set(const NormSets& sets, Index set, const Each& each) {
  for_runs(sets, set, [&each](Index first, Index count) {
    for (Index i = first; i < first + count; ++i) each(i);
  });
}

/// Calls body(set) for all sets of so many rows.
template <class Body>
void for_sets(const NormSets& sets, Index rows, const Body& body) {
  const Index n_sets = rows / sets.positions * sets.per_row();
  const Index piece = std::max<Index>(1, elementwise_piece / sets.size());
  for_pieces(n_sets, piece, 2 * element_ns * static_cast<double>(sets.size()),
             [&](Index first, Index count) {
               for (Index set = first; set < first + count; ++set) body(set);
             });
}

}  // namespace

void normalise(ConstMomentsView input, const NormSets& sets, MomentsView output, float* scale) {
  const ops::Normalise op{input, sets, output, scale};
  for_sets(sets, output.rows, [&](Index set) {
    const float mu = sets.centred ? mean_over(sets, set, [&op](Index i) { return op.mean(i); }) : 0;
    const float r = op.scale_of(mean_over(sets, set, [&](Index i) { return op.square(i, mu); }));
    for_set(sets, set, [&](Index i) { op.write(i, mu, r); });
    scale[set] = r;
  });
}

void normalise_backward(ConstMomentsView output, const float* scale, const NormSets& sets,
                        ConstMomentsView delta, bool add, MomentsView below) {
  const ops::NormaliseBackward op{output, scale, sets, delta, add, below};
  for_sets(sets, below.rows, [&](Index set) {
    ops::NormaliseBackward::Means means{};
    if (sets.exact) {
      if (sets.centred)
        means.delta = mean_over(sets, set, [&op](Index i) { return op.delta_mean(i); });
      means.product = mean_over(sets, set, [&op](Index i) { return op.product(i); });
      if (output.var != nullptr)
        means.by_var = mean_over(sets, set, [&op](Index i) { return op.by_var(i); });
    }
    const float r = op.scale_of(set);
    for_set(sets, set, [&](Index i) { op.write(i, r, means); });
  });
}

}  // namespace tagix::cpu
