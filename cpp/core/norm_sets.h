#pragma once

#include "core/index.h"
#include "math/target.h"

namespace tagix {

/// The sets of elements that a norm brings to a second moment of 1, in a value of positions x
/// channels: for each row of a batch the channels of a group, at all positions or at each.
struct NormSets {
  Index positions;
  Index channels;
  Index groups;       ///< divides channels
  bool per_position;  ///< whether each position has sets of its own
  bool centred;       ///< whether the mean is taken off
  bool exact;         ///< whether innovations count that statistics follow the elements
  float eps;          ///< what is added to the second moment

  TAGIX_HD constexpr Index group_width() const { return channels / groups; }
  TAGIX_HD constexpr Index per_row() const { return per_position ? positions * groups : groups; }
  /// How many elements a set has.
  TAGIX_HD constexpr Index size() const { return group_width() * (per_position ? 1 : positions); }
  /// Element k of a set among all sets of a batch.
  TAGIX_HD constexpr Index place(Index set, Index k) const {
    const Index group = set % groups, block = set / groups;  // of a row, or of a position
    const Index position = (per_position ? block : block * positions) + k / group_width();
    return position * channels + group * group_width() + k % group_width();
  }
};

}  // namespace tagix
