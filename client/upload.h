// An update on its way to the server, chunk by chunk, until its receipt.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "client/session.h"

namespace muster::client {

/// One submit of one update. Used once; the same nonce may be submitted again by another Upload.
class Upload {
 public:
  Upload(Session& session, const wire::Assignment& assignment, const EncodedUpdate& update,
         std::uint32_t weight, std::uint64_t nonce);
  Result<Receipt> run();

 private:
  /// Sends chunks still to go, at most a burst; asks what is missing where a burst ends before the
  /// update does, so that at most a burst is unaccounted for.
  Status send_burst();
  Status send_chunk(std::uint32_t chunk);
  Status query();
  std::optional<Receipt> find(const wire::Receipt& receipt) const;
  Status take(const wire::MissingChunks& missing);
  Status take(const wire::Refusal& refusal);
  /// After silence or a reconnect.
  Status resume();

  Session& session_;
  const wire::Assignment& assignment_;
  const EncodedUpdate& update_;
  std::uint32_t weight_;
  std::uint64_t nonce_;
  std::uint64_t device_;
  Persistence persistence_;
  std::vector<bool> to_go_;  ///< per chunk: to be sent (again)
  std::uint32_t to_go_count_;
  std::uint32_t fewest_missing_;  ///< that a MissingChunks ever named
  std::uint32_t query_ = 0;       ///< request number of the open query; 0: none
  Nanoseconds hold_until_ = 0;    ///< the server asked for a pause
};

}  // namespace muster::client
