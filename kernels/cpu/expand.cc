#include "kernels/cpu/expand.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/centroids.h"
#include "base/check.h"
#include "base/codec_random.h"
#include "kernels/cpu/topk.h"

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

void expand_topk(const ExpandParts& parts, const ExpandJob& job) {
  const Codes& codes = job.codes;
  parts.workers.run(codes.n(), 1, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t row = begin; row < end; ++row)
      TopKRow(codes.rows[row], codes.format, codes.d).expand(job.target + row * job.pitch);
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
