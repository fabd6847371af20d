#include "kernels/cuda/group_memory.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/check.h"

namespace muster::kernels::cuda {

Spread& GroupMemory::spread(const void* address) {
  Spread* const found = range_->find(static_cast<const std::byte*>(address));
  MUSTER_CHECK(found != nullptr);
  return *found;
}

Result<Buffer> GroupMemory::allocate(std::size_t bytes, std::size_t piece_bytes) {
  std::vector<std::byte*> locals;
  Status failure;
  for (std::size_t device = 0; device < devices_.size() && failure.ok(); ++device) {
    const auto share =
        devices_[device]->allocate(Spread::share(bytes, piece_bytes, device, devices_.size()));
    if (share.ok())
      locals.push_back(share->data);
    else
      failure = share.status().with_context("GPU " + std::to_string(device));
  }
  Spread* const made = failure.ok() ? range_->add(bytes, piece_bytes, locals) : nullptr;
  if (made != nullptr) return Buffer{made->base, bytes};
  for (std::size_t device = 0; device < locals.size(); ++device)
    devices_[device]->release({locals[device], 0});
  if (!failure.ok()) return failure;
  return Status(Code::kExhausted, "backend_memory", "no addresses left for a group of GPUs");
}

bool GroupMemory::release(Buffer buffer) {
  Spread* const found = range_->find(buffer.data);
  if (found == nullptr) return false;
  for (std::size_t device = 0; device < devices_.size(); ++device)
    devices_[device]->release({found->locals[device], 0});
  range_->remove(*found);
  return true;
}

void GroupMemory::upload(std::byte* target, ConstBytes source, Stream stream) {
  while (!source.empty()) {
    Spread& into = spread(target);
    const std::size_t count = std::min(into.left(target), source.size());
    if (into.cut()) {
      const std::size_t device = into.device_of(target);
      devices_[device]->upload(into.at(target, device), source.first(count), stream);
    } else {
      settle(into);
      for (std::size_t device = 0; device < devices_.size(); ++device)
        devices_[device]->upload(into.at(target, device), source.first(count), stream);
      if (count == into.bytes) into.holder = Spread::Holder::kAll;
      into.measured = false;
    }
    target += count;
    source = source.subspan(count);
  }
}

void GroupMemory::download(MutableBytes target, const std::byte* source, Stream stream) {
  if (target.empty())  // to wait for the stream
    for (const auto& device : devices_) device->download(target, nullptr, stream);
  while (!target.empty()) {
    Spread& from = spread(source);
    const std::size_t count = std::min(from.left(source), target.size());
    if (!from.cut()) settle(from);
    std::size_t device = from.holder == Spread::Holder::kOne ? from.device : 0;
    if (from.cut()) device = from.device_of(source);
    devices_[device]->download(target.first(count), from.at(source, device), stream);
    source += count;
    target = target.subspan(count);
  }
}

void GroupMemory::fill_zero(std::byte* target, std::size_t bytes, Stream stream) {
  while (bytes > 0) {
    Spread& into = spread(target);
    const std::size_t count = std::min(into.left(target), bytes);
    for (std::size_t device = 0; device < devices_.size(); ++device)
      if (!into.cut() || into.device_of(target) == device)
        devices_[device]->fill_zero(into.at(target, device), count, stream);
    // A sum of zeros is zero: part of a sum may be cleared as it is.
    if (!into.cut() && count == into.bytes) {
      into.holder = Spread::Holder::kAll;
      into.measured = true;
      into.magnitude = 0;
    }
    target += count;
    bytes -= count;
  }
}

std::size_t GroupMemory::place(std::initializer_list<const void*> addresses,
                               std::span<const std::byte* const> rows) {
  std::optional<std::size_t> chunk, alone;
  const auto look = [&](const void* address) {
    if (address == nullptr) return;
    const Spread& of = spread(address);
    if (of.cut()) {
      const std::size_t device = of.device_of(static_cast<const std::byte*>(address));
      MUSTER_CHECK(!chunk || *chunk == device);  // a job on coordinates of one chunk
      chunk = device;
    } else if (of.holder == Spread::Holder::kOne) {
      alone = of.device;
    }
  };
  for (const void* address : addresses) look(address);
  for (const std::byte* row : rows) look(row);
  if (chunk) return *chunk;
  if (alone) return *alone;
  return turn_++ % devices_.size();
}

void GroupMemory::settle(Spread& of) {
  const auto all = [&]<class T>(T) {
    std::vector<T*> copies;
    for (std::byte* local : of.locals) copies.push_back(reinterpret_cast<T*>(local));
    return copies;
  };
  if (of.holder == Spread::Holder::kSum)
    collective_.sum(all(std::int64_t{}), of.bytes / sizeof(std::int64_t));
  else if (of.holder == Spread::Holder::kExactSum)
    collective_.sum_exact(all(double{}), of.bytes / sizeof(double));
  else
    return;
  of.holder = Spread::Holder::kAll;
}

const std::byte* GroupMemory::bring(const void* address, std::size_t device) {
  if (address == nullptr) return nullptr;
  Spread& of = spread(address);
  settle(of);
  if (of.holder == Spread::Holder::kOne && of.device != device) {
    collective_.broadcast(of.locals, of.bytes, of.device);
    of.holder = Spread::Holder::kAll;
  }
  return of.at(static_cast<const std::byte*>(address), device);
}

std::byte* GroupMemory::take(const void* address, std::size_t device) {
  if (address == nullptr) return nullptr;
  const std::byte* const there = bring(address, device);
  Spread& of = spread(address);
  of.measured = false;
  if (!of.cut()) {
    of.holder = Spread::Holder::kOne;
    of.device = device;
  }
  return const_cast<std::byte*>(there);
}

std::byte* GroupMemory::part(const void* address, std::size_t device, Spread::Holder kind) {
  Spread& of = spread(address);
  const auto* at = static_cast<const std::byte*>(address);
  if (!of.cut() && of.holder != kind) {
    settle(of);
    const std::size_t holder = of.holder == Spread::Holder::kOne ? of.device : 0;
    for (std::size_t other = 0; other < devices_.size(); ++other)
      if (other != holder) devices_[other]->fill_zero(of.locals[other], of.bytes, Stream::kCompute);
    of.holder = kind;
  }
  return of.at(at, device);
}

double* GroupMemory::add_products_to(double* address, const GramJob& job, std::size_t device) {
  Spread& of = spread(address);
  const Codes& codes = job.codes;
  const bool shared = !of.cut() && has_shared_scales(codes.format.codec) && job.centre == nullptr;
  if (shared && of.measured && codes.d > 0) {
    const auto exponents =
        codes.scale_exponents.first(divide_up(codes.d, std::size_t{1} << codes.format.log2_block));
    const auto [least, most] = std::minmax_element(exponents.begin(), exponents.end());
    // |code| <= 2^7, so a product is at most 2^14 units of its scales.
    const double magnitude =
        of.magnitude + std::ldexp(static_cast<double>(codes.d), 14 + 2 * *most);
    const int unit = of.magnitude > 0 ? std::min<int>(of.least_exponent, *least) : *least;
    if (magnitude < std::ldexp(1.0, 53 + 2 * unit)) {
      of.magnitude = magnitude;
      of.least_exponent = unit;
      return reinterpret_cast<double*>(part(address, device, Spread::Holder::kExactSum));
    }
  }
  return change(address, device);
}

Codes GroupMemory::read(const Codes& codes, std::size_t device,
                        std::vector<const std::byte*>& rows) {
  rows.clear();
  rows.reserve(codes.n());
  for (const std::byte* row : codes.rows) rows.push_back(bring(row, device));
  Codes there = codes;
  there.rows = rows;
  return there;
}

std::size_t GroupMemory::stretch(const void* address, std::size_t element_bytes,
                                 std::size_t count) {
  if (address == nullptr) return count;
  const std::size_t whole =
      spread(address).left(static_cast<const std::byte*>(address)) / element_bytes;
  MUSTER_CHECK(whole > 0);
  return std::min(whole, count);
}

}  // namespace muster::kernels::cuda
