// The optional zstd stage of payloads. What was received stays compressed in slot and spool;
// whoever needs the codes inflates them.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/codec.h"
#include "wire/reason.h"

namespace muster::ingest {

/// One thread at a time.
class Inflater {
 public:
  Inflater();
  ~Inflater();

  /// raw = the content of `frame`: one zstd frame and nothing behind it, whose header names a
  /// content size of exactly raw.size(), a window of at most 8 MiB and no dictionary. Else
  /// kZstdInvalid.
  wire::Reason inflate(ConstBytes frame, MutableBytes raw);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Whether a payload of this length is a zstd frame: where the round allows them, every payload
/// that is shorter than its codes.
bool is_deflated(ChunkFormat format, std::size_t d, std::size_t payload_length);

}  // namespace muster::ingest
