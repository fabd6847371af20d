#include "base/codec.h"
#include "ingest/intake.h"

namespace muster::ingest {

IntakeStats::IntakeStats(Stats& stats)
    : received(stats.counter("muster_updates_received_total")),
      accepted(stats.counter("muster_updates_accepted_total")),
      duplicates(stats.counter("muster_updates_duplicate_total")),
      assigned(stats.counter("muster_check_ins_total", {{"answer", "assignment"}})),
      put_off(stats.counter("muster_check_ins_total", {{"answer", "retry_after"}})),
      receipt_seconds(stats.histogram("muster_receipt_duration_seconds")) {
  for (const wire::ReasonText& row : wire::reasons())
    if (row.reason != wire::Reason::kOk)
      rejected.push_back(&stats.counter("muster_updates_rejected_total", {{"reason", row.token}}));
    else
      rejected.push_back(nullptr);
  for (std::uint8_t codec = 0; codec < kCodecCount; ++codec)
    bytes.push_back(&stats.counter("muster_ingest_bytes_total",
                                   {{"codec", std::string(codec_name(Codec{codec}))}}));
}

Counter& IntakeStats::rejected_for(wire::Reason reason) {
  const std::span rows = wire::reasons();
  std::size_t row = 0;
  while (row < rows.size() && rows[row].reason != reason) ++row;
  MUSTER_CHECK_OP(row, <, rows.size());
  MUSTER_CHECK(rejected[row] != nullptr);
  return *rejected[row];
}

}  // namespace muster::ingest
