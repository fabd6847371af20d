// The buffers of a group of GPUs, and how jobs find them: where a job runs, its addresses there,
// and the moves that bring what is elsewhere.
#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "kernels/collective.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/spread.h"

namespace muster::kernels::cuda {

/// One thread at a time.
class GroupMemory {
 public:
  using Devices = std::vector<std::unique_ptr<DeviceBackend>>;
  /// All outlive it.
  GroupMemory(Devices& devices, Collective& collective, std::unique_ptr<AddressRange> range)
      : devices_(devices), collective_(collective), range_(std::move(range)) {}

  /// Zeroed. `piece_bytes` 0: whole on each.
  Result<Buffer> allocate(std::size_t bytes, std::size_t piece_bytes);
  /// False: not one of these.
  bool release(Buffer buffer);

  void upload(std::byte* target, ConstBytes source, Stream stream);
  void download(MutableBytes target, const std::byte* source, Stream stream);
  void fill_zero(std::byte* target, std::size_t bytes, Stream stream);

  /// Where a job that touches these addresses (null ones do not count) and rows runs: where their
  /// chunk is; else where one of them is alone; else anywhere, in turn. Dies on two chunks.
  std::size_t place(std::initializer_list<const void*> addresses,
                    std::span<const std::byte* const> rows = {});
  /// What is read, on `device`, brought there if need be.
  template <class T>
  const T* read(const T* address, std::size_t device) {
    return reinterpret_cast<const T*>(bring(address, device));
  }
  /// What is changed: brought, and from now on nowhere else.
  template <class T>
  T* change(T* address, std::size_t device) {
    return reinterpret_cast<T*>(take(address, device));
  }
  /// What is only added to, in integers: each device adds to its own.
  std::int64_t* add_to(std::int64_t* address, std::size_t device) {
    return reinterpret_cast<std::int64_t*>(part(address, device, Spread::Holder::kSum));
  }
  /// What a Gram job adds to: its own, if with this job everything in the matrix is still exact.
  double* add_products_to(double* address, const GramJob& job, std::size_t device);
  /// The same codes on `device`; the addresses go to `rows`.
  Codes read(const Codes& codes, std::size_t device, std::vector<const std::byte*>& rows);

  /// Elements from `address` on that lie in one piece, at most `count`. Null: all.
  std::size_t stretch(const void* address, std::size_t element_bytes, std::size_t count);

 private:
  Spread& spread(const void* address);
  const std::byte* bring(const void* address, std::size_t device);
  std::byte* take(const void* address, std::size_t device);
  std::byte* part(const void* address, std::size_t device, Spread::Holder kind);
  /// Makes sums one value that all have.
  void settle(Spread& spread);

  Devices& devices_;
  Collective& collective_;
  std::unique_ptr<AddressRange> range_;
  std::size_t turn_ = 0;
};

}  // namespace muster::kernels::cuda
