// The report of a load test: one page that needs nothing else.
#include <fmt/format.h>

#include <algorithm>

#include "cli/load_plot.h"
#include "cli/load_result.h"

namespace muster::cli {
namespace {

using loadtest::LatencyHistogram;

constexpr const char* kStyle = R"(
:root{--page:#fbfbf9;--card:#fff;--ink:#1b1d1f;--soft:#5c6166;--rule:#e2e2dc;--band0:#f1f3ef;--band1:#e5e9e3;
--s1:#2563b0;--s2:#c2560c;--s3:#2b8a57;--s4:#8a3fa8;--s5:#b02a4c;--good:#1d7a46;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--page:#16181a;--card:#1e2124;--ink:#e8e8e4;--soft:#a2a7ab;--rule:#34383c;
--band0:#1b1f22;--band1:#252b2e;--s1:#6aa5f0;--s2:#f0965a;--s3:#5fc78f;--s4:#c98be6;--s5:#ef7895;--good:#5fc78f;--bad:#f28b82}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
main{max-width:1360px;margin:0 auto;padding:28px 24px 60px}h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:34px 0 10px}
.sub{color:var(--soft);margin:0 0 18px}.verdict{display:inline-block;font-weight:600;padding:2px 10px;border-radius:4px;color:var(--page)}
.good{background:var(--good)}.bad{background:var(--bad)}.met{color:var(--good);font-weight:600}.missed{color:var(--bad);font-weight:600}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:12px}.card{background:var(--card);border:1px solid var(--rule);
border-radius:6px;padding:12px 14px}.card b{display:block;font-size:22px;font-variant-numeric:tabular-nums}.card span{color:var(--soft);font-size:13px}
.grid2{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:14px}figure{margin:0;background:var(--card);
border:1px solid var(--rule);border-radius:6px;padding:12px 14px}figcaption{font-weight:600;margin-bottom:6px}svg{width:100%;height:auto;display:block}
.grid{stroke:var(--rule)}.tick,.note,.axis{fill:var(--soft);font:11.5px system-ui,sans-serif}.line{fill:none;stroke-width:1.8;stroke-linejoin:round}
.band0{fill:var(--band0)}.band1{fill:var(--band1)}.c0{stroke:var(--soft);stroke-dasharray:5 4}.c1{stroke:var(--s1)}.c2{stroke:var(--s2)}.c3{stroke:var(--s3)}
.c4{stroke:var(--s4)}.c5{stroke:var(--s5)}.f1{fill:var(--s1)}.f2{fill:var(--s2)}.f3{fill:var(--s3)}.f4{fill:var(--s4)}.f5{fill:var(--s5)}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:13px;color:var(--soft);margin-top:6px}.legend b{color:var(--ink)}.legend i{display:inline-block;width:14px;
height:4px;border-radius:2px;margin-right:6px;vertical-align:middle}.b0{background:var(--soft)}.b1{background:var(--s1)}.b2{background:var(--s2)}
.b3{background:var(--s3)}.b4{background:var(--s4)}.b5{background:var(--s5)}.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;background:var(--card);
border:1px solid var(--rule);font-variant-numeric:tabular-nums}th,td{padding:5px 10px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child,.left td,.left th{text-align:left}th{color:var(--soft);font-weight:600;font-size:13px}.wrap td{white-space:normal}
pre{background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:12px 14px;overflow-x:auto;font-size:13px;line-height:1.4}
details summary{cursor:pointer;color:var(--soft)}
)";

double seconds(Nanoseconds duration) { return static_cast<double>(duration) / kSecond; }

std::string time_text(double value) {
  if (value <= 0) return "0";
  return value < 1e-3 ? fmt::format("{:.3g} µs", value * 1e6)
         : value < 1  ? fmt::format("{:.3g} ms", value * 1e3)
                      : fmt::format("{:.3g} s", value);
}
std::string count_text(double value) {
  if (value >= 1e6) return fmt::format("{:.3g} M", value / 1e6);
  if (value >= 1e4) return fmt::format("{:.3g} k", value / 1e3);
  return fmt::format("{:.4g}", value);
}
std::string bytes_text(double value) {
  return value >= (1 << 30) ? fmt::format("{:.2f} GiB", value / (1 << 30))
                            : fmt::format("{:.0f} MiB", value / (1 << 20));
}
std::string second_text(double value) { return fmt::format("{:g} s", value); }

