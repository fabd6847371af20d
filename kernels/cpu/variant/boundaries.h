// The boundaries of what is kept in each column of a tile, by bit-sliced selection.
#pragma once

#include "kernels/cpu/variant/few_rows.h"
#include "kernels/cpu/variant/tile_rows.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// The least and greatest kept coordinate of each column of a tile. A side where nothing is left
/// out has none.
template <class Stored>
struct Boundaries {
  alignas(64) Stored lowest[kMaxTileColumns];
  alignas(64) Stored highest[kMaxTileColumns];
};

/// What the search of a tile works with.
struct SearchScratch {
  Bits* eligible;     ///< sets of two ranks
  FewRows* few;       ///< of two ranks, for 32-bit keys
  PanelAhead* ahead;  ///< asked for during the search of 8-bit keys
};

/// stored[c] = what the sliced keys of the columns stand for.
template <cell::Coding kCoding, class Stored>
void unslice_keys(const Bits* sliced, size_t columns, Stored* stored) {
  using Key = typename StoredAs<kCoding>::Key;
  Bits bits[8 * sizeof(Key)];
  transpose<8 * sizeof(Key)>(sliced, bits, 1);
  Key keys[kMaxTileColumns];
  memcpy(keys, bits, sizeof keys);
  for (size_t c = 0; c < columns; ++c) stored[c] = StoredAs<kCoding>::stored(keys[c]);
}

/// The searches that a job wants of each column: for its least kept rank, and for its greatest,
/// where it leaves something out on that side. One serves both where they are the same.
template <class Stored>
struct BoundarySearches {
  static constexpr int kBits = 8 * sizeof(Stored);
  Bits key[2][kBits];
  RankSearch search[2];
  int count = 0;
  bool neighbours = false;  ///< two ranks, the second one more than the first

  BoundarySearches(const TileShape& shape, const KeptSumView& job, size_t n, Bits* eligible) {
    const uint32_t last = static_cast<uint32_t>(n) - job.high - 1;
    const auto start = [&](uint32_t rank) {
      search[count].eligible = eligible + static_cast<size_t>(count) * shape.eligible_pitch;
      search[count].key = key[count];
      start_search(search[count++], rank, n);
    };
    if (job.low > 0) start(job.low);
    if (job.high > 0 && !(job.low > 0 && last == job.low)) start(last);
    neighbours = count == 2 && last == job.low + 1;
  }
};

/// Puts what search number s found where it belongs. `find(s, target)` fills one side.
template <class Stored, class Find>
void keep_boundaries(const KeptSumView& job, int searches, Boundaries<Stored>& found, Find&& find) {
  if (job.low > 0) find(0, found.lowest);
  if (job.high > 0 && job.low > 0 && searches == 1)
    memcpy(found.highest, found.lowest, sizeof found.highest);
  else if (job.high > 0)
    find(searches - 1, found.highest);
}

/// Finds the boundaries of a tile. `planes`: `digits` of them, all or the upper; where those turn
/// out too few the lower ones are added, and false is returned.
template <cell::Coding kCoding, class Rows, class Stored>
bool find_boundaries(const TileShape& shape, const KeptSumView& job, size_t n, const Rows& rows,
                     Bits* planes, Digits digits, const SearchScratch& scratch,
                     Boundaries<Stored>& found) {
  constexpr int kBits = 8 * sizeof(Stored);
  constexpr int kFirst = static_cast<int>(first_digits(kBits));
  BoundarySearches<Stored> searches(shape, job, n, scratch.eligible);
  RankSearch* const search = searches.search;
  Planes walked{planes, shape.plane_pitch, shape.groups, shape.slices,
                kBits == 8 ? scratch.ahead : nullptr};
  bool enough = true;
  if (kBits == kFirst || digits == Digits::kAll) {
    find_digits<kBits, kBits, true>(walked, search, searches.count, searches.neighbours);
  } else if constexpr (kBits > kFirst) {
    walked.plane = planes + (kBits - kFirst) * shape.plane_pitch;
    for (int s = 0; s < searches.count; ++s) search[s].key += kBits - kFirst;
    find_digits<kBits, kFirst, true>(walked, search, searches.count, searches.neighbours);
    for (int s = 0; s < searches.count; ++s) {
      search[s].key -= kBits - kFirst;
      const size_t listed = settle_and_list(walked, search[s], scratch.few[s].words);
      enough = enough && gather_few(shape, search[s], listed, rows, scratch.few[s]);
    }
    if (enough) {
      keep_boundaries(job, searches.count, found, [&](int s, Stored* side) {
        pick_of_few(shape, search[s], scratch.few[s], side);
      });
      return true;
    }
    for (size_t g = 0; g < shape.row_groups; ++g) {
      Bits buffer[kBits], ignored;
      slice_group<kCoding, Digits::kLower>(rows.group(shape, g, buffer), shape.plane_pitch,
                                           planes + g, ignored);
    }
    walked.plane = planes;
    find_digits<kBits, kBits - kFirst, false>(walked, search, searches.count);
  }
  keep_boundaries(job, searches.count, found, [&](int s, Stored* side) {
    unslice_keys<kCoding>(searches.key[s], shape.columns, side);
  });
  return enough;
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
