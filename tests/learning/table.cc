#include "tests/learning/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

namespace muster::learning {
namespace {

constexpr double kMomenta[] = {0.9, 0};
constexpr Split kSplits[] = {Split::kIid, Split::kSorted};

/// The part of a table that has one split and momentum.
struct Block {
  Split split;
  double momentum;
  std::vector<Recipe> recipes;  ///< those with a result, in the order of the table

  std::string title() const {
    return fmt::format("{}, worker momentum {}", split == Split::kIid ? "iid" : "sorted by label",
                       momentum);
  }
  Cell cell(const Recipe& recipe, Attack attack) const { return {split, momentum, attack, recipe}; }
};

std::vector<Block> blocks(const Table& table) {
  std::vector<Block> found;
  for (const double momentum : kMomenta)
    for (const Split split : kSplits) {
      Block block{split, momentum, {}};
      for (const auto& [cell, accuracy] : table.entries)
        if (accuracy && cell.split == split && cell.momentum == momentum &&
            std::find(block.recipes.begin(), block.recipes.end(), cell.recipe) ==
                block.recipes.end())
          block.recipes.push_back(cell.recipe);
      if (!block.recipes.empty()) found.push_back(std::move(block));
    }
  return found;
}

std::string percent(std::optional<double> accuracy) {
  return accuracy ? fmt::format("{:.1f}", 100 * *accuracy) : "-";
}

/// Red at chance, yellow in the middle, green where everything was learnt.
std::string colour(double accuracy) {
  const double t = std::clamp((accuracy - 0.1) / 0.85, 0.0, 1.0);
  const auto mix = [](double a, double b, double at) { return static_cast<int>(a + (b - a) * at); };
  if (t < 0.5)
    return fmt::format("rgb({},{},{})", mix(215, 254, 2 * t), mix(80, 224, 2 * t),
                       mix(70, 139, 2 * t));
  return fmt::format("rgb({},{},{})", mix(254, 90, 2 * t - 1), mix(224, 174, 2 * t - 1),
                     mix(139, 97, 2 * t - 1));
}

}  // namespace

std::optional<double> Table::accuracy(const Cell& cell) const {
  for (const Entry& entry : entries)
    if (entry.cell == cell) return entry.accuracy;
  return std::nullopt;
}

std::vector<Cell> all_cells() {
  std::vector<Cell> cells;
  for (const double momentum : kMomenta)
    for (const Split split : kSplits)
      for (const std::string_view rule : rule_names())
        for (const PreStep pre_step : kPreSteps)
          for (const Attack attack : kAttacks)
            cells.push_back({split, momentum, attack, {std::string(rule), pre_step}});
  return cells;
}

Table fill(const Settings& settings, const std::vector<Cell>& cells, const Data& data,
           std::size_t threads) {
  Table table{settings, {}, {}};
  for (const Cell& cell : cells) table.entries.push_back({cell, {}});
  std::set<std::string> skipped;
  std::mutex skipped_mutex;  // rarely taken: cells that cannot run fail at once
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < cells.size(); i = next++) {
      const auto accuracy = learn(settings, cells[i], data);
      if (accuracy.ok()) {
        table.entries[i].accuracy = accuracy.value();
        std::fputc('.', stderr);
      } else {
        const std::lock_guard lock(skipped_mutex);
        skipped.insert(cells[i].recipe.name() + ": " + accuracy.status().to_string());
      }
    }
  };
  {
    std::vector<std::jthread> workers;
    for (std::size_t t = 1; t < threads; ++t) workers.emplace_back(work);
    work();
  }
  std::fputc('\n', stderr);
  table.skipped.assign(skipped.begin(), skipped.end());
  return table;
}

std::string as_text(const Table& table) {
  std::string text;
  for (const Block& block : blocks(table)) {
    text += fmt::format("\n{:<30}", block.title());
    for (const Attack attack : kAttacks) text += fmt::format("{:>11}", attack_name(attack));
    text += "\n";
    for (const Recipe& recipe : block.recipes) {
      text += fmt::format("{:<30}", recipe.name());
      for (const Attack attack : kAttacks)
        text += fmt::format("{:>11}", percent(table.accuracy(block.cell(recipe, attack))));
      text += "\n";
    }
  }
  for (const std::string& line : table.skipped) text += "skipped  " + line + "\n";
  return text;
}

std::string as_json(const Table& table) {
  nlohmann::json cells = nlohmann::json::array();
  for (const auto& [cell, accuracy] : table.entries) {
    if (!accuracy) continue;
    cells.push_back({{"split", split_name(cell.split)},
                     {"momentum", cell.momentum},
                     {"attack", attack_name(cell.attack)},
                     {"rule", cell.recipe.rule},
                     {"pre_step", pre_step_text(cell.recipe.pre_step)},
                     {"accuracy", *accuracy}});
  }
  const Settings& s = table.settings;
  return nlohmann::json({{"settings",
                          {{"clients", kClients},
                           {"hostile", kHostile},
                           {"rounds", s.rounds},
                           {"batch", s.batch},
                           {"learning_rate", s.learning_rate},
                           {"codec", codec_name(s.codec)},
                           {"seed", s.seed}}},
                         {"cells", cells},
                         {"skipped", table.skipped}})
             .dump(1) +
         "\n";
}

std::string as_svg(const Table& table) {
  constexpr int kLeft = 220, kTop = 64, kWidth = 68, kHeight = 20, kGap = 84;
  const auto parts = blocks(table);
  const int width = kLeft + static_cast<int>(std::size(kAttacks)) * kWidth + 20;
  std::string body;
  int y = kTop;
  for (const Block& block : parts) {
    body +=
        fmt::format("<text class=\"title\" x=\"10\" y=\"{}\">{}</text>\n", y - 30, block.title());
    int x = kLeft;
    for (const Attack attack : kAttacks) {
      body += fmt::format("<text class=\"middle\" x=\"{}\" y=\"{}\">{}</text>\n", x + kWidth / 2,
                          y - 8, attack_name(attack));
      x += kWidth;
    }
    for (const Recipe& recipe : block.recipes) {
      body += fmt::format("<text x=\"10\" y=\"{}\">{}</text>\n", y + 14, recipe.name());
      x = kLeft;
      for (const Attack attack : kAttacks) {
        if (const auto accuracy = table.accuracy(block.cell(recipe, attack)))
          body += fmt::format(
              "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>"
              "<text class=\"middle\" x=\"{}\" y=\"{}\">{}</text>\n",
              x, y, kWidth - 1, kHeight - 1, colour(*accuracy), x + kWidth / 2, y + 14,
              percent(accuracy));
        x += kWidth;
      }
      y += kHeight;
    }
    y += kGap;
  }
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" "
      "viewBox=\"0 0 {0} {1}\">\n<style>text{{font:12px sans-serif;fill:#222}}"
      ".middle{{text-anchor:middle}}.title{{font-size:14px;font-weight:bold}}</style>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{2}</svg>\n",
      width, y - kGap + 24, body);
}

}  // namespace muster::learning
