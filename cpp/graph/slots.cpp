#include "graph/slots.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

namespace tagix::graph {

Slots place(std::span<const Lifetime> arrays) {
  std::vector<std::size_t> order(arrays.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // By number where they are born together, without the memory that a stable sort takes.
  std::sort(order.begin(), order.end(), [&arrays](std::size_t a, std::size_t b) {
    return std::pair(arrays[a].born, a) < std::pair(arrays[b].born, b);
  });
  constexpr Index none = -1;
  const auto at = [](Index i) { return static_cast<std::size_t>(i); };
  Slots slots{std::vector<Index>(arrays.size()), {}};
  std::vector<Index> occupied_until;
  for (std::size_t i : order) {
    const Lifetime& array = arrays[i];
    Index best = none;
    for (Index slot = 0; slot < static_cast<Index>(slots.sizes.size()); ++slot) {
      if (occupied_until[at(slot)] >= array.born) continue;
      const Index size = slots.sizes[at(slot)];
      const Index best_size = best == none ? 0 : slots.sizes[at(best)];
      const bool fits = size >= array.size, best_fits = best_size >= array.size;
      const bool is_better = fits && best_fits ? size < best_size : size > best_size;
      if (best == none || is_better) best = slot;
    }
    if (best == none) {
      best = static_cast<Index>(slots.sizes.size());
      slots.sizes.push_back(0);
      occupied_until.push_back(0);
    }
    slots.sizes[at(best)] = std::max(slots.sizes[at(best)], array.size);
    occupied_until[at(best)] = array.dies;
    slots.of[i] = best;
  }
  return slots;
}

}  // namespace tagix::graph
