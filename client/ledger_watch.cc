#include <algorithm>

#include "base/hex.h"
#include "client/client.h"

namespace muster::client {

std::string anchor_text(const LedgerHead& head) {
  return std::to_string(head.bytes) + ":" + hex(head.chain);
}

Status LedgerWatch::note(const Receipt& receipt) {
  // The receipt of an earlier round, come late, shows an earlier ledger.
  if (!receipt.ledger || receipt.round < round_) return {};
  const bool back =
      newest_ &&
      (receipt.ledger->bytes < newest_->bytes ||
       (receipt.ledger->bytes == newest_->bytes && receipt.ledger->chain != newest_->chain));
  if (back)
    return {Code::kCorrupt, "ledger_went_back",
            "the server's privacy ledger was at " + anchor_text(*newest_) + " in round " +
                std::to_string(round_) + " and at " + anchor_text(*receipt.ledger) + " in round " +
                std::to_string(receipt.round) +
                ": what was spent may be spent again. Ask the operator before taking part again"};
  round_ = receipt.round;
  newest_ = receipt.ledger;
  return {};
}

}  // namespace muster::client
