// What hostile clients send in place of what they learned. The colluders are omniscient: they see
// every honest update of the round (definitions: docs/learning.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace muster::learning {

using Rows = std::vector<std::vector<float>>;

enum class Attack : std::uint8_t {
  kNone,
  kAlie,       ///< a little is enough: mu - z sigma (Baruch et al. 2019)
  kBitFlip,    ///< minus its own honest update
  kIpm,        ///< inner product manipulation: -0.1 mu (Xie et al. 2019)
  kLabelFlip,  ///< honest training on label 9 - y
  kMimic,      ///< a copy of one honest update (Karimireddy et al. 2022)
  kBoost,      ///< -10 mu: what a single careless attacker would do
};
inline constexpr Attack kAttacks[] = {Attack::kNone, Attack::kAlie,      Attack::kBitFlip,
                                      Attack::kIpm,  Attack::kLabelFlip, Attack::kMimic,
                                      Attack::kBoost};

/// "none", "ALIE", "bit flip", ...
std::string_view attack_name(Attack attack);
std::optional<Attack> parse_attack(std::string_view name);

/// Whom to copy: the honest client whose updates lie furthest out in the direction in which honest
/// updates differ most, found by Oja's rule over the first rounds and kept from then on.
class MimicTarget {
 public:
  explicit MimicTarget(std::uint32_t warm_up) : warm_up_(warm_up) {}
  std::size_t choose(const Rows& honest);

 private:
  std::uint32_t warm_up_;
  std::uint32_t round_ = 0;
  std::size_t target_ = 0;
  std::vector<float> direction_;
};

/// The rows of `count` colluders. `own`: what each would have sent if honest (label flip: after
/// training on flipped labels), read by bit and label flip. `attack` is not kNone.
Rows hostile_rows(Attack attack, const Rows& honest, const Rows& own, std::size_t count,
                  MimicTarget& mimic);

}  // namespace muster::learning
