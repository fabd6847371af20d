#include <cmath>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <sstream>

#include "cli/commands.h"
#include "cli/metric_list.h"
#include "cli/table.h"

namespace muster::cli {
namespace {

using nlohmann::json;

constexpr long kScrapeSeconds = 10;

/// `name="value",...` without the braces, undoing the escapes of the exposition format.
json read_labels(std::string_view text) {
  json labels = json::object();
  while (!text.empty()) {
    const std::size_t equals = text.find("=\"");
    if (equals == text.npos) break;
    const std::string name(text.substr(0, equals));
    text.remove_prefix(equals + 2);
    std::string value;
    while (!text.empty() && text.front() != '"') {
      if (text.front() == '\\' && text.size() > 1) {
        text.remove_prefix(1);
        value += text.front() == 'n' ? '\n' : text.front();
      } else {
        value += text.front();
      }
      text.remove_prefix(1);
    }
    labels[name] = value;
    if (!text.empty()) text.remove_prefix(1);
    if (text.starts_with(',')) text.remove_prefix(1);
  }
  return labels;
}

/// One line a sample; JSON has no infinities, so those stay text.
json read_samples(const std::string& exposition) {
  json samples = json::array();
  std::istringstream lines(exposition);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = line.rfind(' ');
    if (line.empty() || line.front() == '#' || space == line.npos) continue;
    const std::string series = line.substr(0, space), text = line.substr(space + 1);
    const std::size_t brace = series.find('{');
    json sample{{"name", series.substr(0, brace)}};
    if (brace != series.npos)
      sample["labels"] =
          read_labels(std::string_view(series).substr(brace + 1, series.size() - brace - 2));
    const double value = std::strtod(text.c_str(), nullptr);
    sample["value"] = std::isfinite(value) ? json(value) : json(text);
    samples.push_back(std::move(sample));
  }
  return samples;
}

Status show_metrics(Session& session) {
  MUSTER_ASSIGN(const json status, session.admin().get("/v1/status"));
  MUSTER_ASSIGN(const std::string text,
                fetch_text(word(status, "metrics"), "/metrics", kScrapeSeconds));
  session.show({{"samples", session.json ? read_samples(text) : json()}},
               [&text](std::ostream& out) { out << text; });
  return Status();
}

}  // namespace

void add_metrics(CLI::App& app, Session& session) {
  CLI::App& metrics =
      add_verb(app, "metrics", "Print the metrics, or what they mean", "muster metrics --list");
  auto list = std::make_shared<bool>(false), page = std::make_shared<bool>(false);
  metrics.add_flag("--list", *list, "The catalogue; asks no server");
  metrics.add_flag("--markdown", *page, "The same as docs/metrics.md");
  on_run(metrics, session, [&session, list, page]() -> Status {
    if (*page) {
      session.out() << catalogue_page();
      return {};
    }
    if (!*list) return show_metrics(session);
    show_catalogue(session);
    return {};
  });
}

}  // namespace muster::cli
