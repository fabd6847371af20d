// What came of a load test: counts, latencies from the moment each thing was due, and every
// receipt.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "loadtest/latency.h"
#include "wire/ids.h"

namespace muster::loadtest {

/// Latencies of one phase, each from when it was due.
struct PhaseLatencies {
  LatencyHistogram lag;               ///< due to begun: the simulator's own delay
  LatencyHistogram connect;           ///< turn to Welcome, of devices that had to connect
  LatencyHistogram acknowledge;       ///< update ready to receipt
  LatencyHistogram acknowledge_sent;  ///< the same from when its last byte was handed over
  LatencyHistogram round;             ///< turn to receipt: connect, check in, fetch, waits, upload

  void merge(const PhaseLatencies& other);
};

/// How the turns of devices ended; each ends one way.
struct Counts {
  std::uint64_t due = 0;      ///< turns that came
  std::uint64_t skipped = 0;  ///< of these: every device was still busy (dropped load)
  std::uint64_t acknowledged = 0;
  std::uint64_t dropped_out = 0;  ///< vanished on purpose, in mid-upload
  std::uint64_t refused = 0;      ///< by reason in Outcome::refusals
  std::uint64_t put_off = 0;      ///< never got work within their patience
  std::uint64_t too_late = 0;     ///< the round was over before the update was there
  std::uint64_t unanswered = 0;   ///< sent whole, and no answer: a lost receipt, or a dead server
  std::uint64_t cut_short = 0;    ///< still at it when the test ended
  std::uint64_t bytes = 0;        ///< of payloads handed to the network
  std::uint64_t resent = 0;       ///< duplicates on purpose, and after silence
  std::uint64_t connects = 0;

  void merge(const Counts& other);
  std::uint64_t ended() const {
    return skipped + acknowledged + dropped_out + refused + put_off + too_late + unanswered +
           cut_short;
  }
};

/// A receipt, and which update of the pool it is for.
struct Receipted {
  UpdateId id;
  std::uint32_t update = 0;
};

struct Outcome {
  std::vector<PhaseLatencies> phases;
  Counts counts;
  std::map<std::string, std::uint64_t> refusals;  ///< by reason token, put-offs included
  std::map<std::pair<TaskId, RoundNumber>, std::vector<Receipted>> receipts;
  Nanoseconds last_receipt = 0;  ///< since the first phase began
  double busiest = 0;            ///< largest share of a core one worker used while it measured

  void merge(Outcome&& other);
};

}  // namespace muster::loadtest
