#include "kernels/cpu/expand.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/centroids.h"
#include "base/check.h"
#include "base/codec_random.h"
#include "kernels/cell/decode.h"

namespace muster::kernels {
namespace {

constexpr std::size_t kMaxRotation = std::size_t{1} << kMaxLog2Rotation;
constexpr std::size_t kSignBytes = kMaxRotation / 8;
static_assert(kRotationScratchBytes >= kMaxRotation * sizeof(double) + kSignBytes);

/// A worker's scratch, cut up.
struct Rotation {
  explicit Rotation(Scratch& scratch)
      : values(static_cast<std::byte*>(scratch.reserve(kRotationScratchBytes))),
        signs(reinterpret_cast<std::uint64_t*>(values + kMaxRotation * sizeof(double))) {}

  void draw(std::uint64_t key, std::size_t length) const {
    draw_signs(key, {signs, divide_up(length, std::size_t{64})});
  }

  std::byte* values;
  std::uint64_t* signs;
};

template <class T>
T read(const std::byte* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

void expand_eden(const ExpandParts& parts, const ExpandJob& job) {
  const ChunkFormat format = job.codes.format;
  const std::size_t d = job.codes.d;
  const std::size_t rotations = rotation_count(format, d);
  const std::size_t head = kEdenHeadBytes + rotations * sizeof(float);
  parts.workers.run(
      job.codes.n() * rotations, 1, [&](std::size_t begin, std::size_t end, std::size_t worker) {
        const Rotation scratch(parts.scratch[worker]);
        for (std::size_t unit = begin; unit < end; ++unit) {
          const std::size_t row = unit / rotations, index = unit % rotations;
          const std::byte* payload = job.codes.rows[row];
          const std::size_t first = index << format.log2_block;
          EdenView view{};
          view.indices = payload + head;
          view.bits = format.bits;
          view.begin = first;
          view.log2_length = log2_rotation(format, d, index);
          const std::size_t length = std::size_t{1} << view.log2_length;
          view.count = std::min(length, d - first);
          view.centroids = centroids(format.bits).data();
          view.signs = scratch.signs;
          view.scale = read<float>(payload + kEdenHeadBytes + index * sizeof(float));
          scratch.draw(rotation_key(read<std::uint64_t>(payload), index), length);
          float* target = job.target + row * job.pitch + first;
          // A padded rotation does not fit its place.
          float* values = view.count == length ? target : reinterpret_cast<float*>(scratch.values);
          parts.kernels.expand_eden(view, values);
          if (values != target) std::memcpy(target, values, view.count * sizeof(float));
        }
      });
}

/// Calls each(index) for the k coordinates a TOPK row names; false to stop early.
class TopKIndices {
 public:
  TopKIndices(const std::byte* indices, bool bitmap, std::size_t d)
      : at_(reinterpret_cast<const std::uint8_t*>(indices)), bitmap_(bitmap), d_(d) {}

  /// The next coordinate; d or more where there is none.
  std::size_t next() {
    if (bitmap_) {
      while (next_ < d_ && (at_[next_ / 8] >> (next_ % 8) & 1) == 0) ++next_;
      return next_++;
    }
    std::size_t gap = 0;
    for (unsigned shift = 0; shift < 21; shift += 7) {  // three bytes name any gap in a chunk
      const std::uint8_t byte = *at_++;
      gap |= static_cast<std::size_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) break;
    }
    const std::size_t index = next_ + gap;
    next_ = index + 1;
    return index;
  }

 private:
  const std::uint8_t* at_;
  bool bitmap_;
  std::size_t d_;
  std::size_t next_ = 0;
};

void expand_topk(const ExpandParts& parts, const ExpandJob& job) {
  const ChunkFormat format = job.codes.format;
  const std::size_t d = job.codes.d;
  const std::size_t width = format.bits / 8;
  parts.workers.run(job.codes.n(), 1, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t row = begin; row < end; ++row) {
      const std::byte* payload = job.codes.rows[row];
      const std::size_t k =
          std::min<std::size_t>(read<std::uint32_t>(payload), kept_count(format, d));
      const bool bitmap = (read<std::uint32_t>(payload + 4) & kTopKBitmap) != 0;
      const std::byte* values = payload + kTopKHeadBytes;
      float* target = job.target + row * job.pitch;
      std::memset(target, 0, d * sizeof(float));
      TopKIndices indices(values + k * width, bitmap, d);
      for (std::size_t j = 0; j < k; ++j) {
        const std::size_t index = indices.next();
        if (index >= d) break;
        target[index] = width == 4 ? read<float>(values + 4 * j)
                                   : cell::decode_f16(read<std::uint16_t>(values + 2 * j));
      }
    }
  });
}

/// round(sum * d / k), ties to even.
std::int64_t scaled_up(std::int64_t sum, std::size_t d, std::size_t k) {
  const __int128 product = static_cast<__int128>(sum) * static_cast<__int128>(d);
  const auto divisor = static_cast<__int128>(k);
  __int128 quotient = product / divisor, rest = product % divisor;
  if (rest < 0) {  // round down first
    --quotient;
    rest += divisor;
  }
  if (2 * rest > divisor || (2 * rest == divisor && (quotient & 1) != 0)) ++quotient;
  return static_cast<std::int64_t>(quotient);
}

void restore_mask(const RestoreJob& job) {
  std::vector<std::uint32_t> mask(kept_count(job.format, job.d));
  draw_mask(job.key, job.d, mask);
  std::memset(job.target, 0, job.d * sizeof(std::int64_t));
  for (std::size_t j = 0; j < mask.size(); ++j)
    job.target[mask[j]] = scaled_up(job.sums[j], job.d, mask.size());
}

void restore_rotations(const ExpandParts& parts, const RestoreJob& job) {
  parts.workers.run(rotation_count(job.format, job.d), 1,
                    [&](std::size_t begin, std::size_t end, std::size_t worker) {
                      const Rotation scratch(parts.scratch[worker]);
                      for (std::size_t index = begin; index < end; ++index) {
                        const std::size_t first = index << job.format.log2_block;
                        UnrotateView view{};
                        view.sums = job.sums + first;
                        view.log2_length = log2_rotation(job.format, job.d, index);
                        const std::size_t length = std::size_t{1} << view.log2_length;
                        view.count = std::min(length, job.d - first);
                        view.signs = scratch.signs;
                        view.target = job.target + first;
                        scratch.draw(rotation_key(job.key, index), length);
                        parts.kernels.unrotate(view, reinterpret_cast<double*>(scratch.values));
                      }
                    });
}

}  // namespace

void expand(const ExpandParts& parts, const ExpandJob& job) {
  MUSTER_CHECK(is_sound(job.codes.format) && needs_expansion(job.codes.format.codec));
  MUSTER_CHECK_OP(job.pitch, >=, job.codes.d);
  if (job.codes.d == 0) return;
  job.codes.format.codec == Codec::kEden ? expand_eden(parts, job) : expand_topk(parts, job);
}

void restore(const ExpandParts& parts, const RestoreJob& job) {
  MUSTER_CHECK(is_sound(job.format) && in_round_space(job.format.codec));
  job.format.codec == Codec::kHsq ? restore_rotations(parts, job) : restore_mask(job);
}

}  // namespace muster::kernels
