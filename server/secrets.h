// The node's master secrets: where they come from, whether they are the right ones, and the keys of
// rounds that they open.
#pragma once

#include "base/storage.h"
#include "ingest/round_keys.h"
#include "privacy/master.h"
#include "server/config.h"
#include "server/control_store.h"

namespace muster::server {

/// Reads the configured master secrets and holds them against what this node wrapped before; what
/// only a later one of the list opens is wrapped anew under the first, in one step. Where none is
/// configured, the one beside the data is made at the first start. Refusals:
/// "master_secret_missing", "master_secret_exposed" (others may read it), "master_secret_invalid",
/// "master_secret_wrong" (none of them opens what is there), "credential_unknown".
Result<privacy::MasterKeys> open_master_keys(Storage& storage, const Config& config,
                                             ControlStore& control);

/// What a wrapped key is bound to: with another purpose, task or round it does not open.
std::vector<std::byte> key_context(const WrappedKey& key);

/// Puts the spool keys of all rounds that have one to use.
Status load_round_keys(const privacy::MasterKeys& masters, ControlStore& control,
                       ingest::RoundKeys& keys);

/// A fresh key for the updates of a round: to use in `keys`, and wrapped for open_round().
Result<privacy::WrappedBytes> new_round_key(const privacy::MasterKeys& masters, TaskId task,
                                            RoundNumber round, ingest::RoundKeys& keys);

}  // namespace muster::server
