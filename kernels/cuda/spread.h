// One range of addresses for a group of GPUs: which device has what, by address alone. Nothing lies
// at these addresses; they stand for memory of the devices.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <vector>

#include "base/status.h"
#include "kernels/cuda/arena.h"

namespace muster::kernels::cuda {

/// A buffer of the group. Either cut by chunk, piece p on device p modulo their number, or whole on
/// each of them; of a whole one `holder` says who has the bytes it stands for.
struct Spread {
  std::byte* base = nullptr;  ///< what it is called by
  std::size_t bytes = 0;
  std::size_t piece_bytes = 0;     ///< 0: whole
  std::vector<std::byte*> locals;  ///< where it begins on each device

  enum class Holder {
    kAll,
    kOne,       ///< `device`; the others have what it was before
    kSum,       ///< what it stands for is the sum of all of them, i64
    kExactSum,  ///< the same of f64 that nothing rounds
  };
  Holder holder = Holder::kAll;
  std::size_t device = 0;

  /// What is known of the f64 in it: all are multiples of 4^least_exponent, and their magnitudes
  /// stay below `magnitude`. Only of a matrix that began as zeros.
  bool measured = true;
  double magnitude = 0;
  int least_exponent = 0;

  bool cut() const { return piece_bytes != 0; }
  bool holds(const std::byte* address) const {
    return address >= base && (address < base + bytes || address == base);
  }
  std::size_t device_of(const std::byte* address) const;
  /// On `device`, which for a cut one is device_of(address).
  std::byte* at(const std::byte* address, std::size_t device) const;
  /// Bytes from `address` to the end of its piece, or of the buffer.
  std::size_t left(const std::byte* address) const;
  /// Bytes of it on `device`.
  static std::size_t share(std::size_t bytes, std::size_t piece_bytes, std::size_t device,
                           std::size_t devices);
};

/// One thread at a time.
class AddressRange {
 public:
  /// Reserves addresses and no memory.
  static Result<std::unique_ptr<AddressRange>> reserve(std::size_t bytes);
  ~AddressRange();
  AddressRange(const AddressRange&) = delete;
  AddressRange& operator=(const AddressRange&) = delete;

  /// Names a buffer; null where no addresses are left.
  Spread* add(std::size_t bytes, std::size_t piece_bytes, std::vector<std::byte*> locals);
  void remove(const Spread& spread);
  /// Whose address it is; null: of none.
  Spread* find(const std::byte* address);

 private:
  AddressRange(std::byte* base, std::size_t bytes)
      : base_(base), bytes_(bytes), free_(base, bytes) {}

  std::byte* base_;
  std::size_t bytes_;
  Arena free_;
  std::map<const std::byte*, Spread> spreads_;
  Spread* last_ = nullptr;  ///< rows of one buffer come in hundreds
};

}  // namespace muster::kernels::cuda
