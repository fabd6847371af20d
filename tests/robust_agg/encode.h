// Rows as a device would send them, and a cohort held in memory.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "robust_agg/aggregate.h"

namespace muster::robust::testing {

using Vector = std::vector<double>;
using Rows = std::vector<Vector>;

/// Powers of two for every block of the test's I8S codes unless a test says otherwise.
inline constexpr std::int8_t kSharedExponent = -2;

/// One chunk of one row, padded to whole words. Integer codes must fit: value / scale in [-127,
/// 127], with the scale 2^kSharedExponent for I8S and, for I8B, of the block's own power of two.
inline std::vector<std::byte> encode(ChunkFormat format, std::span<const double> values) {
  std::vector<std::byte> payload(align_up(payload_bytes(format, values.size()), 4));
  const MutableBytes bytes(payload);
  const std::size_t scales = scale_count(format, values.size());
  const auto code = [](double value, double scale) {
    const double q = std::nearbyint(value / scale);
    MUSTER_CHECK(std::abs(q) <= 127);
    return static_cast<std::int8_t>(q);
  };
  std::vector<float> scale_of(scales);
  for (std::size_t b = 0; b < scales; ++b) {
    double largest = 0;
    const std::size_t begin = b << format.log2_block;
    const std::size_t end = std::min(values.size(), begin + (std::size_t{1} << format.log2_block));
    for (std::size_t k = begin; k < end; ++k) largest = std::max(largest, std::abs(values[k]));
    scale_of[b] = largest == 0 ? 1.0f : std::ldexp(1.0f, std::ilogb(largest / 127) + 1);
    store(bytes, 4 * b, scale_of[b]);
  }
  for (std::size_t k = 0; k < values.size(); ++k) {
    const auto wide = static_cast<float>(values[k]);
    switch (format.codec) {
      case Codec::kF32:
        store(bytes, 4 * k, wide);
        break;
      case Codec::kBF16:
        store(bytes, 2 * k, static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(wide) >> 16));
        break;
      case Codec::kI8B:
        store(bytes, 4 * scales + k, code(values[k], scale_of[k >> format.log2_block]));
        break;
      case Codec::kI8S:
        store(bytes, k, code(values[k], std::ldexp(1.0, kSharedExponent)));
        break;
      default:
        MUSTER_CHECK(false && "tests/codecs encodes the others");
        break;
    }
  }
  return payload;
}

/// Encoded rows in backend memory, chunk by chunk.
class MemoryCohort final : public Cohort {
 public:
  MemoryCohort(const Plan& plan, kernels::Backend& backend, const Rows& rows,
               std::vector<std::uint32_t> weights = {}, std::vector<std::uint64_t> ranks = {})
      : plan_(plan), backend_(backend), weights_(std::move(weights)), ranks_(std::move(ranks)) {
    const std::size_t n = rows.size();
    if (weights_.empty()) weights_.assign(n, 1);
    if (ranks_.empty()) {
      ranks_.resize(n);
      std::iota(ranks_.begin(), ranks_.end(), std::uint64_t{0});
    }
    const PlanRequest& request = plan.request;
    const auto blocks = divide_up<std::size_t>(request.chunk_coordinates,
                                               std::size_t{1} << request.format.log2_block);
    if (request.format.codec == Codec::kI8S) exponents_.assign(blocks, kSharedExponent);
    for (std::uint32_t c = 0; c < plan.chunk_count; ++c) {
      const std::size_t begin = std::size_t{c} * request.chunk_coordinates;
      const std::size_t d = length(c);
      for (const Vector& row : rows) {
        MUSTER_CHECK_OP(row.size(), ==, std::size_t{request.dimension});
        const auto payload = encode(request.format, std::span(row).subspan(begin, d));
        buffers_.push_back(backend.allocate(plan.row_pitch).value());
        backend.upload(buffers_.back().data, payload, kernels::Stream::kCompute);
        backend.wait(backend.record(kernels::Stream::kCompute));
        addresses_.push_back(buffers_.back().data);
      }
    }
  }
  ~MemoryCohort() override {
    for (const kernels::Buffer& buffer : buffers_) backend_.release(buffer);
  }
  MemoryCohort(const MemoryCohort&) = delete;
  MemoryCohort& operator=(const MemoryCohort&) = delete;

  std::uint32_t size() const override { return static_cast<std::uint32_t>(weights_.size()); }
  std::span<const std::uint32_t> weights() const override { return weights_; }
  std::span<const std::uint64_t> ranks() const override { return ranks_; }
  Result<kernels::Codes> chunk(std::uint32_t index) override {
    ++reads_;
    most_rows_ = size();
    const std::size_t n = size();
    return kernels::Codes{plan_.request.format, length(index),
                          std::span(addresses_).subspan(index * n, n), exponents_};
  }
  Result<kernels::Codes> chunk_of(std::uint32_t index,
                                  std::span<const std::uint32_t> rows) override {
    ++reads_;
    most_rows_ = std::max(most_rows_, rows.size());
    picked_.clear();
    for (const std::uint32_t row : rows)
      picked_.push_back(addresses_[std::size_t{index} * size() + row]);
    return kernels::Codes{plan_.request.format, length(index), picked_, exponents_};
  }
  std::optional<std::uint32_t> trusted() const override { return trusted_; }
  void trust(std::uint32_t row) { trusted_ = row; }
  /// Rows shown at once, at most.
  std::size_t most_rows() const { return most_rows_; }
  /// All chunks of one row, as RowFold takes them.
  std::vector<kernels::Codes> update(std::size_t row) const {
    std::vector<kernels::Codes> chunks;
    for (std::uint32_t c = 0; c < plan_.chunk_count; ++c)
      chunks.push_back({plan_.request.format, length(c),
                        std::span(addresses_).subspan(c * weights_.size() + row, 1), exponents_});
    return chunks;
  }
  std::size_t reads() const { return reads_; }

 private:
  std::size_t length(std::uint32_t index) const {
    const PlanRequest& request = plan_.request;
    return std::min<std::size_t>(
        request.chunk_coordinates,
        request.dimension - std::size_t{index} * request.chunk_coordinates);
  }

  const Plan& plan_;
  kernels::Backend& backend_;
  std::vector<std::uint32_t> weights_;
  std::vector<std::uint64_t> ranks_;
  std::vector<std::int8_t> exponents_;
  std::vector<kernels::Buffer> buffers_;
  std::vector<const std::byte*> addresses_;
  std::vector<const std::byte*> picked_;
  std::optional<std::uint32_t> trusted_;
  std::size_t reads_ = 0;
  std::size_t most_rows_ = 0;
};

}  // namespace muster::robust::testing
