// The rows of hostile devices for fleets that do not train: every attack of docs/loadtest.md, made
// from the honest rows all attackers are taken to know.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/codec.h"
#include "client/random.h"
#include "loadtest/attack_search.h"

namespace muster::loadtest {

enum class RowAttack : std::uint8_t {
  kSignFlip,             ///< -mu
  kOwnSignFlip,          ///< minus an honest row of its own
  kInnerProduct,         ///< -0.1 mu (inner product manipulation)
  kInnerProduct2,        ///< -2 mu ("fall of empires")
  kOptimalInnerProduct,  ///< -epsilon mu, epsilon searched against the server's own rule
  kLittleIsEnough,       ///< mu - z sigma
  kLittleIsEnoughFixed,  ///< mu + 1.5 sigma, whatever n and f
  kMimic,       ///< the honest row furthest along the direction in which honest rows differ most
  kMinMax,      ///< mu - gamma sigma, no further from any honest row than they from one another
  kMinMaxUnit,  ///< the same along -mu / |mu|
  kMinMaxSign,  ///< and along -sign mu
  kMinSum,      ///< the three for sums of squared distances
  kMinSumUnit,
  kMinSumSign,
  kLabelFlip,  ///< honest noise around the opposite of what is to be learnt
  kGaussian,   ///< noise, ten times as loud as the honest rows
  kZero,
  kDuplicate,   ///< the same honest row from all
  kBackdoor,    ///< a trigger pattern on few coordinates, boosted
  kOneSided,    ///< every coordinate just beyond the largest honest value
  kLowNorm,     ///< a thousandth of -mu: slips under selections by norm
  kHugeNorm,    ///< as large as the task's bound allows
  kPrecision,   ///< 1e30 where the codec can say it
  kInfinity,    ///< +inf where the codec can say it
  kNotANumber,  ///< NaN where the codec can say it
};

/// "sign_flip", "own_sign_flip", ... as in docs/loadtest.md.
std::string_view row_attack_name(RowAttack attack);
std::optional<RowAttack> parse_row_attack(std::string_view name);
std::vector<std::string_view> row_attack_names();

/// Whether the server must refuse what the attack sends in this codec, at the latest when it is
/// decoded: it is then no part of the cohort's valid rows.
bool is_impossible(RowAttack attack);

/// Whether two rows of the attack differ.
bool draws_at_random(RowAttack attack);

/// What attackers know of the cohort they are in.
struct AttackedCohort {
  std::span<const std::vector<float>> honest;  ///< rows of honest devices, at least two
  std::size_t n = 2, f = 0;                    ///< size of the cohort, and attackers in it
  float bound = 16;                            ///< largest magnitude a coordinate may have
  CohortRule rule = {};                        ///< the server's; empty: unknown
};

/// A hostile row of the length of the honest rows, finite. "attack_needs_rule" for
/// kOptimalInnerProduct where the rule is unknown, and the rule's Status where it fails.
Result<std::vector<float>> attack_row(RowAttack attack, const AttackedCohort& cohort,
                                      client::Random& random);

/// kPrecision, kInfinity, kNotANumber: writes the value into an encoded payload; false where the
/// codec has no place for one (shared scales): then the payload is left as it is.
bool spoil(RowAttack attack, ChunkFormat format, std::span<std::byte> payload);

}  // namespace muster::loadtest
