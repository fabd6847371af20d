// muster_bench: runs the pairs through Google Benchmark (repeats, interleaving), prints one table.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/bench/bench.h"

namespace muster::bench {
namespace {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

struct Series {
  std::vector<double> rates, cpu_per_unit;
};

/// Collects nothing itself: the samples are taken where they are measured. It keeps Google
/// Benchmark's own table off the output.
class Silent : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>&) override {}
};

void enlist(const std::string& key, const std::function<Sample()>& run, const Pair& pair,
            std::map<std::string, Series>& results, const Options& options) {
  auto* registered = benchmark::RegisterBenchmark(key.c_str(), [&, key,
                                                                run](benchmark::State& state) {
    for (auto iteration : state) {
      (void)iteration;
      const Sample sample = run();
      state.SetIterationTime(sample.wall_seconds);
      const double seconds = pair.wall ? sample.wall_seconds : sample.cpu_seconds;
      results[key].rates.push_back(sample.items / seconds / pair.unit_scale);
      results[key].cpu_per_unit.push_back(sample.cpu_seconds / (sample.items / pair.unit_scale));
    }
  });
  registered->Iterations(1)->UseManualTime();
  if (options.repeats > 1) registered->Repetitions(options.repeats);
}

int run_all(const std::vector<Pair>& pairs, const Options& options, const std::string& json_file) {
  std::map<std::string, Series> results;
  for (const Pair& pair : pairs) {
    const std::string base = pair.id + "/" + pair.name;
    enlist(base + "/muster", pair.candidate, pair, results, options);
    for (const auto& [name, run] : pair.baselines)
      enlist(base + "/" + name, run, pair, results, options);
  }
  Silent silent;
  benchmark::RunSpecifiedBenchmarks(&silent);

  nlohmann::json rows = nlohmann::json::array();
  fmt::print("{:<7} {:<34} {:>8} {:>12} {:>9}  {}\n", "id", "what", "ratio", "value", "CPU s",
             "baselines");
  for (const Pair& pair : pairs) {
    const std::string base = pair.id + "/" + pair.name;
    const Series& mine = results[base + "/muster"];
    const double value = median(mine.rates);
    double slowest = 0;
    std::string slowest_name, others;
    for (const auto& [name, run] : pair.baselines) {
      const Series& series = results[base + "/" + name];
      const double rate = median(series.rates);
      if (slowest_name.empty() || rate < slowest) {
        slowest = rate;
        slowest_name = name;
      }
      others += fmt::format("{}{} {:.3f} ({:.3f} CPU s)", others.empty() ? "" : ", ", name, rate,
                            median(series.cpu_per_unit));
    }
    const double cpu = median(mine.cpu_per_unit);
    fmt::print("{:<7} {:<34} {:>7.2f}x {:>6.3f} {:<7} {:>7.3f}  {}\n", pair.id, pair.name,
               value / slowest, value, pair.unit, cpu, others);
    rows.push_back({{"id", pair.id},
                    {"name", pair.name},
                    {"ratio", value / slowest},
                    {"value", value},
                    {"unit", pair.unit},
                    {"baseline", slowest_name},
                    {"baseline_value", slowest},
                    {"cpu_seconds_per_unit", cpu},
                    {"repeats", mine.rates.size()}});
  }
  if (!json_file.empty()) {
    std::ofstream file(json_file);
    file << rows.dump(2) << "\n";
    if (!file) {
      fmt::print(stderr, "muster_bench: cannot write {}\n", json_file);
      return 1;
    }
  }
  return 0;
}

/// A folder that is gone when this is, however the process ends: a child that signals to the bench
/// do not reach waits for the end of a pipe, and removes it. To be made before there are threads.
class Scratch {
 public:
  explicit Scratch(const std::string& folder) {
    std::filesystem::create_directories(folder);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    child_ = ::fork();
    if (child_ == 0) {
      ::setsid();
      ::close(ends[1]);
      char byte = 0;
      while (::read(ends[0], &byte, 1) < 0 && errno == EINTR) continue;
      std::error_code ignored;
      std::filesystem::remove_all(folder, ignored);
      ::_exit(0);
    }
    ::close(ends[0]);
    end_ = ends[1];
  }
  ~Scratch() {
    ::close(end_);
    if (child_ > 0) ::waitpid(child_, nullptr, 0);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

 private:
  pid_t child_ = -1;
  int end_ = -1;
};

bool wanted(const std::string& only, const std::string& id) {
  return only.empty() || ("," + only + ",").find("," + id + ",") != std::string::npos;
}

int main_of_bench(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--sender") == 0) return run_sender(argc, argv);
  Options options;
  options.self = std::filesystem::read_symlink("/proc/self/exe").string();
  options.folder = std::filesystem::current_path().string() + "/bench-scratch";
  std::string json_file;
  bool growth = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--smoke")
      options.smoke = true;
    else if (argument == "--growth")
      growth = true;
    else if (argument == "--json" && i + 1 < argc)
      json_file = argv[++i];
    else if (argument == "--only" && i + 1 < argc)
      options.only = argv[++i];
    else if (argument == "--match" && i + 1 < argc)
      options.match = argv[++i];
    else if (argument == "--repeats" && i + 1 < argc)
      options.repeats = std::atoi(argv[++i]);
    else {
      fmt::print(stderr,
                 "usage: muster_bench [--json FILE] [--only P1,P2] [--match NAME] [--repeats N] "
                 "[--growth] [--smoke]\n");
      return 2;
    }
  }
  if (options.smoke) options.repeats = 1;
  if (growth) return run_growth(options);
  const Scratch scratch(options.folder);
  std::vector<Pair> all, pairs;
  add_ingest(all, options);
  add_kernels(all, options);
  add_krum(all, options);
  add_threads(all, options);
  add_noise(all, options);
  for (Pair& pair : all)
    if (wanted(options.only, pair.id) && pair.name.find(options.match) != std::string::npos)
      pairs.push_back(std::move(pair));
  // Repeats of all pairs interleaved: candidate and baselines share whatever else the machine does.
  char name[] = "muster_bench", interleave[] = "--benchmark_enable_random_interleaving=true";
  char* arguments[] = {name, interleave, nullptr};
  int count = 2;
  benchmark::Initialize(&count, arguments);
  return run_all(pairs, options, json_file);
}

}  // namespace
}  // namespace muster::bench

int main(int argc, char** argv) { return muster::bench::main_of_bench(argc, argv); }
