#include <cstdint>
#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/table.h"

namespace muster::cli {
namespace {

using nlohmann::json;

constexpr std::uint32_t kDefaultLimit = 20;
constexpr std::uint32_t kMostRounds = 10'000;

struct RoundOptions {
  std::string task, round = "current";
  std::uint32_t limit = kDefaultLimit;
};

std::string rounds_path(const std::string& task) { return "/v1/tasks/" + escape(task) + "/rounds"; }

/// A round number, or "current".
Status check_round(const std::string& round) {
  const bool number =
      !round.empty() && round.size() <= 19 && round.find_first_not_of("0123456789") == round.npos;
  if (number || round == "current") return Status();
  return Status(Code::kInvalid, "usage", "'" + round + "' is not a round number or 'current'");
}

Status list_rounds(Session& session, const RoundOptions& options) {
  MUSTER_ASSIGN(json answer, session.admin().get(rounds_path(options.task) +
                                                 "?limit=" + std::to_string(options.limit)));
  MUSTER_ASSIGN(const json rounds, objects_of(answer, "rounds"));
  session.show(std::move(answer), [&](std::ostream& out) {
    Table table({{"ROUND", true},
                 {"STATE"},
                 {"COHORT", true},
                 {"N", true},
                 {"F", true},
                 {"INVALID", true},
                 {"MODEL", true},
                 {"SECONDS", true},
                 {"OPENED"}});
    for (const json& round : rounds)
      table.add({word(round, "round"), word(round, "state"), word(round, "cohort"),
                 word(round, "n"), word(round, "f"), word(round, "invalid"),
                 word(round, "model_version"), word(round, "seconds"),
                 utc_word(round, "opened_ms")});
    table.print(out, session.bold());
  });
  return Status();
}

Status show_round(Session& session, const RoundOptions& options) {
  MUSTER_TRY(check_round(options.round));
  MUSTER_ASSIGN(const json round,
                session.admin().get(rounds_path(options.task) + "/" + options.round));
  session.show(round, [&round](std::ostream& out) {
    print_facts(out, {{"round", word(round, "round")},
                      {"state", word(round, "state")},
                      {"cohort", word(round, "cohort")},
                      {"n", word(round, "n")},
                      {"f", word(round, "f")},
                      {"invalid", word(round, "invalid")},
                      {"refused", round.contains("refused") ? word(round, "refused") : ""},
                      {"trained from", "version " + word(round, "model_version")},
                      {"model sha256", word(round, "model_sha256")},
                      {"opened", utc_word(round, "opened_ms")},
                      {"closed", utc_word(round, "closed_ms")},
                      {"seconds", word(round, "seconds")}});
    const auto found = round.find("record");
    if (found == round.end() || !found->is_object()) return;
    json record = *found;
    // What a private release says beside the model, in the words for a person.
    if (record.contains("privacy_text")) {
      out << "\nprivacy\n" << word(record, "privacy_text");
      record.erase("privacy_text");
      record.erase("privacy");
    }
    out << "\nrecord\n" << record.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
  });
  return Status();
}

Status close_round(Session& session, const RoundOptions& options) {
  MUSTER_TRY(check_round(options.round));
  MUSTER_ASSIGN(json answer,
                session.admin().post(rounds_path(options.task) + "/" + options.round + "/close",
                                     json::object()));
  const std::string sentence = "round " + word(answer, "round") + " of " + word(answer, "task") +
                               " is " + word(answer, "state");
  session.show(std::move(answer), [&](std::ostream& out) { out << printable(sentence) << '\n'; });
  return Status();
}

}  // namespace

void add_round(CLI::App& app, Session& session) {
  CLI::App& round =
      add_group(app, "round", "List, show and close rounds", "muster round ls keyboard");
  const auto add_task_option = [](CLI::App& verb, RoundOptions& options) {
    verb.add_option("TASK", options.task, "Name of the task")->required()->option_text(" ");
  };

  CLI::App& list =
      add_verb(round, "ls", "List the newest rounds", "muster round ls keyboard --limit 5");
  auto listed = std::make_shared<RoundOptions>();
  add_task_option(list, *listed);
  list.add_option("--limit", listed->limit, "At most so many (default 20)")
      ->check(CLI::Range(1U, kMostRounds))
      ->option_text("N");
  on_run(list, session, [&session, listed] { return list_rounds(session, *listed); });

  CLI::App& show =
      add_verb(round, "show", "Show one round and its record", "muster round show keyboard 12");
  auto shown = std::make_shared<RoundOptions>();
  add_task_option(show, *shown);
  show.add_option("N", shown->round, "Its number")->required()->option_text(" ");
  on_run(show, session, [&session, shown] { return show_round(session, *shown); });

  CLI::App& close = add_verb(round, "close", "Close a round now, at the cohort it has",
                             "muster round close keyboard");
  auto closed = std::make_shared<RoundOptions>();
  add_task_option(close, *closed);
  close.add_option("N", closed->round, "Its number (default: the open one)")->option_text(" ");
  on_run(close, session, [&session, closed] { return close_round(session, *closed); });
}

}  // namespace muster::cli
