#include "tests/gpusim/ptx/traffic.h"

#include <algorithm>
#include <array>

namespace gpusim {

void count_global(std::span<const std::uint64_t> addresses, std::size_t bytes, Counts* counts) {
  constexpr std::uint64_t kSector = 32;
  std::array<std::uint64_t, 32> sorted;
  std::copy(addresses.begin(), addresses.end(), sorted.begin());
  const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(addresses.size());
  if (!std::is_sorted(sorted.begin(), end)) std::sort(sorted.begin(), end);
  std::uint64_t last_address = ~std::uint64_t{0}, last_sector = ~std::uint64_t{0};
  for (auto address = sorted.begin(); address != end; ++address) {
    if (*address == last_address) continue;
    last_address = *address;
    counts->global_bytes += bytes;
    // An aligned access of at most 32 bytes lies in one sector.
    if (*address / kSector == last_sector) continue;
    last_sector = *address / kSector;
    ++counts->global_sectors;
  }
  ++counts->global_requests;
  if (addresses.size() > 1 && sorted[0] == sorted[addresses.size() - 1]) {
    ++counts->uniform_requests;
    counts->uniform_bytes += bytes;
  }
}

void count_shared(std::span<const std::uint64_t> addresses, std::span<const int> lanes,
                  std::size_t bytes, Counts* counts) {
  const int phase_lanes = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
  const std::size_t words = std::max<std::size_t>(bytes / 4, 1);
  for (std::size_t first = 0; first < addresses.size();) {
    std::array<std::uint64_t, 32> touched;
    std::size_t count = 0;
    const int phase = lanes[first] / phase_lanes;
    for (; first < addresses.size() && lanes[first] / phase_lanes == phase; ++first) {
      for (std::size_t k = 0; k < words; ++k) touched[count++] = addresses[first] / 4 + k;
    }
    const auto end = touched.begin() + static_cast<std::ptrdiff_t>(count);
    std::sort(touched.begin(), end);
    std::array<std::uint8_t, 32> in_bank{};
    std::uint8_t worst = 0;
    std::for_each(touched.begin(), std::unique(touched.begin(), end),
                  [&](std::uint64_t word) { worst = std::max(worst, ++in_bank[word % 32]); });
    counts->shared_cycles += worst;
    ++counts->shared_ideal_cycles;
  }
  ++counts->shared_requests;
}

}  // namespace gpusim
