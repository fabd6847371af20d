// Who was in the rounds of a private task, by the keyed hash of the transport's identity: what the
// limits k and b are enforced with. Bounded; the control store holds the same rows.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ingest/round_spec.h"
#include "privacy/correlated.h"
#include "server/control_store.h"

namespace muster::server {

class Participants {
 public:
  Participants(privacy::Participation limit, std::uint32_t most) : limit_(limit), most_(most) {}

  void load(std::vector<ParticipantRow> rows);
  /// These devices, each once, were in release `release`.
  void count(std::span<const DeviceHash> devices, std::uint32_t release);
  /// Who may not be in release `release`, of at most `cohort` devices.
  ingest::KeptOut kept_out(std::uint64_t release, std::uint32_t cohort) const;
  std::size_t size() const { return rows_.size(); }

  /// Host memory at most, bytes: the table, a copy while it grows, and the lists ingest holds.
  static std::size_t bytes(std::uint32_t most) {
    return std::size_t{most} * (2 * sizeof(ParticipantRow) + 2 * sizeof(DeviceHash));
  }

 private:
  privacy::Participation limit_;
  std::uint32_t most_;
  std::vector<ParticipantRow> rows_;  ///< ascending device
};

}  // namespace muster::server
