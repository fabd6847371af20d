// muster_learning: what is left of a model when a fifth of its teachers is hostile, by rule,
// attack, split of the data and worker momentum (docs/learning.md).
#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <thread>

#include "tests/learning/claims.h"
#include "tests/learning/table.h"

namespace muster::learning {
namespace {

constexpr int kFailed = 1, kUsage = 2, kSkipped = 77;

struct Options {
  std::string data = MUSTER_MNIST_DIR;
  std::string json, svg, only;
  Settings settings;
  std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
  bool slice = false, check = false;
};

constexpr const char* kHelp =
    "usage: muster_learning [--data DIR] [--slice] [--check] [--json FILE] [--svg FILE]\n"
    "                       [--codec f32|i8b|i8s] [--rounds N] [--seed N] [--threads N]\n"
    "                       [--only TEXT]   cells whose name has TEXT: \"sorted, momentum 0.9\"\n";

template <class T>
bool parse(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value > 0;
}

/// Whether `argument` with its `value` was understood.
bool read(const std::string& argument, const std::string& value, Options& options) {
  if (argument == "--data")
    options.data = value;
  else if (argument == "--json")
    options.json = value;
  else if (argument == "--svg")
    options.svg = value;
  else if (argument == "--only")
    options.only = value;
  else if (argument == "--rounds")
    return parse(value, options.settings.rounds);
  else if (argument == "--seed")
    return parse(value, options.settings.seed);
  else if (argument == "--threads")
    return parse(value, options.threads);
  else if (argument == "--codec") {
    const auto codec = parse_codec(value);
    if (codec) options.settings.codec = *codec;
    return codec.has_value();
  } else
    return false;
  return true;
}

bool write(const std::string& path, const std::string& text) {
  if (path.empty()) return true;
  std::ofstream file(path);
  file << text;
  file.flush();
  if (!file) fmt::print(stderr, "muster_learning: cannot write {}\n", path);
  return static_cast<bool>(file);
}

/// Whether there are claims and all hold.
bool report(const std::vector<Judgement>& judgements) {
  bool all = !judgements.empty();
  for (const Judgement& judgement : judgements) {
    fmt::print("{:<6} {}\n", judgement.holds ? "holds" : "FAILS", judgement.what);
    all = all && judgement.holds;
  }
  return all;
}

int run(const Options& options) {
  const auto data = read_digits(options.data);
  if (!data.ok()) {
    fmt::print(stderr,
               "muster_learning: SKIPPED, nothing was tested: {}\n"
               "Name the folder of MNIST's t10k-*.gz with --data DIR.\n",
               data.status().to_string());
    return data.status().reason() == "data_missing" ? kSkipped : kFailed;
  }
  std::vector<Cell> cells = options.slice ? slice_cells() : all_cells();
  std::erase_if(
      cells, [&](const Cell& cell) { return cell.name().find(options.only) == std::string::npos; });
  fmt::print(
      "{} pictures to learn, {} held out; {} clients, {} hostile; {} rounds, codec {}, seed "
      "{}; held-out accuracy in percent\n",
      data.value().train.count(), data.value().held_out.count(), kClients, kHostile,
      options.settings.rounds, codec_name(options.settings.codec), options.settings.seed);
  const Table table = fill(options.settings, cells, data.value(), options.threads);
  fmt::print("{}", as_text(table));
  if (!write(options.json, as_json(table)) || !write(options.svg, as_svg(table))) return kFailed;
  if (!options.check) return 0;
  fmt::print("\n");
  // A recipe that cannot run would take its claims with it.
  return report(judge(table)) && table.skipped.empty() ? 0 : kFailed;
}

int main_of_learning(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--slice") {
      options.slice = true;
    } else if (argument == "--check") {
      options.check = true;
    } else if (i + 1 >= argc || !read(argument, argv[i + 1], options)) {
      fmt::print(stderr, "{}", kHelp);
      return kUsage;
    } else {
      ++i;
    }
  }
  return run(options);
}

}  // namespace
}  // namespace muster::learning

int main(int argc, char** argv) { return muster::learning::main_of_learning(argc, argv); }
