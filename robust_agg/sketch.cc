#include "robust_agg/sketch.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "robust_agg/execution.h"

namespace muster::robust {
namespace {

constexpr std::size_t kScaleBlock = std::size_t{1} << kSketchFormat.log2_block;
constexpr std::size_t kScales = kSketchCells / kScaleBlock;
constexpr std::size_t kRowBytes = kScales * sizeof(float) + kSketchCells;
static_assert(kRowBytes % 64 == 0);
/// Of the update that is being added.
constexpr std::size_t kSumBytes = kSketchCells * sizeof(std::int64_t);

std::size_t total_bytes(const Plan& plan) {
  return plan.keeps_total ? plan.rule_dimension * sizeof(std::int64_t) : 0;
}

std::size_t blocks_of_chunk_of(const Plan& plan) {
  return divide_up<std::size_t>(plan.rule_chunk, kernels::kSketchBlock);
}

/// The least e for which every |sum| / 2^e rounds to at most 127.
int code_exponent(std::span<const std::int64_t> sums) {
  std::int64_t largest = 0;
  for (const std::int64_t sum : sums) largest = std::max(largest, std::abs(sum));
  int e = std::max(0, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(largest))) - 7);
  if (e > 0 && (largest + (std::int64_t{1} << (e - 1))) >> e > 127) ++e;
  return e;
}

void pack(std::span<const std::int64_t> sums, int unit_bits, std::byte* row) {
  for (std::size_t block = 0; block < kScales; ++block) {
    const auto cells = sums.subspan(block * kScaleBlock, kScaleBlock);
    const int e = code_exponent(cells);
    const float scale = std::ldexp(1.0f, e - unit_bits);
    std::memcpy(row + block * sizeof scale, &scale, sizeof scale);
    // Half a step is added to the magnitude, so that rounding has no direction.
    const std::int64_t half = e > 0 ? std::int64_t{1} << (e - 1) : 0;
    std::byte* codes = row + kScales * sizeof scale + block * kScaleBlock;
    for (std::size_t k = 0; k < kScaleBlock; ++k) {
      const std::int64_t sign = cells[k] >> 63;
      const std::int64_t magnitude = (((cells[k] ^ sign) - sign) + half) >> e;
      codes[k] = static_cast<std::byte>((magnitude ^ sign) - sign);
    }
  }
}

}  // namespace

