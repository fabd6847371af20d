// One table of ratios: each line times a candidate and its baselines side by side in one run.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace muster::bench {

/// One timed run of something: what it did, and what it cost.
struct Sample {
  double items = 0;  ///< bytes, elements, ...
  double wall_seconds = 0;
  double cpu_seconds = 0;  ///< of this process
};

/// A candidate against one or more baselines (the ratio is taken against the slowest). Rates are
/// items per wall second where `wall`, else per CPU second (single-threaded kernels).
struct Pair {
  std::string id;  ///< of docs/performance: "P1", ...
  std::string name;
  std::string unit;         ///< of value: "GB/s", "Gelem/s"
  double unit_scale = 1e9;  ///< items per unit
  bool wall = false;
  std::function<Sample()> candidate;
  std::vector<std::pair<std::string, std::function<Sample()>>> baselines;
};

struct Options {
  bool smoke = false;  ///< tiny sizes, one repeat: proves that everything runs
  int repeats = 5;
  std::string only;    ///< comma-separated ids; empty: all
  std::string match;   ///< part of the name; empty: all
  std::string self;    ///< path of this binary, for helper processes
  std::string folder;  ///< scratch folder on a real disk
};

// Each adds the pairs of its family.
void add_ingest(std::vector<Pair>& pairs, const Options& options);
void add_kernels(std::vector<Pair>& pairs, const Options& options);
void add_krum(std::vector<Pair>& pairs, const Options& options);
void add_threads(std::vector<Pair>& pairs, const Options& options);
void add_noise(std::vector<Pair>& pairs, const Options& options);

/// `muster_bench --growth`: P11, a table of its own.
int run_growth(const Options& options);

/// The process that plays the fleet for the ingest pairs: `muster_bench --sender ...`.
int run_sender(int argc, char** argv);

}  // namespace muster::bench
