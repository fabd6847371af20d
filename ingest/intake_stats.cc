#include "base/codec.h"
#include "ingest/intake.h"

namespace muster::ingest {

IntakeStats::IntakeStats(Stats& stats)
    : received(stats.counter("muster_updates_received_total",
                             "Update chunks received, of sound structure")),
      accepted(stats.counter("muster_updates_accepted_total", "Updates complete and durable")),
      duplicates(stats.counter("muster_updates_duplicate_total",
                               "Resent chunks answered with the receipt again")),
      assigned(stats.counter("muster_check_ins_total", "Check-ins answered",
                             {{"answer", "assignment"}})),
      put_off(stats.counter("muster_check_ins_total", "Check-ins answered",
                            {{"answer", "retry_after"}})),
      receipt_seconds(stats.histogram("muster_receipt_duration_seconds",
                                      "From an update's last chunk to its durable receipt",
                                      latency_bounds())) {
  for (const wire::ReasonText& row : wire::reasons())
    rejected.push_back(&stats.counter("muster_updates_rejected_total", "Messages refused",
                                      {{"reason", row.token}}));
  for (std::uint8_t codec = 0; codec < kCodecCount; ++codec)
    bytes.push_back(&stats.counter("muster_ingest_bytes_total", "Payload bytes admitted",
                                   {{"codec", std::string(codec_name(Codec{codec}))}}));
}

Counter& IntakeStats::rejected_for(wire::Reason reason) {
  const std::span rows = wire::reasons();
  std::size_t row = 0;
  while (row < rows.size() && rows[row].reason != reason) ++row;
  MUSTER_CHECK_OP(row, <, rows.size());
  return *rejected[row];
}

}  // namespace muster::ingest
