// Rows of a cohort, a bit each.
#pragma once

#include <cstdint>
#include <vector>

namespace muster::robust {

class RowSet {
 public:
  /// In any order; each row once.
  void add(std::uint32_t row) {
    if (row >= bits_.size()) bits_.resize(row + 1);
    bits_[row] = true;
    ++size_;
  }
  void clear() { *this = {}; }
  std::uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// Ascending.
  std::vector<std::uint32_t> rows() const {
    std::vector<std::uint32_t> rows;
    for (std::uint32_t row = 0; row < bits_.size(); ++row)
      if (bits_[row]) rows.push_back(row);
    return rows;
  }
  bool operator==(const RowSet&) const = default;

 private:
  std::vector<bool> bits_;  ///< up to the last row
  std::uint32_t size_ = 0;
};

}  // namespace muster::robust
