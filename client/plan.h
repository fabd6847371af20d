// What an assignment says about chunks, once it has been checked: a device trusts its server no
// more than the server trusts devices.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "wire/message.h"

namespace muster::client {

/// "protocol" for an assignment that no correct server makes: sizes beyond the limits, an unknown
/// codec, a missing exponent table.
Status check_assignment(const wire::Assignment& assignment);

/// Of a checked assignment.
std::uint32_t chunk_count(const wire::Assignment& assignment);
/// Coordinates of one chunk of it.
std::uint32_t coordinates_of(const wire::Assignment& assignment, std::uint32_t chunk);

}  // namespace muster::client
