// Noise that is correlated over rounds: which rounds' noise a release holds (tree aggregation,
// algorithms 7.7) and noise that takes back part of what went before (BLT, 7.8). What it costs is
// in privacy/correlated.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "privacy/correlated.h"

namespace muster::privacy {

/// Rounds count from 1. The prefix sum of rounds 1 .. t holds one tree node for each set bit of t;
/// the node of a bit is completed in the round that t becomes when the bits below are cleared, and
/// each round completes exactly one node that is ever used. So a node's noise is the release vector
/// of that round's key, and no node is stored. Descending: t first.
std::vector<std::uint64_t> tree_nodes(std::uint64_t t);

/// What release t adds beside its own noise when models are released (each one a prefix sum):
/// the nodes of t - 1 that t has no more, to be taken back. Their rounds' keys have to be kept as
/// long: at most log2(t) of them.
std::vector<std::uint64_t> tree_nodes_dropped(std::uint64_t t);

/// The noise of a BLT mechanism over some coordinates, round after round: x_t = z_t - round(sum_i
/// omega_i b_i), b_i = theta_i b_i + x_t. z is discrete Gaussian on the grid and x stays there, so
/// releases remain integers. Products and sums are rounded to f64 in the order of i: every machine
/// gets the same. State: theta.size() f64 a coordinate.
class BltFilter {
 public:
  /// `blt` has passed check().
  BltFilter(Blt blt, std::size_t dimension);
  /// `noise`: dimension values; z in, x out.
  void next(std::span<std::int64_t> noise);

  /// For the control store: theta.size() blocks of `dimension` values. Restoring it makes the next
  /// round what it would have been.
  std::span<const double> state() const { return buffers_; }
  void restore(std::span<const double> state);

 private:
  Blt blt_;
  std::size_t dimension_;
  std::vector<double> buffers_;
};

/// What rounding costs: with the same releases and a neighbouring input, z moves by C times the
/// change, as without rounding, and by 1 + 2E steps more a coordinate and round at most, where E
/// bounds how far f64 carries the sum of buffers from the exact one. Grid steps in L2 over a whole
/// run of noise with deviation 2^log2_sigma, rounded up; to be added to the sensitivity in steps.
double blt_rounding_units(const Blt& blt, int log2_sigma, std::uint64_t dimension,
                          std::uint64_t rounds);

/// The noise multiplier z that is left of it when one device moves a sum by `units` steps.
double blt_multiplier(double z, double units, const Blt& blt, int log2_sigma,
                      std::uint64_t dimension, std::uint64_t rounds);

}  // namespace muster::privacy