std::vector<PlotOptions::Band> bands(const LoadResult& result) {
  std::vector<PlotOptions::Band> all;
  if (result.scenario->plan.phases.size() < 2) return all;
  double at = 0;
  for (const auto& phase : result.scenario->plan.phases) {
    const double end = at + seconds(phase.settle + phase.duration);
    all.push_back({at, end, phase.name});
    at = end;
  }
  return all;
}

std::string cards(const LoadResult& result) {
  const auto all = all_phases(result.outcome);
  std::string text = "<div class=\"cards\">";
  const auto card = [&](const std::string& value, const std::string& name) {
    text +=
        fmt::format("<div class=\"card\"><b>{}</b><span>{}</span></div>", html(value), html(name));
  };
  card(count_text(static_cast<double>(result.outcome.counts.acknowledged)), "updates acknowledged");
  card(count_text(result.rate()) + "/s", "receipts, whole test");
  if (!result.scenario->answer_only && result.saturated.empty()) {
    card(time_text(seconds(all.acknowledge.percentile(50))), "acknowledge p50, from due");
    card(time_text(seconds(all.acknowledge.percentile(99))), "acknowledge p99, from due");
  }
  card(bytes_text(result.server_peak),
       "server's resident peak, budget " + bytes_text(result.server_budget));
  if (result.check.done)
    card(result.check.exact ? "exact" : "WRONG",
         fmt::format("{} rounds, {} receipts, {} lost", result.check.rounds, result.check.receipts,
                     result.check.lost));
  return text + "</div>\n";
}

std::string judged(const LoadResult& result) {
  if (result.judged.empty()) return {};
  std::string text =
      "<h2>Asked and found</h2><div class=\"scroll\"><table class=\"left "
      "wrap\"><tr><th></th><th>what</th>"
      "<th>wanted</th><th>found</th></tr>";
  for (const Judged& one : result.judged)
    text += fmt::format("<tr><td class=\"{}\">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                        one.met ? "met" : "missed", one.met ? "pass" : "fail", html(one.what),
                        html(one.wanted), html(one.found));
  return text + "</table></div>\n";
}

std::string latency_table(const LoadResult& result) {
  std::string text =
      "<h2>Latency, from the moment each thing was due</h2><div "
      "class=\"scroll\"><table><tr><th></th><th>count</th>"
      "<th>mean</th><th>deviation</th>";
  for (const double percent : kPercentiles) text += fmt::format("<th>p{}</th>", percent);
  text += "<th>max</th></tr>";
  const auto row = [&](const std::string& name, const LatencyHistogram& histogram) {
    if (histogram.count() == 0) return;
    text += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td>", html(name),
                        histogram.count(), time_text(histogram.mean() / kSecond),
                        time_text(histogram.standard_deviation() / kSecond));
    for (const double percent : kPercentiles)
      text += "<td>" + time_text(seconds(histogram.percentile(percent))) + "</td>";
    text += "<td>" + time_text(seconds(histogram.longest())) + "</td></tr>";
  };
  const auto rows = [&](const std::string& prefix, const loadtest::PhaseLatencies& phase) {
    row(prefix + "connect", phase.connect);
    row(prefix + "acknowledge", phase.acknowledge);
    row(prefix + "acknowledge, from the send", phase.acknowledge_sent);
    row(prefix + "round", phase.round);
    row(prefix + "simulator's lag", phase.lag);
  };
  rows("", all_phases(result.outcome));
  if (result.outcome.phases.size() > 1)
    for (std::size_t i = 0; i < result.outcome.phases.size(); ++i)
      rows(result.scenario->plan.phases[i].name + ": ", result.outcome.phases[i]);
  return text + "</table></div>\n";
}

PlotSeries curve(const std::string& name, int colour, const LatencyHistogram& histogram) {
  PlotSeries series{name, colour, {}};
  if (histogram.count() == 0) return series;
  // Steps of a tenth of a decade of 1 / (1 - share), as far as there are that many values.
  for (double inverse = 1; inverse <= static_cast<double>(histogram.count()); inverse *= 1.2589)
    series.points.emplace_back(
        inverse,
        std::max(seconds(histogram.percentile(std::max(100 * (1 - 1 / inverse), 1e-6))), 1e-6));
  return series;
}

