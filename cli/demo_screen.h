// The demo's table, a line a round, with a progress bar under it while a round runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>

#include "loadtest/trainer.h"

namespace muster::cli {

struct DemoRow {
  std::uint32_t round = 0;
  std::uint32_t cohort = 0;   ///< updates that counted
  std::uint32_t refused = 0;  ///< phones refused, and updates the server left out
  double norm = 0;            ///< L2 norm of the model's step
  double seconds = 0;
  loadtest::Evaluation evaluation;
};

/// Writes from one thread. The bar needs a terminal; elsewhere there are plain lines only.
class DemoScreen {
 public:
  DemoScreen(std::ostream& out, bool terminal) : out_(out), terminal_(terminal) {}

  void say(const std::string& line);
  /// Title and column heads of a run; numbering "2 of 4".
  void begin(std::size_t number, std::size_t count, const std::string& label);
  void progress(std::uint32_t round, std::uint32_t rounds, std::size_t done, std::size_t phones);
  void row(const DemoRow& row);

 private:
  void wipe();

  std::ostream& out_;
  bool terminal_;
  bool bar_ = false;  ///< a bar is on the last line
};

/// "2.345", "1.2e+06", "diverged".
std::string loss_text(double loss);

}  // namespace muster::cli
