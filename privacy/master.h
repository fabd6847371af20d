// The master secrets of a node: what the keys of its rounds are wrapped under on disk.
#pragma once

#include <string>
#include <vector>

#include "privacy/keys.h"

namespace muster::privacy {

using WrappedBytes = std::array<std::byte, kWrappedBytes>;

/// A list for rotation: the first one wraps, all of them open. Never empty.
class MasterKeys {
 public:
  /// One file each (read_master_secret()). "master_secret_missing" names the file that is not
  /// there.
  static Result<MasterKeys> read(Storage& storage, const std::vector<std::string>& paths);
  /// Of one secret.
  explicit MasterKeys(Secret only);

  /// The one that wraps, also what noise keys are derived from.
  const Secret& first() const { return secrets_.front(); }
  std::size_t count() const { return secrets_.size(); }

  WrappedBytes wrap(const Secret& key, ConstBytes context) const;
  struct Opened {
    Secret key;
    bool by_first = true;  ///< else it should be wrapped anew: its master secret is on its way out
  };
  /// "key_not_opened" where none of them opens it.
  Result<Opened> open(ConstBytes wrapped, ConstBytes context) const;

 private:
  MasterKeys() = default;
  std::vector<Secret> secrets_;
};

/// What the spool key of a round is bound to when it is wrapped: nothing else opens with it.
std::vector<std::byte> spool_key_context(std::uint32_t task, std::uint64_t round);

}  // namespace muster::privacy
