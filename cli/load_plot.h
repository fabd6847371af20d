// Line plots and bars as inline SVG, styled by the page they stand in.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace muster::cli {

/// Text for HTML and SVG.
std::string html(std::string_view text);

struct PlotSeries {
  std::string name;
  int colour = 1;  ///< 1 to 5, of the page's palette; 0: muted and dashed, for limits
  std::vector<std::pair<double, double>> points;  ///< ascending x; y above 0 on a log axis
};

struct PlotOptions {
  std::string title, x_title, y_title;
  bool log_x = false, log_y = false;
  std::function<std::string(double)> x_text, y_text;  ///< of ticks
  /// Shaded from x to x, with a name; the second half of a pair of phases is darker.
  struct Band {
    double from = 0, to = 0;
    std::string name;
  };
  std::vector<Band> bands;
  std::vector<double> x_ticks;  ///< empty: chosen
};

/// A figure with a legend; a sentence instead where there is nothing to draw.
std::string line_plot(const PlotOptions& options, const std::vector<PlotSeries>& series);

/// One bar cut into named parts, with their values.
std::string part_bar(const std::string& title,
                     const std::vector<std::pair<std::string, double>>& parts,
                     const std::function<std::string(double)>& text);

}  // namespace muster::cli
