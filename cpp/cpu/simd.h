#pragma once

// Vectors of floats for the kernels. This file and all that includes it is compiled once for each
// instruction set: everything here has internal linkage or is always inlined, and no standard
// header with functions in it may come in, else the linker could keep one level's copy of an inline
// function for all of them.

#include "math/scalar.h"
#include "math/target.h"

#ifndef TAGIX_LANES
#error "TAGIX_LANES: the number of floats in a vector of this instruction set is not defined"
#endif

/// After the parameters of a lambda: it is inlined, always.
#define TAGIX_LAMBDA_INLINE __attribute__((always_inline))

/// Before a register tile: a function by itself, which the compiler takes one at a time. Inlined
/// into each other they take it minutes.
#define TAGIX_TILE __attribute__((noinline))

/// Before a function of long chains of instructions: they are put into the order in which their
/// operands are there, not that of the source. So vectors that are worked out side by side
/// (map_vectors) do not wait for each other where a processor looks ahead less than one vector. It
/// changes no result. Clang orders them anyway.
#if defined(__GNUC__) && !defined(__clang__)
#define TAGIX_SCHEDULED __attribute__((optimize("schedule-insns")))
#else
#define TAGIX_SCHEDULED
#endif

namespace tagix::cpu {
namespace {

typedef float Vector __attribute__((vector_size(TAGIX_LANES * sizeof(float))));
typedef int IndexVector __attribute__((vector_size(TAGIX_LANES * sizeof(int))));
typedef float ThinVector __attribute__((vector_size(4 * sizeof(float))));

template <class V>
constexpr int lanes = static_cast<int>(sizeof(V) / sizeof(float));

template <class V>
TAGIX_INLINE V load(const float* source) {
  V value;
  __builtin_memcpy(&value, source, sizeof(V));
  return value;
}

template <class V>
TAGIX_INLINE void store(V value, float* target) {
  __builtin_memcpy(target, &value, sizeof(V));
}

using math::broadcast;

template <int... indices>
struct IndexList {};

template <int n, int... indices>
struct MakeIndexList : MakeIndexList<n - 1, n - 1, indices...> {};

template <int... indices>
struct MakeIndexList<0, indices...> {
  using type = IndexList<indices...>;
};

template <int index>
struct Constant {
  static constexpr int value = index;
};

template <class Body, int... indices>
TAGIX_INLINE void unroll_over(Body&& body, IndexList<indices...>) {
  (body(Constant<indices>{}), ...);
}

/// body(Constant<0>), ..., body(Constant<n - 1>): a loop that is gone before the optimiser looks,
/// which keeps arrays of vectors in registers.
template <int n, class Body>
TAGIX_INLINE void unroll(Body&& body) {
  unroll_over(static_cast<Body&&>(body), typename MakeIndexList<n>::type{});
}

/// v with the elements `distance` apart exchanged.
template <int distance, class V, int... indices>
TAGIX_INLINE V exchanged(V v, IndexList<indices...>) {
  return __builtin_shufflevector(v, v, (indices ^ distance)...);
}

/// Combines all elements of v, pair by pair; every element of the result is the outcome.
template <int distance, class V, class Combine>
TAGIX_INLINE V fold(V v, const Combine& combine) {
  v = combine(v, exchanged<distance>(v, typename MakeIndexList<lanes<V>>::type{}));
  if constexpr (distance > 1) {
    return fold<distance / 2>(v, combine);
  } else {
    return v;
  }
}

/// The sum of the elements of v.
template <class V>
TAGIX_INLINE float element_sum(V v) {
  return fold<lanes<V> / 2>(v, [](V a, V b) TAGIX_LAMBDA_INLINE { return a + b; })[0];
}

/// The largest element of v, none of which may be NaN.
template <class V>
TAGIX_INLINE float largest_element(V v) {
  return fold<lanes<V> / 2>(v, [](V a, V b) TAGIX_LAMBDA_INLINE { return math::max(a, b); })[0];
}

/// Exchanges the upper half of `a`'s blocks of 2 * distance elements with the lower half of `b`'s.
template <int distance, class V, int... indices>
TAGIX_INLINE void exchange_halves(V& a, V& b, IndexList<indices...>) {
  constexpr int n = lanes<V>;
  const V lower = __builtin_shufflevector(
      a, b, ((indices & distance) != 0 ? indices - distance + n : indices)...);
  b = __builtin_shufflevector(a, b,
                              ((indices & distance) != 0 ? indices + n : indices + distance)...);
  a = lower;
}

/// Transposes a square of lanes<V> vectors: element j of rows[i] becomes element i of rows[j].
template <class V, int distance = lanes<V> / 2>
TAGIX_INLINE void transpose(V (&rows)[lanes<V>]) {
  unroll<lanes<V>>([&](auto i) TAGIX_LAMBDA_INLINE {
    if constexpr ((i.value & distance) == 0) {
      exchange_halves<distance>(rows[i.value], rows[i.value + distance],
                                typename MakeIndexList<lanes<V>>::type{});
    }
  });
  if constexpr (distance > 1) transpose<V, distance / 2>(rows);
}

/// Of blocks of 2 * distance elements, the sum of the halves: a's in the lower half of a block, b's
/// in the upper one. Half of the elements stay in place, so one shuffle is enough.
template <int distance, class V, int... indices>
TAGIX_INLINE V add_halves(V a, V b, IndexList<indices...>) {
  constexpr int n = lanes<V>;
  const V in_place =
      __builtin_shufflevector(a, b, ((indices & distance) != 0 ? indices + n : indices)...);
  const V moved = __builtin_shufflevector(
      a, b, ((indices & distance) != 0 ? indices - distance + n : indices + distance)...);
  return in_place + moved;
}

/// Turns lanes<V> vectors into one: element i is the sum of the elements of sums[i]. Overwrites
/// them.
template <class V, int distance = lanes<V> / 2>
TAGIX_INLINE V element_sums(V (&sums)[lanes<V>]) {
  unroll<distance>([&](auto i) TAGIX_LAMBDA_INLINE {
    sums[i.value] = add_halves<distance>(sums[i.value], sums[i.value + distance],
                                         typename MakeIndexList<lanes<V>>::type{});
  });
  if constexpr (distance > 1) {
    return element_sums<V, distance / 2>(sums);
  } else {
    return sums[0];
  }
}

/// Calls body(offset, load, store) for whole vectors of `size` elements, and once more for the rest
/// with a load and a store that touch only the elements there are (a load fills up with zeros).
template <class Body>
TAGIX_INLINE void for_each_vector(Index size, Body&& body) {
  constexpr Index width = lanes<Vector>;
  Index offset = 0;
  for (; offset + width <= size; offset += width) {
    body(
        offset, [](const float* source) TAGIX_LAMBDA_INLINE { return load<Vector>(source); },
        [](Vector value, float* target) TAGIX_LAMBDA_INLINE { store(value, target); });
  }
  if (offset == size) return;
  const unsigned long rest = static_cast<unsigned long>(size - offset) * sizeof(float);
  body(
      offset,
      [rest](const float* source) TAGIX_LAMBDA_INLINE {
        Vector value{};
        __builtin_memcpy(&value, source, rest);
        return value;
      },
      [rest](Vector value, float* target)
          TAGIX_LAMBDA_INLINE { __builtin_memcpy(target, &value, rest); });
}

/// For each vector of `size` elements: give(offset, f(take(offset, load)), store), with load and
/// store as in for_each_vector; n whole vectors at a time, side by side.
template <int n, class Take, class Function, class Give>
TAGIX_INLINE void map_vectors(Index size, const Take& take, const Function& f, const Give& give) {
  constexpr Index width = lanes<Vector>;
  const auto load_whole = [](const float* source)
                              TAGIX_LAMBDA_INLINE { return load<Vector>(source); };
  const auto store_whole = [](Vector value, float* target)
                               TAGIX_LAMBDA_INLINE { store(value, target); };
  using Arguments = decltype(take(Index{}, load_whole));
  Index offset = 0;
  for (; offset + n * width <= size; offset += n * width) {
    Arguments arguments[n];
    decltype(f(arguments[0])) results[n];
    unroll<n>([&](auto k) TAGIX_LAMBDA_INLINE {
      arguments[k.value] = take(offset + k.value * width, load_whole);
    });
    unroll<n>([&](auto k) TAGIX_LAMBDA_INLINE { results[k.value] = f(arguments[k.value]); });
    unroll<n>([&](auto k) TAGIX_LAMBDA_INLINE {
      give(offset + k.value * width, results[k.value], store_whole);
    });
  }
  for_each_vector(size - offset, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    give(offset + i, f(take(offset + i, load_part)), store_part);
  });
}

}  // namespace
}  // namespace tagix::cpu