std::string plots(const LoadResult& result) {
  const auto all = all_phases(result.outcome);
  PlotSeries due{"due", 2, {}}, done{"acknowledged", 1, {}}, p50{"p50", 1, {}}, p99{"p99", 2, {}};
  PlotSeries memory{"resident", 1, {}}, budget{"budget", 0, {}}, cpu{"server", 1, {}};
  PlotSeries connected{"devices' connections", 1, {}}, peers{"hostile peers", 5, {}};
  for (std::size_t i = 0; i < result.samples.size(); ++i) {
    const LoadSample& s = result.samples[i];
    memory.points.emplace_back(s.at, s.server_bytes / (1 << 20));
    budget.points.emplace_back(s.at, result.server_budget / (1 << 20));
    connected.points.emplace_back(s.at, static_cast<double>(s.connected));
    peers.points.emplace_back(s.at, static_cast<double>(s.peers));
    if (i == 0) continue;
    const LoadSample& before = result.samples[i - 1];
    const double span = std::max(s.at - before.at, 1e-6);
    due.points.emplace_back(s.at, static_cast<double>(s.due - before.due) / span);
    done.points.emplace_back(s.at,
                             static_cast<double>(s.acknowledged - before.acknowledged) / span);
    cpu.points.emplace_back(s.at, (s.server_cpu - before.server_cpu) / span);
    p50.points.emplace_back(s.at, s.p50);
    p99.points.emplace_back(s.at, s.p99);
  }
  const auto over_time = [&](const char* title, const char* y, auto y_text, bool log,
                             const std::vector<PlotSeries>& series) {
    PlotOptions options{
        title, "seconds since the first turn", y, false, log, second_text, y_text, bands(result),
        {}};
    return line_plot(options, series);
  };
  std::string text = "<h2>Over time</h2><div class=\"grid2\">";
  text += over_time("Offered and acknowledged", "updates a second", count_text, false, {due, done});
  const bool figures = !result.scenario->answer_only && result.saturated.empty();
  if (figures) text += over_time("Acknowledge, by second", "latency", time_text, true, {p50, p99});
  text += over_time("Server: resident memory", "MiB", count_text, false, {memory, budget});
  text += over_time("Server: processor", "cores busy", count_text, false, {cpu});
  std::vector<PlotSeries> open{connected};
  if (!result.peers.empty()) open.push_back(peers);
  text += over_time("Connections", "open", count_text, false, open);
  text += "</div>\n";
  if (!figures) return text;
  PlotOptions options{"Percentiles",
                      "percentile",
                      "latency",
                      true,
                      true,
                      [](double inverse) { return fmt::format("{:g} %", 100 - 100 / inverse); },
                      time_text,
                      {},
                      {1, 2, 10, 100, 1e3, 1e4, 1e5, 1e6}};
  text += "<h2>How latencies spread</h2><div class=\"grid2\">";
  text += line_plot(
      options,
      {curve("connect", 3, all.connect), curve("acknowledge", 1, all.acknowledge),
       curve("acknowledge, from the send", 2, all.acknowledge_sent), curve("round", 4, all.round)});
  if (result.outcome.phases.size() > 1) {
    options.title = "Acknowledge, phase by phase";
    std::vector<PlotSeries> phases;
    for (std::size_t i = 0; i < result.outcome.phases.size(); ++i)
      phases.push_back(curve(result.scenario->plan.phases[i].name, 1 + static_cast<int>(i % 5),
                             result.outcome.phases[i].acknowledge));
    text += line_plot(options, phases);
  }
  text += part_bar("What a mean acknowledgement is made of",
                   {{"client: ready to sent", result.parts.client},
                    {"network", result.parts.network},
                    {"queue in the server", result.parts.queue},
                    {"durable: the sync", result.parts.durable}},
                   time_text);
  return text + "</div>\n";
}

