#include "server/private_noise.h"

#include <algorithm>

#include "privacy/apply.h"
#include "privacy/keys.h"
#include "server/wiped_buffer.h"

namespace muster::server {
namespace {

constexpr auto kStream = kernels::Stream::kCompute;

}  // namespace

Status RoundNoise::add(kernels::Backend& backend, std::uint32_t vector,
                       const privacy::NoiseGrid& grid, std::int64_t* sum, std::size_t d) const {
  if (filter_ == nullptr || vector != privacy::kReleaseVector) {
    privacy::add_noise(backend, key_, vector, grid, sum, d);
    for (const privacy::Secret& key : dropped_)
      privacy::add_noise(backend, key, vector, grid, sum, d, -1);
    return {};
  }
  // Drawn on the backend, filtered on the host in f64, added on the backend as integers.
  MUSTER_ASSIGN(const WipedBuffer drawn, WipedBuffer::allocate(backend, d * sizeof(std::int64_t)));
  privacy::add_noise(backend, key_, vector, grid, drawn.as<std::int64_t>(), d);
  std::vector<std::int64_t> noise(d);
  const auto bytes = std::as_writable_bytes(std::span(noise));
  backend.download(bytes, drawn.data(), kStream);
  filter_->next(noise);
  backend.upload(drawn.data(), bytes, kStream);
  // Exact: noise stays far below the 2^53 that f64 holds (|z| < 2^44, a filter gains little).
  backend.merge({drawn.as<std::int64_t>(), 0, 1, sum, d}, kStream);
  backend.wait(backend.record(kStream));
  std::fill(noise.begin(), noise.end(), 0);
  return {};
}

}  // namespace muster::server
