// Sorting one column at a time with vectors: what a careful library does for each coordinate.
#pragma once

#include <cstddef>
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

}  // namespace muster::bench
