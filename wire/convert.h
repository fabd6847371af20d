// From verified tables to plain structs: limits and self-contained meaning. Inside wire/ only.
#pragma once

#include "wire/message.h"
#include "wire/message_generated.h"

namespace muster::wire {

/// `root` comes from verify(). kOk and `message` is filled, or the reason and it is not to be used.
Reason convert(const fb::Message& root, Message& message);

}  // namespace muster::wire
