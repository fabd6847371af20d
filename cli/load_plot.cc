#include "cli/load_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace muster::cli {
namespace {

constexpr double kWidth = 640, kHeight = 280;
constexpr double kLeft = 78, kRight = 14, kTop = 14, kBottom = 44;

/// From values to pixels.
struct Axis {
  double low = 0, high = 1, from = 0, to = 1;
  bool log = false;
  double at(double value) const {
    const double share =
        log ? (std::log10(value) - std::log10(low)) / (std::log10(high) - std::log10(low))
            : (value - low) / (high - low);
    return from + share * (to - from);
  }
};

std::vector<double> ticks(const Axis& axis, int wanted) {
  std::vector<double> values;
  if (axis.log) {
    const double decades = std::log10(axis.high / axis.low);
    for (double power = std::floor(std::log10(axis.low)); power <= std::log10(axis.high); ++power)
      for (const double digit : {1.0, 2.0, 5.0}) {
        const double value = digit * std::pow(10, power);
        if (value < axis.low * 0.999 || value > axis.high * 1.001) continue;
        if (digit == 1 || decades < 2) values.push_back(value);
      }
    return values;
  }
  const double rough = (axis.high - axis.low) / wanted;
  const double power = std::pow(10, std::floor(std::log10(std::max(rough, 1e-12))));
  double step = power;
  for (const double digit : {1.0, 2.0, 5.0, 10.0})
    if (digit * power >= rough) {
      step = digit * power;
      break;
    }
  for (double value = std::ceil(axis.low / step) * step; value <= axis.high * 1.0001; value += step)
    values.push_back(value);
  return values;
}

/// The ends of all points; a log axis ends at whole steps of 1, 2, 5.
std::pair<double, double> range(const std::vector<PlotSeries>& series, bool of_x, bool log) {
  double low = 1e300, high = -1e300;
  for (const PlotSeries& one : series)
    for (const auto& [x, y] : one.points) {
      const double value = of_x ? x : y;
      if (log && !(value > 0)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  if (low > high) return {0, 0};
  if (log) return {low / 1.25, high * 1.25};
  if (!of_x) low = 0, high *= 1.08;
  return {low, high > low ? high : low + 1};
}

std::string frame(const PlotOptions& options, const Axis& x, const Axis& y) {
  std::string svg;
  for (std::size_t i = 0; i < options.bands.size(); ++i) {
    const auto& band = options.bands[i];
    const double left = x.at(std::max(band.from, x.low)), right = x.at(std::min(band.to, x.high));
    if (right <= left) continue;
    svg += fmt::format(
        R"(<rect class="band{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>)", i % 2,
        left, kTop, right - left, kHeight - kTop - kBottom);
    if (right - left > 7.0 * static_cast<double>(band.name.size()))
      svg += fmt::format(R"(<text class="note" x="{:.1f}" y="{:.1f}">{}</text>)", left + 5,
                         kTop + 13, html(band.name));
  }
  for (const double value : ticks(y, 5))
    svg += fmt::format(
        R"(<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/><text class="tick" x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>)",
        kLeft, kWidth - kRight, y.at(value), kLeft - 8, y.at(value) + 4,
        html(options.y_text(value)));
  for (const double value : options.x_ticks.empty() ? ticks(x, 8) : options.x_ticks)
    if (value >= x.low * 0.999 && value <= x.high * 1.001)
      svg += fmt::format(
          R"(<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/><text class="tick" x="{0:.1f}" y="{3}" text-anchor="middle">{4}</text>)",
          x.at(value), kTop, kHeight - kBottom, kHeight - kBottom + 16,
          html(options.x_text(value)));
  svg += fmt::format(R"(<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>)",
                     (kLeft + kWidth - kRight) / 2, kHeight - 8, html(options.x_title));
  svg += fmt::format(
      R"_(<text class="axis" transform="translate(11 {}) rotate(-90)" text-anchor="middle">{}</text>)_",
      (kTop + kHeight - kBottom) / 2, html(options.y_title));
  return svg;
}

}  // namespace

std::string html(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    if (c == '<')
      safe += "&lt;";
    else if (c == '>')
      safe += "&gt;";
    else if (c == '&')
      safe += "&amp;";
    else if (c == '"')
      safe += "&quot;";
    else
      safe += c;
  }
  return safe;
}

std::string line_plot(const PlotOptions& options, const std::vector<PlotSeries>& series) {
  const auto [x_low, x_high] = range(series, true, options.log_x);
  const auto [y_low, y_high] = range(series, false, options.log_y);
  std::string figure = "<figure><figcaption>" + html(options.title) + "</figcaption>";
  if (x_high <= x_low || y_high <= y_low) return figure + "<p>Nothing was recorded.</p></figure>\n";
  const Axis x{x_low, x_high, kLeft, kWidth - kRight, options.log_x};
  const Axis y{y_low, y_high, kHeight - kBottom, kTop, options.log_y};
  figure += fmt::format(R"(<svg viewBox="0 0 {} {}" role="img" aria-label="{}">)", kWidth, kHeight,
                        html(options.title));
  figure += frame(options, x, y);
  std::string legend;
  for (const PlotSeries& one : series) {
    std::string path;
    for (const auto& [px, py] : one.points) {
      if ((options.log_y && !(py > 0)) || (options.log_x && !(px > 0))) continue;
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x.at(px), y.at(py));
    }
    if (path.empty()) continue;
    figure += fmt::format(R"(<path class="line c{}" d="{}"/>)", one.colour, path);
    legend += fmt::format(R"(<span><i class="b{}"></i>{}</span>)", one.colour, html(one.name));
  }
  return figure + "</svg><div class=\"legend\">" + legend + "</div></figure>\n";
}

std::string part_bar(const std::string& title,
                     const std::vector<std::pair<std::string, double>>& parts,
                     const std::function<std::string(double)>& text) {
  double sum = 0;
  for (const auto& [name, value] : parts) sum += value;
  std::string figure = "<figure><figcaption>" + html(title) + "</figcaption>";
  if (!(sum > 0)) return figure + "<p>Nothing was recorded.</p></figure>\n";
  std::string legend;
  figure +=
      fmt::format(R"(<svg viewBox="0 0 {} 40" role="img" aria-label="{}">)", kWidth, html(title));
  double at = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const double width = parts[i].second / sum * kWidth;
    // A gap of two pixels keeps neighbours apart without relying on their colours.
    if (width > 2)
      figure += fmt::format(R"(<rect class="f{}" x="{:.1f}" y="4" width="{:.1f}" height="32"/>)",
                            i + 1, at, width - 2);
    at += width;
    legend += fmt::format(R"(<span><i class="b{}"></i>{} <b>{}</b></span>)", i + 1,
                          html(parts[i].first), html(text(parts[i].second)));
  }
  return figure + "</svg><div class=\"legend\">" + legend + "</div></figure>\n";
}

}  // namespace muster::cli
