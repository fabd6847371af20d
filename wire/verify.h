// The structure of a header frame, before anything in it is believed. Inside wire/ only.
#pragma once

#include "base/bytes.h"
#include "wire/message.h"
#include "wire/message_generated.h"
#include "wire/reason.h"

namespace muster::wire {

/// What the generated code may assume of a frame: every address this far apart from a multiple is.
inline constexpr std::size_t kFrameAlignment = 8;

/// Root of a sound frame, or why there is none (never both).
struct Verified {
  Reason reason = Reason::kOk;
  const fb::Message* root = nullptr;
};

/// `frame` lies at a multiple of kFrameAlignment, is shorter than 2 GiB, and outlives the root. In
/// a root returned, every known field may be read through the generated accessors, the kind is one
/// of ours, its table is there, and no two objects share a byte (two tables may share a whole
/// vtable).
Verified verify(ConstBytes frame);

}  // namespace muster::wire
