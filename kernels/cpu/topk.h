// TOPK on the CPU backend. Which coordinates a row names is read here, once for all levels; its
// values are a row of F32 or F16, which the kernels of the level take as any other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/backend.h"
#include "kernels/cell/decode.h"
#include "kernels/cpu/table.h"

namespace muster::kernels {

/// One row that ingest accepted.
class TopKRow {
 public:
  TopKRow(const std::byte* payload, ChunkFormat format, std::size_t d);

  /// The values as a row of their own; as long as this stays where it is.
  Codes values() const { return {{codec_}, k_, {&values_, 1}, {}}; }
  /// As inspect() would find it in the expanded row.
  double squared_norm() const;
  void expand(float* target) const;
  /// target[k] += weight * grid value, for the coordinates in [begin, end).
  void accumulate(const KernelTable& kernels, double scaled_factor, std::int64_t weight,
                  std::size_t begin, std::size_t end, std::int64_t* target) const;

 private:
  const std::byte* address(std::size_t j) const { return values_ + j * width_; }
  float value(std::size_t j) const {  // called for each value: inlined only from here
    if (codec_ == Codec::kF32) return *reinterpret_cast<const float*>(address(j));
    return cell::decode_f16(*reinterpret_cast<const std::uint16_t*>(address(j)));
  }
  /// Calls each(coordinate, j) for the values j whose coordinates are below `end`, ascending.
  template <class Each>
  void for_each(std::size_t end, const Each& each) const;

  Codec codec_;
  std::size_t width_;
  const std::byte* values_;
  std::size_t k_, d_;
  bool is_bitmap_;
};

}  // namespace muster::kernels
