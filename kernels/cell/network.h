// Sorting networks (Batcher 1968, odd-even merge) as tables known to the compiler.
//
// The table is expanded by a fold, so that the array being sorted dissolves into registers and the
// loop around it vectorises over columns; written as nested loops it does neither, silently.
#pragma once

#include "kernels/cell/cell.h"

namespace muster::kernels::cell {

struct Comparator {
  uint8_t low, high;
};

template <int N>
struct Network {
  static constexpr int kCapacity = N * N;
  Comparator at[kCapacity] = {};
  int count = 0;
};

template <int N>
consteval Network<N> make_network() {
  Network<N> network;
  for (int p = 1; p < N; p *= 2)
    for (int k = p; k >= 1; k /= 2)
      for (int j = k % p; j + k < N; j += 2 * k)
        for (int i = 0; i < k && i + j + k < N; ++i)
          if ((i + j) / (2 * p) == (i + j + k) / (2 * p))
            network.at[network.count++] = {static_cast<uint8_t>(i + j),
                                           static_cast<uint8_t>(i + j + k)};
  return network;
}

template <int... I>
struct Indices {};

template <int N, int... I>
struct IndicesUpTo : IndicesUpTo<N - 1, N - 1, I...> {};
template <int... I>
struct IndicesUpTo<0, I...> {
  using type = Indices<I...>;
};

template <int Low, int High>
MUSTER_CELL void compare_exchange(int32_t* v) {
  const int32_t a = v[Low], b = v[High];
  v[Low] = smaller(a, b);
  v[High] = larger(a, b);
}

/// Comparators First .. First + sizeof...(I) of the network, as far as it goes.
template <int N, int First, int... I>
MUSTER_CELL void compare_some(int32_t* v, Indices<I...>) {
  constexpr Network<N> kNetwork = make_network<N>();
  (compare_exchange<kNetwork.at[First + I].low, kNetwork.at[First + I].high>(v), ...);
}

/// Sorts v[0 .. N) upwards. In steps of at most 64 comparators: compilers bound the depth of a
/// fold.
template <int N, int First = 0>
MUSTER_CELL void sort_network(int32_t* v) {
  constexpr int kLeft = make_network<N>().count - First;
  if constexpr (kLeft > 0) {
    constexpr int kNow = kLeft < 64 ? kLeft : 64;
    compare_some<N, First>(v, typename IndicesUpTo<kNow>::type{});
    sort_network<N, First + kNow>(v);
  }
}

}  // namespace muster::kernels::cell
