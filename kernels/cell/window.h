// The window of values nearest a centre, in integers: Meamed, Phocas and Bulyan's second stage.
//
// Values are on the grid and the centre is a fraction, sum / count, of the same grid; distances are
// therefore compared times `count`. With |v| * n <= 2^62 for n rows (the grid of the round) and
// count <= n all of them fit 64 bits.
#pragma once

#include "kernels/cell/cell.h"

namespace muster::kernels::cell {

MUSTER_CELL int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
MUSTER_CELL int64_t larger(int64_t a, int64_t b) { return a < b ? b : a; }

/// count * |v - sum / count|.
MUSTER_CELL int64_t scaled_distance(int64_t v, int64_t sum, int64_t count) {
  const int64_t difference = v * count - sum;
  return larger(difference, -difference);
}

/// The scaled distance that reaches all of a sorted run from `first` to `last`; below 0 only if the
/// run is empty. The k-th least distance is the least reach of all runs of k values.
MUSTER_CELL int64_t scaled_reach(int64_t first, int64_t last, int64_t sum, int64_t count) {
  return larger(sum - first * count, last * count - sum);
}

/// numerator / divisor rounded to the nearest integer, ties to even, for 0 < divisor < 2^32 and
/// |numerator| <= 2^62, without a division, which no vector has. `reciprocal` = 1.0 / divisor.
MUSTER_CELL int64_t divide_even(int64_t numerator, int64_t divisor, double reciprocal) {
  // The first quotient is off by its rounding errors, up to 2^10; the rest it leaves is small
  // enough that the second is off by nothing, except that a tie may go either way.
  int64_t quotient = round_even(static_cast<double>(numerator) * reciprocal);
  int64_t rest = numerator - quotient * divisor;
  quotient += round_even(static_cast<double>(rest) * reciprocal);
  rest = numerator - quotient * divisor;
  const int64_t odd = quotient & 1;
  quotient += 2 * rest == divisor ? odd : 0;
  quotient -= -2 * rest == divisor ? odd : 0;
  return quotient;
}

/// places * tie_sum / ties rounded to the nearest integer, ties to even, for places >= 0: what
/// `places` of `ties` equally distant values are worth. The product need not fit 64 bits, its parts
/// do as long as places * ties and the result do.
MUSTER_CELL int64_t split_ties(int64_t places, int64_t tie_sum, int64_t ties) {
  int64_t quotient = tie_sum / ties;
  int64_t rest = tie_sum % ties;
  quotient -= rest < 0 ? 1 : 0;
  rest += rest < 0 ? ties : 0;
  const int64_t whole = places * quotient + places * rest / ties;
  const int64_t part = places * rest % ties;
  const int64_t above = part - (ties - part);
  return whole + ((above > 0 || (above == 0 && (whole & 1) != 0)) ? 1 : 0);
}

}  // namespace muster::kernels::cell
