#include "kernels/cpu/topk.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/canonical.h"
#include "kernels/cell/grid.h"

namespace muster::kernels {
namespace {

/// Values taken together: their coordinates and steps stay in the first cache level.
constexpr std::size_t kPiece = 512;

template <class T>
T read(const std::byte* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

/// each(coordinate) for the bits set below `end`, of d.
template <class Each>
void for_each_bit(const std::byte* bits, std::size_t d, std::size_t end, const Each& each) {
  for (std::size_t first = 0; first < end; first += 64) {
    std::uint64_t word = 0;
    std::memcpy(&word, bits + first / 8, std::min<std::size_t>(8, (d - first + 7) / 8));
    for (; word != 0; word &= word - 1) {
      const std::size_t index = first + static_cast<std::size_t>(std::countr_zero(word));
      if (index >= end) return;
      each(index);
    }
  }
}

/// each(coordinate) for those of k gaps - 1 in LEB128 that are below `end`.
template <class Each>
void for_each_gap(const std::byte* gaps, std::size_t k, std::size_t end, const Each& each) {
  const auto* at = reinterpret_cast<const std::uint8_t*>(gaps);
  std::size_t index = 0;
  for (std::size_t j = 0; j < k; ++j, ++index) {
    for (unsigned shift = 0; shift < 21; shift += 7) {  // three bytes name any gap in a chunk
      const std::uint8_t byte = *at++;
      index += static_cast<std::size_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) break;
    }
    if (index >= end) return;
    each(index);
  }
}

}  // namespace

TopKRow::TopKRow(const std::byte* payload, ChunkFormat format, std::size_t d)
    : codec_(format.bits == 16 ? Codec::kF16 : Codec::kF32),
      width_(format.bits / 8),
      values_(payload + kTopKHeadBytes),
      k_(std::min<std::size_t>(read<std::uint32_t>(payload), kept_count(format, d))),
      d_(d),
      is_bitmap_((read<std::uint32_t>(payload + 4) & kTopKBitmap) != 0) {}

template <class Each>
void TopKRow::for_each(std::size_t end, const Each& each) const {
  std::size_t j = 0;
  const auto next = [&](std::size_t index) {
    if (j < k_) each(index, j++);
  };
  is_bitmap_ ? for_each_bit(address(k_), d_, end, next) : for_each_gap(address(k_), k_, end, next);
}

double TopKRow::squared_norm() const {
  // The order of kernels/canonical.h: the zeros between the values change nothing.
  double total = 0;
  double lanes[canonical::kLanes] = {};
  std::size_t block = 0;
  const auto close = [&] {
    total += canonical::fold(lanes);
    std::fill(std::begin(lanes), std::end(lanes), 0.0);
  };
  for_each(d_, [&](std::size_t index, std::size_t j) {
    if (index / canonical::kBlock != block) close();
    block = index / canonical::kBlock;
    const auto x = static_cast<double>(cell::finite_or_zero(value(j)));
    double& lane = lanes[index % canonical::kLanes];
    lane = cell::add_exact_product(x, x, lane);
  });
  close();
  return total;
}

void TopKRow::expand(float* target) const {
  std::memset(target, 0, d_ * sizeof(float));
  for_each(d_, [&](std::size_t index, std::size_t j) { target[index] = value(j); });
}

void TopKRow::accumulate(const KernelTable& kernels, double scaled_factor, std::int64_t weight,
                         std::size_t begin, std::size_t end, std::int64_t* target) const {
  std::uint32_t piece[kPiece];
  std::int64_t steps[kPiece];
  std::size_t count = 0;
  const auto add_piece = [&](std::size_t first) {
    const std::byte* const source = address(first);
    ChunkView view{};
    view.coding = static_cast<cell::Coding>(codec_);
    view.d = count;
    view.n = 1;
    view.rows = &source;
    std::fill_n(steps, count, 0);
    kernels.accumulate(view, {&scaled_factor, &weight, steps}, 0, count);
    for (std::size_t j = 0; j < count; ++j)
      target[piece[j]] = cell::add_weighted(target[piece[j]], 1, steps[j]);
    count = 0;
  };
  std::size_t first = 0;
  for_each(end, [&](std::size_t index, std::size_t j) {
    if (index < begin) return;
    if (count == 0) first = j;
    piece[count++] = static_cast<std::uint32_t>(index);
    if (count == kPiece) add_piece(first);
  });
  add_piece(first);
}

}  // namespace muster::kernels