std::uint64_t keyed_word(SketchKey key, std::uint64_t counter) {
  std::uint64_t v0 = key.low ^ 0x736f6d6570736575, v1 = key.high ^ 0x646f72616e646f6d;
  std::uint64_t v2 = key.low ^ 0x6c7967656e657261, v3 = key.high ^ 0x7465646279746573;
  const auto rounds = [&](int count) {
    for (; count > 0; --count) {
      v0 += v1, v2 += v3;
      v1 = std::rotl(v1, 13) ^ v0, v3 = std::rotl(v3, 16) ^ v2;
      v0 = std::rotl(v0, 32);
      v2 += v1, v0 += v3;
      v1 = std::rotl(v1, 17) ^ v2, v3 = std::rotl(v3, 21) ^ v0;
      v2 = std::rotl(v2, 32);
    }
  };
  for (const std::uint64_t word : {counter, std::uint64_t{8} << 56}) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  v2 ^= 0xff;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

int sketch_unit_bits(float value_bound) {
  int exponent = 0;
  std::frexp(value_bound, &exponent);  // value_bound < 2^exponent
  return std::clamp(30 - exponent, -100, 100);
}

Result<SketchPattern> SketchPattern::create(kernels::Backend& backend, const Plan& plan,
                                            SketchKey key) {
  const std::size_t blocks_of_chunk = blocks_of_chunk_of(plan);
  const std::size_t blocks = blocks_of_chunk * plan.chunk_count;
  std::vector<std::uint64_t> signs(blocks);
  std::vector<std::uint32_t> places(blocks);
  constexpr std::uint64_t kPlaces = (kSketchCells - kernels::kSketchBlock) / 8 + 1;
  // Few blocks drawn over one another would err by all they hold, far beyond any deviation. Where
  // all have room side by side there is nothing to draw, and inner products err by rounding only.
  const bool side_by_side = blocks * kernels::kSketchBlock <= kSketchCells;
  for (std::size_t b = 0; b < blocks; ++b) {
    signs[b] = keyed_word(key, 2 * b);
    if (side_by_side) {
      places[b] = static_cast<std::uint32_t>(b * kernels::kSketchBlock);
      continue;
    }
    // The high half of a product with 32 random bits: no place is likelier than another by 2^-23.
    const std::uint64_t random = keyed_word(key, 2 * b + 1) >> 32;
    places[b] = static_cast<std::uint32_t>((random * kPlaces >> 32) * 8);
  }
  MUSTER_ASSIGN(ScopedBuffer sign_buffer,
                ScopedBuffer::allocate(backend, blocks * sizeof(std::uint64_t)));
  MUSTER_ASSIGN(ScopedBuffer place_buffer,
                ScopedBuffer::allocate(backend, blocks * sizeof(std::uint32_t)));
  backend.upload(sign_buffer.data(), std::as_bytes(std::span(signs)), kernels::Stream::kCompute);
  backend.upload(place_buffer.data(), std::as_bytes(std::span(places)), kernels::Stream::kCompute);
  finish_jobs(backend);
  return SketchPattern(std::move(sign_buffer), std::move(place_buffer), blocks_of_chunk,
                       sketch_unit_bits(plan.request.value_bound));
}

kernels::SketchJob SketchPattern::job(std::uint32_t index, const kernels::Codes& codes,
                                      std::int64_t* target) const {
  const std::size_t first = index * blocks_of_chunk_;
  return {codes,
          kSketchCells,
          signs_.as<std::uint64_t>() + first,
          places_.as<std::uint32_t>() + first,
          unit_bits_,
          target};
}

std::size_t SketchPattern::bytes(const Plan& plan) {
  constexpr std::size_t kBlockBytes = sizeof(std::uint64_t) + sizeof(std::uint32_t);
  return kBlockBytes * plan.chunk_count * blocks_of_chunk_of(plan);
}

Result<SketchStore> SketchStore::create(kernels::Backend& backend, std::uint32_t capacity) {
  MUSTER_ASSIGN(ScopedBuffer buffer, ScopedBuffer::allocate(backend, bytes(capacity)));
  return SketchStore(backend, std::move(buffer), capacity);
}

std::size_t SketchStore::bytes(std::uint32_t capacity) { return capacity * kRowBytes; }

std::uint32_t SketchStore::add(const std::int64_t* sums, int unit_bits) {
  MUSTER_CHECK_OP(size_, <, capacity_);
  std::byte* row = buffer_.data() + size_ * kRowBytes;
  if (backend_->host_visible()) {
    finish_jobs(*backend_);
    pack({sums, kSketchCells}, unit_bits, row);
  } else {
    sums_.resize(kSketchCells);
    backend_->download(std::as_writable_bytes(std::span(sums_)),
                       reinterpret_cast<const std::byte*>(sums), kernels::Stream::kCompute);
    std::byte packed[kRowBytes];
    pack(sums_, unit_bits, packed);
    backend_->upload(row, packed, kernels::Stream::kCompute);
    finish_jobs(*backend_);
  }
  return size_++;
}

const std::byte* SketchStore::row(std::uint32_t index) const {
  MUSTER_CHECK_OP(index, <, size_);
  return buffer_.data() + index * kRowBytes;
}

Result<SketchFold> SketchFold::create(kernels::Backend& backend, const Plan& plan, SketchKey key,
                                      std::uint32_t capacity) {
  MUSTER_ASSIGN(SketchPattern pattern, SketchPattern::create(backend, plan, key));
  MUSTER_ASSIGN(SketchStore store, SketchStore::create(backend, capacity));
  MUSTER_ASSIGN(ScopedBuffer sums, ScopedBuffer::allocate(backend, together(plan) * kSumBytes));
  MUSTER_ASSIGN(ScopedBuffer decoded,
                ScopedBuffer::allocate(backend, plan.decoded_pitch * sizeof(float)));
  MUSTER_ASSIGN(ScopedBuffer total,
                ScopedBuffer::allocate_by_chunk(backend, total_bytes(plan),
                                                plan.rule_chunk * sizeof(std::int64_t)));
  backend.fill_zero(total.data(), total_bytes(plan), kernels::Stream::kCompute);
  return SketchFold(backend, plan, std::move(pattern), std::move(store), std::move(sums),
                    std::move(decoded), std::move(total));
}

std::size_t SketchFold::bytes(const Plan& plan, std::uint32_t capacity) {
  return SketchStore::bytes(capacity) + SketchPattern::bytes(plan) + together(plan) * kSumBytes +
         plan.decoded_pitch * sizeof(float) + total_bytes(plan);
}

void SketchFold::add_to_total(std::uint32_t chunk, const kernels::Codes& codes,
                              std::span<const double> factors) {
  const std::vector<std::int64_t> ones(factors.size(), 1);
  backend_->accumulate({codes, factors, ones, plan_->grid_bits,
                        total_.as<std::int64_t>() + chunk_begin(*plan_, chunk)},
                       kernels::Stream::kCompute);
}

Status SketchFold::take(std::uint32_t chunk, const Chunks& chunk_of) {
  MUSTER_ASSIGN(const kernels::Codes sent, chunk_of(chunk));
  MUSTER_CHECK_OP(sent.d, ==, model_chunk_length(*plan_, chunk));
  MUSTER_CHECK_OP(sent.n(), ==, added_.size());
  const kernels::Codes codes =
      as_rules_take(*plan_, *backend_, sent, decoded_.as<float>(), decoded_address_);
  backend_->inspect({codes, plan_->request.value_bound, summaries_}, kernels::Stream::kCompute);
  backend_->sketch(pattern_.job(chunk, codes, sums_.as<std::int64_t>()), kernels::Stream::kCompute);
  std::vector<double> factors(added_.size());
  for (std::size_t i = 0; i < added_.size(); ++i) {
    norms_[i] += summaries_[i].squared_norm;
    added_[i].non_finite += summaries_[i].non_finite;
    added_[i].out_of_bound += summaries_[i].out_of_bound;
    added_[i].valid = added_[i].valid && summaries_[i].valid();
    if (!added_[i].valid) continue;
    factors[i] = 1;
    ++chunks_in_total_[i];
  }
  if (plan_->keeps_total) add_to_total(chunk, codes, factors);
  return {};
}

/// Takes the first chunks of those that turned out invalid later out of the total again.
Status SketchFold::withdraw(const Chunks& chunk_of) {
  std::uint32_t last = 0;
  for (std::size_t i = 0; i < added_.size(); ++i)
    if (!added_[i].valid) last = std::max(last, chunks_in_total_[i]);
  for (std::uint32_t c = 0; c < last; ++c) {
    MUSTER_ASSIGN(const kernels::Codes sent, chunk_of(c));
    std::vector<double> factors(added_.size());
    for (std::size_t i = 0; i < added_.size(); ++i)
      if (!added_[i].valid && c < chunks_in_total_[i]) factors[i] = -1;
    add_to_total(c, as_rules_take(*plan_, *backend_, sent, decoded_.as<float>(), decoded_address_),
                 factors);
  }
  return {};
}

Result<std::span<const SketchFold::Added>> SketchFold::add(std::size_t n, const Chunks& chunk_of) {
  MUSTER_CHECK_OP(n, <=, together(*plan_));
  added_.assign(n, {});
  norms_.assign(n, 0);
  chunks_in_total_.assign(n, 0);
  summaries_.assign(n, {});
  backend_->fill_zero(sums_.data(), n * kSumBytes, kernels::Stream::kCompute);
  for (std::uint32_t c = 0; c < plan_->chunk_count; ++c) MUSTER_TRY(take(c, chunk_of));
  if (plan_->keeps_total) MUSTER_TRY(withdraw(chunk_of));
  for (std::size_t i = 0; i < n; ++i) {
    std::int64_t* const sums = sums_.as<std::int64_t>() + i * kSketchCells;
    if (!added_[i].valid)
      backend_->fill_zero(reinterpret_cast<std::byte*>(sums), kSumBytes, kernels::Stream::kCompute);
    added_[i].norm = std::sqrt(norms_[i]);
    added_[i].index = store_.add(sums, sketch_unit_bits(plan_->request.value_bound));
    squared_norms_.push_back(added_[i].valid ? norms_[i] : 0);
    valid_.push_back(added_[i].valid);
  }
  return std::span<const Added>(added_);
}

}  // namespace muster::robust
