#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <ostream>
#include <thread>

#include "cli/commands.h"
#include "cli/top_frame.h"

namespace muster::cli {
namespace {

using nlohmann::json;

constexpr double kLeastSeconds = 0.1, kMostSeconds = 3600;
/// The screen that leaves what was there before untouched, and the way back.
constexpr const char* kEnter = "\x1b[?1049h\x1b[?25l";
constexpr const char* kLeave = "\x1b[?25h\x1b[?1049l";

struct TopOptions {
  bool once = false;
  double seconds = 2;
  std::uint32_t frames = 0;
};

std::atomic<bool> interrupted{false};

/// Waits, but not past an interrupt by more than a moment.
void rest(double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!interrupted && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

json frame_document(const json& status, const TopRates& rates) {
  json document = status;
  document["updates_per_second"] = rates.updates_per_second;
  document["bytes_per_second"] = rates.bytes_per_second;
  return document;
}

/// One look, or two where rates are wanted: a script gets one document and is done.
Status show_once(Session& session, double seconds) {
  MUSTER_ASSIGN(const json before, session.admin().get("/v1/status"));
  rest(seconds);
  MUSTER_ASSIGN(const json now, session.admin().get("/v1/status"));
  const TopRates rates = top_rates(before, now);
  session.show(frame_document(now, rates),
               [&](std::ostream& out) { out << top_frame(now, rates, session.bold()); });
  return Status();
}

std::string on_screen(const std::string& frame) {
  std::string out = "\x1b[H";
  for (const char c : frame) out += c == '\n' ? "\x1b[K\r\n" : std::string(1, c);
  return out + "\x1b[J";
}

Status watch(Session& session, const TopOptions& options) {
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) { interrupted = true; };
  ::sigaction(SIGINT, &action, &before);
  const bool screen = session.bold();
  if (screen) session.out() << kEnter << std::flush;
  json last = json::object();
  Status status;
  for (std::uint32_t frame = 0; !interrupted; ++frame) {
    if (options.frames != 0 && frame == options.frames) break;
    if (frame > 0) rest(options.seconds);
    if (interrupted) break;
    auto now = session.admin().get("/v1/status");
    if (!now.ok()) {
      status = now.status();
      if (!screen) break;
      session.out() << on_screen(std::string(status.message()) + "\ntrying again\n") << std::flush;
      continue;
    }
    status = Status();
    const std::string text = top_frame(*now, top_rates(last, *now), screen);
    session.out() << (screen ? on_screen(text) : text) << std::flush;
    last = std::move(*now);
  }
  if (screen) session.out() << kLeave << std::flush;
  ::sigaction(SIGINT, &before, nullptr);
  return interrupted ? Status() : status;
}

}  // namespace

void add_top(CLI::App& app, Session& session) {
  CLI::App& verb = add_verb(app, "top", "Watch the server in the terminal (Ctrl-C ends)",
                            "muster top --once --json");
  auto options = std::make_shared<TopOptions>();
  verb.add_flag("--once", options->once, "One frame, for scripts; --json means it");
  verb.add_option("--interval", options->seconds, "Seconds between frames")
      ->option_text("SECONDS")
      ->check(CLI::Range(kLeastSeconds, kMostSeconds));
  verb.add_option("--frames", options->frames, "End after so many")->option_text("N");
  on_run(verb, session, [&session, options] {
    return options->once || session.json ? show_once(session, options->seconds)
                                         : watch(session, *options);
  });
}

}  // namespace muster::cli
