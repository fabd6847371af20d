#include "cli/demo_screen.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace muster::cli {
namespace {

constexpr std::size_t kBarColumns = 28;
constexpr const char* kWipe = "\r\x1b[K";
constexpr const char* kBold = "\x1b[1m";
constexpr const char* kDim = "\x1b[2m";
constexpr const char* kPlain = "\x1b[0m";

std::string bar(double share, std::size_t columns) {
  const auto filled = static_cast<std::size_t>(
      std::lround(std::clamp(share, 0.0, 1.0) * static_cast<double>(columns)));
  std::string text;
  for (std::size_t i = 0; i < columns; ++i) text += i < filled ? "█" : "░";
  return text;
}

}  // namespace

std::string loss_text(double loss) {
  if (!std::isfinite(loss)) return "diverged";
  return loss < 1000 ? fmt::format("{:.3f}", loss) : fmt::format("{:.1e}", loss);
}

void DemoScreen::wipe() {
  if (bar_) out_ << kWipe;
  bar_ = false;
}

void DemoScreen::say(const std::string& line) {
  wipe();
  out_ << line << '\n' << std::flush;
}

void DemoScreen::begin(std::size_t number, std::size_t count, const std::string& label) {
  say(fmt::format("\n{}{} of {}: {}{}", terminal_ ? kBold : "", number, count, label,
                  terminal_ ? kPlain : ""));
  say(fmt::format("{}{:>5} {:>8} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7}{}", terminal_ ? kDim : "",
                  "round", "cohort", "refused", "norm", "seconds", "loss", "top-1", "top-3",
                  terminal_ ? kPlain : ""));
}

void DemoScreen::progress(std::uint32_t round, std::uint32_t rounds, std::size_t done,
                          std::size_t phones) {
  if (!terminal_) return;
  wipe();
  out_ << fmt::format("{:>5}  {}  {} of {} phones, round {} of {}", round,
                      bar(static_cast<double>(done) / static_cast<double>(phones), kBarColumns),
                      done, phones, round, rounds)
       << std::flush;
  bar_ = true;
}

void DemoScreen::row(const DemoRow& row) {
  std::string line =
      fmt::format("{:>5} {:>8} {:>8} {:>8.2f} {:>8.1f} {:>9} {:>6.1f}% {:>6.1f}%", row.round,
                  row.cohort, row.refused, row.norm, row.seconds, loss_text(row.evaluation.loss),
                  100 * row.evaluation.top1, 100 * row.evaluation.top3);
  if (terminal_) line += "  " + bar(row.evaluation.top3, kBarColumns / 2);
  say(line);
}

}  // namespace muster::cli
