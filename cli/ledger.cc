#include "privacy/ledger.h"

#include <fmt/format.h>

#include <charconv>
#include <memory>
#include <ostream>

#include "base/hex.h"
#include "cli/commands.h"
#include "cli/table.h"

namespace muster::cli {
namespace {

using nlohmann::json;

Result<privacy::LedgerContents> read(const std::string& path) {
  PosixStorage storage;
  return privacy::read_ledger(storage, path);
}

/// "BYTES:CHAIN", as `show` prints it.
Result<privacy::Anchor> parse_anchor(const std::string& text) {
  privacy::Anchor anchor;
  const char* end = text.data() + text.size();
  const auto [next, error] = std::from_chars(text.data(), end, anchor.bytes);
  if (error != std::errc() || next == end || *next != ':')
    return Status(Code::kInvalid, "usage", "an anchor is BYTES:CHAIN, as `ledger show` prints it");
  MUSTER_ASSIGN(anchor.head, privacy::parse_digest(std::string_view(next + 1, end)));
  return anchor;
}

std::string anchor_text(const privacy::Anchor& anchor) {
  return fmt::format("{}:{}", anchor.bytes, hex(anchor.head));
}

Status show(Session& session, const std::string& path) {
  MUSTER_ASSIGN(const auto contents, read(path));
  session.show(json::parse(privacy::ledger_json(contents)), [&](std::ostream& out) {
    const privacy::Budget& budget = contents.budget;
    const double spent = privacy::epsilon(contents.spent(), budget.delta);
    print_facts(out,
                {{"population", budget.population},
                 {"budget", fmt::format("epsilon {:.6g} at delta {:.3g}, {}", budget.epsilon,
                                        budget.delta, privacy::adjacency_name(budget.adjacency))},
                 {"spent", fmt::format("epsilon {:.6g}", spent)},
                 {"anchor", anchor_text(contents.end())},
                 {"flaw", std::string(contents.flaw.message())}});
    out << '\n';
    Table table({{"TASK"}, {"ROUND", true}, {"EPSILON", true}, {"STATEMENT"}});
    privacy::Amounts sum;
    for (const auto& entry : contents.entries) {
      sum = sum + entry.charge.amounts;
      table.add({entry.charge.task, std::to_string(entry.charge.round),
                 fmt::format("{:.6g}", privacy::epsilon(sum, budget.delta)),
                 entry.charge.statement});
    }
    table.print(out, session.bold());
  });
  return {};
}

Status verify(Session& session, const std::string& path, const std::string& anchor_option) {
  MUSTER_ASSIGN(const auto contents, read(path));
  if (!anchor_option.empty()) {
    MUSTER_ASSIGN(const privacy::Anchor anchor, parse_anchor(anchor_option));
    MUSTER_TRY(privacy::verify(contents, contents.end().bytes, anchor).with_context(path));
  }
  MUSTER_TRY(Status(contents.flaw).with_context(path));
  const std::string anchor = anchor_text(contents.end());
  session.show({{"valid", true},
                {"charges", contents.entries.size()},
                {"anchor", anchor},
                {"anchored", !anchor_option.empty()}},
               [&](std::ostream& out) {
                 out << fmt::format("{} charges, chain whole{}\nanchor {}\n",
                                    contents.entries.size(),
                                    anchor_option.empty() ? "; not compared with an anchor"
                                                          : ", holds the anchor given",
                                    anchor);
               });
  return {};
}

Status export_ledger(Session& session, const std::string& path) {
  MUSTER_ASSIGN(const auto contents, read(path));
  session.out() << privacy::ledger_json(contents);
  return {};
}

}  // namespace

void add_ledger(CLI::App& app, Session& session) {
  CLI::App& group = add_group(app, "ledger", "Read privacy ledgers (needs no server)",
                              "muster ledger show muster-data/keyboard.ledger");
  const auto add = [&](const std::string& name, const std::string& description) {
    auto path = std::make_shared<std::string>();
    CLI::App& verb =
        add_verb(group, name, description, "muster ledger " + name + " keyboard.ledger");
    verb.add_option("FILE", *path, "The ledger")->required()->option_text(" ");
    return std::pair<CLI::App&, std::shared_ptr<std::string>>(verb, path);
  };
  const auto shown = add("show", "Budget, spend and charges");
  on_run(shown.first, session, [&session, path = shown.second] { return show(session, *path); });
  const auto verified = add("verify", "Check the chain, and that it holds an anchor");
  auto anchor = std::make_shared<std::string>();
  verified.first.add_option("--anchor", *anchor, "BYTES:CHAIN, kept elsewhere")->option_text("A");
  on_run(verified.first, session,
         [&session, path = verified.second, anchor] { return verify(session, *path, *anchor); });
  const auto exported = add("export", "The whole ledger as JSON");
  on_run(exported.first, session,
         [&session, path = exported.second] { return export_ledger(session, *path); });
}

}  // namespace muster::cli
