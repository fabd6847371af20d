#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "base/hex.h"
#include "privacy/ledger.h"

namespace muster::privacy {
namespace {

/// Ledger texts are printable ASCII, so two characters need care.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('"');
  return out;
}

/// JSON has no infinity.
std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{:.17g}", value) : "null";
}

void append_amounts(std::string& out, const Amounts& amounts) {
  auto end = std::back_inserter(out);
  fmt::format_to(end, R"("rho": {}, "shift": {}, "releases": {}, "curve": [)", amounts.rho,
                 amounts.shift, amounts.releases);
  for (std::size_t i = 0; i < amounts.curve.size(); ++i)
    fmt::format_to(end, "{}{}", i == 0 ? "" : ", ", amounts.curve[i]);
  out.push_back(']');
}

}  // namespace

std::string ledger_json(const LedgerContents& contents) {
  std::string out;
  auto end = std::back_inserter(out);
  const Budget& budget = contents.budget;
  fmt::format_to(end,
                 "{{\n  \"format\": 1,\n  \"population\": {},\n  \"adjacency\": \"{}\",\n"
                 "  \"budget_epsilon\": {},\n  \"delta\": {},\n  \"unit\": {},\n  \"orders\": [",
                 quoted(budget.population), adjacency_name(budget.adjacency),
                 number(budget.epsilon), number(budget.delta), number(std::ldexp(1.0, -kUnitBits)));
  for (std::size_t i = 0; i < kLedgerOrders.size(); ++i)
    fmt::format_to(end, "{}{}", i == 0 ? "" : ", ", kLedgerOrders[i]);
  fmt::format_to(end, "],\n  \"opened\": {{\"bytes\": {}, \"chain\": \"{}\"}},\n  \"charges\": [",
                 contents.opened.bytes, hex(contents.opened.head));
  Amounts spent;
  for (std::size_t i = 0; i < contents.entries.size(); ++i) {
    const auto& [charge, after] = contents.entries[i];
    spent = spent + charge.amounts;
    fmt::format_to(end,
                   "{}\n    {{\"task\": {}, \"round\": {}, \"time_ms\": {}, \"statement\": {}, "
                   "\"binding\": \"{}\", ",
                   i == 0 ? "" : ",", quoted(charge.task), charge.round, charge.time_ms,
                   quoted(charge.statement), hex(charge.binding));
    append_amounts(out, charge.amounts);
    fmt::format_to(end, ", \"epsilon_after\": {}, \"bytes\": {}, \"chain\": \"{}\"}}",
                   number(epsilon(spent, budget.delta)), after.bytes, hex(after.head));
  }
  fmt::format_to(end, "\n  ],\n  \"epsilon_spent\": {},\n  \"flaw\": {}\n}}\n",
                 number(epsilon(spent, budget.delta)),
                 contents.flaw.ok() ? "null" : quoted(contents.flaw.message()));
  return out;
}

}  // namespace muster::privacy
