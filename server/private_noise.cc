#include "server/private_noise.h"

#include <algorithm>

#include "privacy/apply.h"
#include "privacy/keys.h"
#include "server/wiped_buffer.h"

namespace muster::server {
namespace {

constexpr auto kStream = kernels::Stream::kCompute;
constexpr std::size_t kBlockBytes = NoiseMemory::kBlock * sizeof(std::int64_t);

}  // namespace

Status RoundNoise::add(kernels::Backend& backend, std::uint32_t vector,
                       const privacy::NoiseGrid& grid, std::int64_t* sum, std::size_t d) const {
  if (blt_ && vector == privacy::kReleaseVector) return add_filtered(backend, grid, sum);
  privacy::add_noise(backend, key_, vector, grid, sum, d);
  for (const privacy::Secret& key : dropped_)
    privacy::add_noise(backend, key, vector, grid, sum, d, -1);
  return {};
}

// Drawn on the backend, filtered on the host in f64, added on the backend as integers.
Status RoundNoise::add_filtered(kernels::Backend& backend, const privacy::NoiseGrid& grid,
                                std::int64_t* sum) const {
  MUSTER_ASSIGN(const WipedBuffer drawn, WipedBuffer::allocate(backend, kBlockBytes));
  std::vector<std::int64_t> block(NoiseMemory::kBlock);
  const std::size_t buffers = blt_->blt.theta.size();
  const auto step = [&](std::uint64_t first, std::span<double> state) -> Status {
    const std::size_t count = state.size() / buffers;
    const std::span<std::int64_t> noise = std::span(block).first(count);
    const MutableBytes bytes = std::as_writable_bytes(noise);
    privacy::BltFilter filter(blt_->blt, count);
    filter.restore(state);
    const auto draw = [&](const privacy::Secret& key) {
      backend.fill_zero(drawn.data(), bytes.size(), kStream);
      privacy::add_noise(backend, key, privacy::kReleaseVector, grid, drawn.as<std::int64_t>(),
                         count, 1, first);
      backend.download(bytes, drawn.data(), kStream);
      filter.next(noise);
    };
    for (const privacy::Secret& key : blt_->unreleased) draw(key);
    draw(key_);
    std::ranges::copy(filter.state(), state.begin());
    backend.upload(drawn.data(), bytes, kStream);
    // Exact: noise stays far below the 2^53 that f64 holds (|z| < 2^44, a filter gains little).
    backend.merge({drawn.as<std::int64_t>(), 0, 1, sum + first, count}, kStream);
    backend.wait(backend.record(kStream));
    return {};
  };
  const NoiseMemoryAt before{blt_->before, blt_->before_key ? &*blt_->before_key : nullptr};
  const Status advanced = blt_->memory.advance(before, {blt_->release, &*blt_->memory_key}, step);
  privacy::wipe(std::as_writable_bytes(std::span(block)));
  return advanced;
}

}  // namespace muster::server
