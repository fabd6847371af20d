// The end of a search that few rows are left of: they are gathered and sorted column by column.
//
// Of a thousand honest floats two or three agree in sign, exponent and seven more digits with the
// one that is looked for. To sort those costs less than to walk through the last sixteen digits of
// all. Where many agree, as zeros do, the walk goes on (boundaries.h).
#pragma once

#include <string.h>

#include "kernels/cpu/variant/kept_tile.h"
#include "kernels/cpu/variant/select.h"
#include "kernels/cpu/variant/sort_keys.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// The rows of a tile that are left, column by column.
struct FewRows {
  int32_t* keys;                    ///< few_keys(): for every kColumnTile columns kNetworkRows rows
  uint32_t* words;                  ///< few_words(): those with an eligible row
  uint32_t count[kMaxTileColumns];  ///< rows of each column
};

constexpr size_t few_keys(const TileShape& shape) {
  return in_whole(shape.columns, kColumnTile) * kNetworkRows;
}
/// As many as there are, and those of one vector that settle_and_list() may store past them.
constexpr size_t few_words(const TileShape& shape) { return (shape.groups + 1) * kWordsOfVector; }
MUSTER_CELL int32_t* few_keys_of(const FewRows& few, size_t column) {
  return few.keys + column / kColumnTile * kColumnTile * kNetworkRows + column % kColumnTile;
}

/// Stores which rows agree with the lowest digit of the planes too, which has been found; lists the
/// words of those that have one. Returns how many. No branches: they could not be foretold.
size_t settle_and_list(const Planes& planes, const RankSearch& search, uint32_t* words) {
  size_t listed = 0;
  for (size_t g = 0; g < planes.groups; ++g) {
    const Bits left = where_equal(search.eligible[g], planes.plane[g], search.bit);
    search.eligible[g] = left;
    listed += list_words(left, static_cast<uint32_t>(g * kWordsOfVector), words + listed);
  }
  return listed;
}

/// Gathers the keys of the eligible rows of each column; false where they are many: more than a
/// network sorts in one column, or some in most of the words. `listed`: words that have one.
template <class Rows>
bool gather_few(const TileShape& shape, const RankSearch& search, size_t listed, const Rows& rows,
                FewRows& few) {
  constexpr size_t kLanes = kVectorBytes / sizeof(uint32_t);
  if (4 * listed > 3 * shape.groups * kWordsOfVector) return false;
  memset(few.count, 0, shape.columns * sizeof few.count[0]);
  const int log2_slices = __builtin_ctz(static_cast<unsigned>(shape.slices));
  for (size_t w = 0; w < listed; ++w) {
    const size_t i = few.words[w];
    const size_t group = i / kWordsOfVector, first_lane = i % kWordsOfVector * 2;
    uint64_t word;
    memcpy(&word, reinterpret_cast<const std::byte*>(search.eligible) + i * sizeof word,
           sizeof word);
    do {
      const auto bit = static_cast<size_t>(__builtin_ctzll(word));
      word &= word - 1;
      const size_t vector = group * 32 + bit % 32, lane = first_lane + bit / 32;
      const size_t row = vector >> log2_slices;
      const size_t column = (vector - (row << log2_slices)) * kLanes + lane;
      const uint32_t before = few.count[column]++;
      if (before == kNetworkRows) return false;
      few_keys_of(few, column)[before * kColumnTile] = cell::key_of(rows.at(row)[column]);
    } while (word != 0);
  }
  return true;
}

/// found[c] = the value of the rank within the gathered rows of each column.
void pick_of_few(const TileShape& shape, const RankSearch& search, FewRows& few, float* found) {
  Bits sliced[32] = {}, left[32];
  for (int j = 0; j < search.digits; ++j) sliced[j] = search.left[j];
  transpose<32>(sliced, left, 1);
  uint32_t ranks[kMaxTileColumns];
  memcpy(ranks, left, shape.columns * sizeof ranks[0]);
  for (size_t k = 0; k < shape.columns; k += kColumnTile) {
    const size_t columns = shape.columns - k < kColumnTile ? shape.columns - k : kColumnTile;
    uint32_t greatest = 0;
    for (size_t c = k; c < k + columns; ++c)
      greatest = few.count[c] > greatest ? few.count[c] : greatest;
    const size_t rows = network_rows(greatest);
    int32_t* keys = few_keys_of(few, k);
    for (size_t row = 0; row < rows; ++row)
      for (size_t c = 0; c < columns; ++c) {
        int32_t& key = keys[row * kColumnTile + c];
        key = row < few.count[k + c] ? key : cell::kKeyPastAll;
      }
    sort_keys(keys, rows, columns);
    for (size_t c = 0; c < columns; ++c)
      found[k + c] = cell::value_of(keys[ranks[k + c] * kColumnTile + c]);
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
