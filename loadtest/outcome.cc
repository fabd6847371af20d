#include "loadtest/outcome.h"

#include <algorithm>

namespace muster::loadtest {

void PhaseLatencies::merge(const PhaseLatencies& other) {
  lag.merge(other.lag);
  connect.merge(other.connect);
  acknowledge.merge(other.acknowledge);
  acknowledge_sent.merge(other.acknowledge_sent);
  round.merge(other.round);
}

void Counts::merge(const Counts& other) {
  due += other.due;
  skipped += other.skipped;
  acknowledged += other.acknowledged;
  dropped_out += other.dropped_out;
  refused += other.refused;
  put_off += other.put_off;
  too_late += other.too_late;
  unanswered += other.unanswered;
  cut_short += other.cut_short;
  bytes += other.bytes;
  resent += other.resent;
  connects += other.connects;
}

void Outcome::merge(Outcome&& other) {
  phases.resize(std::max(phases.size(), other.phases.size()));
  for (std::size_t i = 0; i < other.phases.size(); ++i) phases[i].merge(other.phases[i]);
  counts.merge(other.counts);
  for (const auto& [reason, count] : other.refusals) refusals[reason] += count;
  for (auto& [round, list] : other.receipts) {
    auto& mine = receipts[round];
    mine.insert(mine.end(), list.begin(), list.end());
    list = {};
  }
  busiest = std::max(busiest, other.busiest);
  last_receipt = std::max(last_receipt, other.last_receipt);
}

}  // namespace muster::loadtest
