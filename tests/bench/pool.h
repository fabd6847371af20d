// Rows of codes that stand for a cohort of any size.
#pragma once

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "kernels/backend.h"

namespace muster::bench {

inline std::unique_ptr<kernels::Backend> cpu_backend(std::size_t threads) {
  kernels::BackendOptions options;
  options.kind = "cpu";
  options.threads = threads;
  return kernels::create_backend(options, nullptr).value();
}

/// A cohort of any size in chunks of any number: rows and chunks repeat a pool of distinct ones
/// that no cache holds. Its own backend runs on one thread; others of the CPU may read the codes.
class Pool {
 public:
  static constexpr std::size_t kChunk = 65'536, kRows = 1024;

  explicit Pool(ChunkFormat format) : format_(format), backend_(cpu_backend(1)) {
    // One line more, as records of a spool have a head: never a power of two apart.
    const std::size_t pitch = align_up(payload_bytes(format, kChunk), 64) + 64;
    codes_ = backend_->allocate(kRows * pitch).value();
    std::mt19937 random(11);
    std::normal_distribution<float> normal(0, 20);
    for (std::size_t i = 0; i < kRows; ++i) {
      std::byte* row = codes_.data + i * pitch;
      rows_.push_back(row);
      for (std::size_t k = 0; k < kChunk; ++k) {
        const float value = std::clamp(normal(random), -127.0f, 127.0f);
        if (format.codec == Codec::kF32)
          store(MutableBytes(row, pitch), 4 * k, value / 1024);
        else
          row[k] = static_cast<std::byte>(static_cast<std::int8_t>(value));
      }
    }
    exponents_.assign(kChunk >> 8, -10);
    sum_ = backend_->allocate(kChunk * sizeof(std::int64_t)).value();
  }

  kernels::Backend& backend() { return *backend_; }
  std::int64_t* sum() { return sum_.as<std::int64_t>(); }
  kernels::Codes chunk(std::size_t n, std::size_t d) {
    first_ = 0;
    return next_chunk(n, d);
  }
  /// The same of the rows after those of the last chunk, so that a small cohort does not stay in a
  /// cache that a large one does not fit.
  kernels::Codes next_chunk(std::size_t n, std::size_t d) {
    cohort_.resize(n);
    for (std::size_t i = 0; i < n; ++i) cohort_[i] = rows_[(first_ + i) % kRows];
    first_ = (first_ + n) % kRows;
    return {format_, d, cohort_, exponents_};
  }

 private:
  ChunkFormat format_;
  std::unique_ptr<kernels::Backend> backend_;
  kernels::Buffer codes_, sum_;
  std::vector<const std::byte*> rows_, cohort_;
  std::vector<std::int8_t> exponents_;
  std::size_t first_ = 0;
};

}  // namespace muster::bench
