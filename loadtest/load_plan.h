// What a load test does to a server: fleets of devices that do not train, hostile peers, phases.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "loadtest/arrivals.h"
#include "loadtest/attack_rows.h"

namespace muster::loadtest {

/// Kinds of devices; each sets what a FleetPlan begins with (profile_plan).
enum class Profile : std::uint8_t {
  kPhones,     ///< many short connections, drop-outs, stragglers, slow links
  kCars,       ///< connections that stay and break together
  kHospitals,  ///< few, steady, nothing lost
  kGateways,   ///< a few connections that speak for many devices
};
/// "phones", "cars", "hospitals", "gateways".
std::string_view profile_name(Profile profile);
std::optional<Profile> parse_profile(std::string_view name);

struct FleetPlan {
  std::string name;
  Profile profile = Profile::kPhones;
  std::uint32_t devices = 100;
  std::uint32_t connections = 8;  ///< gateways: shared by the devices; else one a device
  bool stays = false;             ///< a connection outlives the device's turn
  bool connected = false;         ///< all connect when the phase begins, paced over its settling
  bool checks_in = true;          ///< each device asks for its work; else the connection once
  bool fetches = true;            ///< each device fetches the model first
  std::uint64_t turns = 0;        ///< so many in a phase; 0: as long as it lasts
  std::optional<Rate> rate;       ///< devices that turn up; none: they only hold connections
  bool poisson = true;
  double drop_out = 0;    ///< share that vanishes in mid-upload
  double duplicates = 0;  ///< share that sends everything twice
  double stragglers = 0;  ///< share that is ready only `straggle` after the others
  Nanoseconds straggle = 2 * kSecond;
  Nanoseconds think = 0;  ///< from assignment to update: what training would take
  double slow_links = 0;  ///< share whose uploads crawl at link_bytes a second
  std::uint64_t link_bytes = 64 * 1024;
  Nanoseconds storm_every = 0;  ///< 0: never; else storm_share of the connections break at once
  double storm_share = 0;       ///< and come back at once
  double hostile_share = 0;
  RowAttack attack = RowAttack::kSignFlip;

  bool gateway() const { return profile == Profile::kGateways; }
  std::uint32_t links() const { return gateway() ? connections : devices; }
};
FleetPlan profile_plan(Profile profile);

/// Peers that do not speak the protocol (hostile_peers.h).
enum class PeerKind : std::uint8_t { kGarbage, kSlowLoris, kOversized, kHalfOpen, kIdle };
/// "garbage", "slow_loris", "oversized", "half_open", "idle".
std::string_view peer_kind_name(PeerKind kind);
std::optional<PeerKind> parse_peer_kind(std::string_view name);

struct PeersPlan {
  std::string name;
  PeerKind kind = PeerKind::kHalfOpen;
  std::uint32_t count = 100;  ///< at once; who is cut comes back
  Nanoseconds come_back = 200 * kMillisecond;
};

struct Phase {
  std::string name;
  Nanoseconds settle = 0;                    ///< goes before; nothing is measured in it
  Nanoseconds duration = 0;                  ///< measured
  std::vector<std::uint32_t> fleets, peers;  ///< which take part, by index
};

struct LoadPlan {
  std::string task;
  std::vector<FleetPlan> fleets;
  std::vector<PeersPlan> peers;
  std::vector<Phase> phases;
  std::uint64_t seed = 1;
  std::uint32_t distinct = 256;  ///< different honest updates there are
  std::uint32_t cohort = 100;    ///< n of attacks that depend on it
  CohortRule rule = {};          ///< the task's, for attacks that are aimed at it
  Nanoseconds reply_timeout = 5 * kSecond;
  int attempts = 8;                     ///< sends of one thing before a device gives up
  Nanoseconds patience = 60 * kSecond;  ///< of a device that is put off, and of the last answers

  bool one_round =
      false;  ///< for ever, as a null sink has it: devices take part in it again and again

  Nanoseconds length() const;  ///< of all phases
};

/// Highest sum of rates of the fleets of one phase, devices a second.
double peak_rate(const LoadPlan& plan);

}  // namespace muster::loadtest
