// A model on its way to the device, chunk by chunk.
#pragma once

#include <cstdint>
#include <vector>

#include "client/session.h"

namespace muster::client {

/// One fetch of one model version. Used once.
class Download {
 public:
  Download(Session& session, const wire::Assignment& assignment);
  Result<std::vector<float>> run();

 private:
  enum class State : std::uint8_t { kWanted, kAsked, kHere };

  Status ask_for_more();
  /// Takes what came in; whether it brought us forward.
  Result<bool> take(const Incoming& reply);
  /// Forgets what was asked for: it will be asked for again after a wait.
  Status start_again(Status why);

  Session& session_;
  const wire::Assignment& assignment_;
  Persistence persistence_;
  std::vector<float> model_;
  std::vector<State> states_;
  std::uint32_t asked_ = 0;
  std::uint32_t here_ = 0;
  std::uint32_t next_ = 0;  ///< nothing below it is wanted
};

}  // namespace muster::client
