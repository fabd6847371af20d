// What moves between the devices of a group: the only two things that do. Chunks, and with them
// codes and sums, stay on the device that has them; what adds up over chunks is added here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace muster::kernels {

/// Every call names one address a rank, in that rank's memory, and is queued behind the work that
/// computes there: it returns at once and orders itself with what comes after. One thread at a
/// time.
class Collective {
 public:
  virtual ~Collective() = default;
  virtual std::size_t ranks() const = 0;
  /// Every copy becomes the sum of all copies, modulo 2^64: no order matters.
  virtual void sum(std::span<std::int64_t* const> copies, std::size_t count) = 0;
  /// The same of values that are whole multiples of one unit, whose sum of magnitudes stays below
  /// 2^53 of it: nothing rounds, so no order matters here either. The caller has proven that.
  virtual void sum_exact(std::span<double* const> copies, std::size_t count) = 0;
  /// Every copy becomes that of rank `root`.
  virtual void broadcast(std::span<std::byte* const> copies, std::size_t bytes,
                         std::size_t root) = 0;
};

}  // namespace muster::kernels