std::string outcome_tables(const LoadResult& result) {
  const loadtest::Counts& counts = result.outcome.counts;
  std::string text = "<h2>How turns ended</h2><div class=\"grid2\"><div class=\"scroll\"><table>";
  const auto row = [&](const std::string& name, std::uint64_t count, const char* meaning) {
    text += fmt::format("<tr><td>{}</td><td>{}</td><td style=\"text-align:left\">{}</td></tr>",
                        html(name), count, meaning);
  };
  row("due", counts.due, "turns of devices, as the scenario has them");
  row("acknowledged", counts.acknowledged, "hold a receipt");
  row("dropped out", counts.dropped_out, "vanished in mid-upload, on purpose");
  row("too late", counts.too_late, "their round was over");
  row("put off", counts.put_off, "got no work within their patience");
  row("refused", counts.refused, "for good, by the reasons beside");
  row("unanswered", counts.unanswered, "sent whole, and no answer");
  row("cut short", counts.cut_short, "still at it when the test ended");
  row("skipped", counts.skipped, "every device was busy");
  row("connects", counts.connects, "connections begun");
  row("sent again", counts.resent, "chunks and questions, on purpose or after silence");
  text +=
      "</table></div><div class=\"scroll\"><table><tr><th>the server "
      "answered</th><th>times</th></tr>";
  for (const auto& [reason, count] : result.outcome.refusals)
    text += fmt::format("<tr><td>{}</td><td>{}</td></tr>", html(reason), count);
  if (result.outcome.refusals.empty()) text += "<tr><td>no refusal</td><td>0</td></tr>";
  text += "</table>";
  if (!result.peers.empty()) {
    text +=
        "<br><table><tr><th>hostile peers</th><th>connected</th><th>at "
        "once</th><th>cut</th><th>sent</th></tr>";
    for (std::size_t i = 0; i < result.peers.size(); ++i)
      text += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                          html(result.scenario->plan.peers[i].name), result.peers[i].connected,
                          result.peers[i].most_at_once, result.peers[i].cut,
                          bytes_text(static_cast<double>(result.peers[i].bytes_sent)));
    text += "</table>";
  }
  return text + "</div></div>\n";
}

std::string facts(const LoadResult& result) {
  std::string text =
      "<h2>Machine, commands, scenario</h2><div class=\"scroll\"><table class=\"left wrap\">";
  const auto row = [&](const std::string& name, const std::string& value) {
    text += fmt::format("<tr><td>{}</td><td>{}</td></tr>", html(name), html(value));
  };
  for (const auto& [name, value] : result.machine) row(name, value);
  row("backend", result.backend);
  row("server", fmt::format("{:.1f} CPU seconds, {} resident at most", result.server_cpu,
                            bytes_text(result.server_peak)));
  row("simulator", fmt::format("{:.1f} CPU seconds, {} resident at most, busiest thread {:.0f} %",
                               result.simulator_cpu, bytes_text(result.simulator_peak),
                               100 * result.outcome.busiest));
  row("null sink",
      result.null_sink.done
          ? fmt::format("{:.0f} devices a second of {:.0f} offered: {:.2f} times the highest "
                        "rate of the scenario",
                        result.null_sink.reached, result.null_sink.wanted, result.null_sink.factor)
          : "not run");
  row("a round", fmt::format("{} from opening to release; {} of it computes",
                             time_text(result.round_seconds), time_text(result.parts.compute)));
  text += "</table></div><pre>";
  for (const std::string& command : result.commands) text += html(command) + "\n";
  return text + "</pre><details open><summary>the scenario</summary><pre>" +
         html(result.scenario->text) + "</pre></details>\n";
}

}  // namespace

std::string report_html(const LoadResult& result) {
  const bool passed = result.passed();
  const std::string verdict = !result.saturated.empty() ? "no figures"
                              : passed                  ? "passed"
                                                        : "failed";
  std::string page = fmt::format(
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"><title>{0}</title><style>{1}</style></"
      "head><body><main>"
      "<h1>{0}</h1><p class=\"sub\"><span class=\"verdict {2}\">{3}</span> &nbsp;{4:.0f} s of load "
      "&middot; muster {5}</p>\n",
      html(result.scenario->title), kStyle, passed ? "good" : "bad", verdict, result.seconds,
      MUSTER_VERSION);
  if (!result.saturated.empty())
    page += "<p class=\"missed\">The simulator, not the server, set these figures: " +
            html(result.saturated) + ".</p>\n";
  page += cards(result) + judged(result);
  if (result.saturated.empty() && !result.scenario->answer_only) page += latency_table(result);
  return page + plots(result) + outcome_tables(result) + facts(result) + "</main></body></html>\n";
}

}  // namespace muster::cli
