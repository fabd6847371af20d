// What correlated noise remembers from release to release (BLT, algorithms 7.8), on disk: the
// buffers of privacy::BltFilter after a release, encrypted under a key of that release. A file is
// complete before its release can be read, and the one before stays until it has been: after a
// crash a round begins again from what it began with. Whoever reads a file can lift part of the
// noise of past releases, so it is guarded, and destroyed, like the noise keys.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/storage.h"
#include "privacy/secret.h"
#include "wire/ids.h"

namespace muster::server {

/// The memory after one release. `key` outlives the call it is passed to.
struct NoiseMemoryAt {
  std::uint64_t release = 0;  ///< 0: nothing yet, all buffers are zero, no key
  const privacy::Secret* key = nullptr;
};

/// Of one task, `buffers` f64 a coordinate. One thread (the engine).
class NoiseMemory {
 public:
  /// Coordinates that are in memory at once.
  static constexpr std::size_t kBlock = 1 << 15;

  /// `folder`: of this task alone. `storage` outlives it.
  NoiseMemory(Storage& storage, std::string folder, TaskId task, std::size_t buffers,
              std::uint64_t dimension)
      : storage_(storage),
        folder_(std::move(folder)),
        task_(task),
        buffers_(buffers),
        dimension_(dimension) {}

  const std::string& folder() const { return folder_; }
  /// Makes the folder, durably.
  Status make_folder() const;

  /// The newest release not after `release` whose memory is here; 0: none.
  Result<std::uint64_t> newest(std::uint64_t release) const;

  /// Brings coordinates first, first + 1, ... one release on; `state` holds their buffers, one run
  /// of all coordinates a buffer.
  using Step = std::function<Status(std::uint64_t first, std::span<double> state)>;
  /// From one release to a later one, block by block; durable when it returns OK. The same values
  /// and key give the same bytes. "noise_memory_corrupt" where `before` is not what was written.
  Status advance(const NoiseMemoryAt& before, const NoiseMemoryAt& after, const Step& step) const;

  /// Removes what is older than `release`.
  Status forget_before(std::uint64_t release) const;

 private:
  std::string path(std::uint64_t release) const;
  /// Releases whose memory is here, ascending.
  Result<std::vector<std::uint64_t>> releases() const;

  Storage& storage_;
  std::string folder_;
  TaskId task_;
  std::size_t buffers_;
  std::uint64_t dimension_;
};

}  // namespace muster::server
