#include "cli/demo_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

namespace muster::cli {
namespace {

// Told apart without red and green alone (after Okabe and Ito), and by dashes.
struct Stroke {
  const char* color;
  const char* dashes;
};
constexpr std::array<Stroke, 4> kStrokes = {
    {{"#0072b2", "none"}, {"#d55e00", "7 4"}, {"#009e73", "none"}, {"#9467bd", "2 4"}}};

constexpr double kWidth = 960, kHeight = 470;
constexpr double kTop = 96, kPlotHeight = 250, kPlotWidth = 380;

/// One panel: where it lies, and which values its axis spans.
struct Panel {
  const char* title;
  double left;
  double least;
  double most;
  double step;
  const char* unit;
  double rounds;

  double x(double round) const { return left + kPlotWidth * round / rounds; }
  double y(double value) const {
    return kTop + kPlotHeight * (1 - (value - least) / (most - least));
  }
};

void draw_axes(std::string& svg, const Panel& panel) {
  svg += fmt::format("<text class=\"title\" x=\"{}\" y=\"{}\">{}</text>\n", panel.left, kTop - 16,
                     panel.title);
  for (double value = panel.least; value <= panel.most + panel.step / 2; value += panel.step)
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>"
        "<text class=\"tick\" x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:g}{6}</text>\n",
        panel.left, panel.left + kPlotWidth, panel.y(value), panel.left - 8, panel.y(value) + 4,
        value, panel.unit);
  const int every = std::max(1, static_cast<int>(std::ceil(panel.rounds / 8)));
  for (int round = 0; round <= static_cast<int>(panel.rounds); round += every)
    svg +=
        fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                    panel.x(round), kTop + kPlotHeight + 18, round);
  svg += fmt::format("<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">round</text>\n",
                     panel.left + kPlotWidth / 2, kTop + kPlotHeight + 38);
}

template <class Value>
void draw_curves(std::string& svg, const Panel& panel, const std::vector<DemoResult>& results,
                 Value value) {
  // Drawn values end a little outside the panel; the clip path cuts there.
  const double margin = (panel.most - panel.least) / 10;
  svg += fmt::format(
      "<clipPath id=\"clip{0:g}\"><rect x=\"{0}\" y=\"{1}\" width=\"{2}\" "
      "height=\"{3}\"/></clipPath>\n<g clip-path=\"url(#clip{0:g})\">\n",
      panel.left, kTop - 2, kPlotWidth + 4, kPlotHeight + 4);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Stroke& stroke = kStrokes[i % kStrokes.size()];
    svg += fmt::format(
        "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2.5\" "
        "stroke-linejoin=\"round\" stroke-dasharray=\"{}\" points=\"",
        stroke.color, stroke.dashes);
    for (std::size_t round = 0; round < results[i].curve.size(); ++round) {
      double v = value(results[i].curve[round]);
      if (!std::isfinite(v)) v = panel.most + margin;
      v = std::clamp(v, panel.least - margin, panel.most + margin);
      svg += fmt::format("{:.1f},{:.1f} ", panel.x(static_cast<double>(round)), panel.y(v));
    }
    svg += "\"/>\n";
  }
  svg += "</g>\n";
}

void draw_legend(std::string& svg, const std::vector<DemoResult>& results) {
  for (std::size_t i = 0; i < results.size(); ++i) {
    const double x = 64 + 450 * static_cast<double>(i % 2);
    const double y = kHeight - 48 + 26 * static_cast<double>(i / 2);
    const Stroke& stroke = kStrokes[i % kStrokes.size()];
    const auto& last = results[i].curve.back();
    svg += fmt::format(
        "<line x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\" stroke=\"{}\" stroke-width=\"2.5\" "
        "stroke-dasharray=\"{}\"/><text class=\"label\" x=\"{}\" y=\"{}\">{}: {:.1f} %, loss "
        "{}</text>\n",
        x, x + 34, y, y, stroke.color, stroke.dashes, x + 44, y + 4, results[i].rule.label,
        100 * last.top3, loss_text(last.loss));
  }
}

}  // namespace

std::string demo_summary(const std::vector<DemoResult>& results) {
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  for (const DemoResult& result : results) {
    const auto& last = result.curve.back();
    nlohmann::ordered_json run;
    run["rule"] = result.rule.rule;
    run["hostile_share"] = result.rule.hostile_share;
    run["rounds"] = result.curve.size() - 1;
    if (std::isfinite(last.loss))
      run["loss"] = last.loss;
    else
      run["loss"] = nullptr;
    run["top1"] = last.top1;
    run["top3"] = last.top3;
    run["seconds"] = result.seconds;
    run["model_sha256"] = result.model_sha256;
    runs.push_back(std::move(run));
  }
  return nlohmann::ordered_json{{"runs", std::move(runs)}}.dump(2) + "\n";
}

std::string demo_chart(const std::vector<DemoResult>& results) {
  const auto rounds = static_cast<double>(results.front().curve.size() - 1);
  double most_loss = results.front().curve.front().loss;
  most_loss = std::ceil(std::isfinite(most_loss) ? most_loss + 0.3 : 5);
  const Panel top3 = {"Next character among the first three guesses", 64, 0, 80, 20, " %", rounds};
  const Panel loss = {
      "Loss on text no phone has seen (nats a character)", 540, 1.5, most_loss, 0.5, "", rounds};
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" role=\"img\" aria-label=\"Learning curves of the Muster demo\">\n"
      "<style>text{{font-family:system-ui,'Helvetica Neue',Arial,sans-serif;fill:#24292f}}"
      ".head{{font-size:19px;font-weight:600}}.title{{font-size:14px;font-weight:600}}"
      ".tick{{font-size:12px;fill:#57606a}}.label{{font-size:13px}}"
      ".grid{{stroke:#d8dee4;stroke-width:1}}</style>\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n"
      "<text class=\"head\" x=\"64\" y=\"40\">{2}</text>\n",
      kWidth, kHeight,
      results.back().record.empty() ? "What hostile phones do to each rule" : "What privacy costs");
  draw_axes(svg, top3);
  draw_axes(svg, loss);
  draw_curves(svg, top3, results, [](const auto& point) { return 100 * point.top3; });
  draw_curves(svg, loss, results, [](const auto& point) { return point.loss; });
  draw_legend(svg, results);
  return svg + "</svg>\n";
}

}  // namespace muster::cli
