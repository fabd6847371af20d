// Baselines on the widest vectors there are: sorting columns as a careful library does, and
// reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace muster::bench {

/// Sorts `column` upwards; `spare` is at least as long. Quicksort that partitions by AVX-512
/// compress stores, about as fast as the sort numpy uses on such processors; std::sort elsewhere.
void sort_column(float* column, float* spare, std::size_t n);
/// "AVX-512 quicksort" or "std::sort": which of them this processor gets.
const char* column_sort_name();

/// Sorts each of kSortedTogether columns that lie side by side, `n` rows of them: Batcher's network
/// over the rows, vectors over the columns, on the widest vectors there are.
constexpr std::size_t kSortedTogether = 64;
void sort_columns(float* rows, std::size_t n);
void sort_columns(signed char* rows, std::size_t n);

/// The sum of the words, modulo 2^64; up to 31 of the last ones are left out. As fast as memory is
/// read.
std::uint64_t sum_words(const std::uint64_t* words, std::size_t n);

}  // namespace muster::bench
