#include "robust_agg/rule.h"

#include <algorithm>
#include <cmath>

#include "base/limits.h"
#include "robust_agg/text.h"

namespace muster::robust {
namespace {

std::string neighbours_text(Neighbours neighbours) {
  return neighbours == Neighbours::kNMinusFMinus2 ? "n-f-2" : "n-f-1";
}

std::string start_text(Start start) {
  constexpr const char* kTexts[] = {"zero", "previous", "mean"};
  return kTexts[static_cast<std::size_t>(start)];
}

std::string scores_text(Scores scores) {
  return scores == Scores::kExact ? "" : ", scores=sketched";
}

}  // namespace

std::uint32_t FaultBound::of(std::uint32_t n) const {
  if (count) return *count;
  // share is a rounded decimal and the product rounds again: 0.29 * 100 is 28.999999999999996.
  constexpr double kGuard = 1 + 0x1p-51;
  return static_cast<std::uint32_t>(std::floor(share * n * kGuard));
}

std::string_view rule_name(const Rule& rule) {
  constexpr std::string_view kNames[] = {"mean",
                                         "clipped_mean",
                                         "median",
                                         "trimmed_mean",
                                         "krum",
                                         "multi_krum",
                                         "geometric_median",
                                         "centred_clipping",
                                         "cge",
                                         "caf",
                                         "fltrust",
                                         "monna",
                                         "sign_majority",
                                         "meamed",
                                         "phocas",
                                         "bulyan",
                                         "mda"};
  static_assert(std::size(kNames) == std::variant_size_v<Rule>);
  return kNames[rule.index()];
}

Shape shape_of(const Rule& rule) {
  return std::visit(
      Overloaded{
          [](const Mean&) { return Shape::kRow; }, [](const ClippedMean&) { return Shape::kRow; },
          [](const Median&) { return Shape::kCoordinate; },
          [](const TrimmedMean&) { return Shape::kCoordinate; },
          [](const Krum&) { return Shape::kGram; }, [](const MultiKrum&) { return Shape::kGram; },
          [](const GeometricMedian&) { return Shape::kPasses; },
          [](const CentredClipping&) { return Shape::kPasses; },
          [](const Cge&) { return Shape::kPasses; }, [](const Caf&) { return Shape::kGram; },
          [](const FlTrust&) { return Shape::kPasses; },
          [](const Monna&) { return Shape::kPasses; },
          [](const SignMajority&) { return Shape::kRow; },
          [](const Meamed&) { return Shape::kCoordinate; },
          [](const Phocas&) { return Shape::kCoordinate; },
          [](const Bulyan&) { return Shape::kGram; }, [](const Mda&) { return Shape::kGram; }},
      rule);
}

bool uses_previous(const Rule& rule) {
  if (const auto* median = std::get_if<GeometricMedian>(&rule))
    return median->start == Start::kPrevious;
  const auto* clipping = std::get_if<CentredClipping>(&rule);
  return clipping != nullptr && clipping->start == Start::kPrevious;
}

bool uses_trusted(const Rule& rule) {
  return std::holds_alternative<FlTrust>(rule) || std::holds_alternative<Monna>(rule);
}

FaultBound fault_bound(const Rule& rule) {
  return std::visit(Overloaded{[](const Mean&) { return FaultBound{}; },
                               [](const ClippedMean&) { return FaultBound{}; },
                               [](const Median&) { return FaultBound{}; },
                               [](const GeometricMedian&) { return FaultBound{}; },
                               [](const CentredClipping&) { return FaultBound{}; },
                               [](const FlTrust&) { return FaultBound{}; },
                               [](const SignMajority&) { return FaultBound{}; },
                               [](const auto& bounded) { return bounded.f; }},
                    rule);
}

bool takes_fault_bound(const Rule& rule) {
  return std::visit(
      [](const auto& kind) {
        return requires { kind.f; };
      },
      rule);
}

std::uint32_t minimum_cohort(const Rule& rule, std::uint32_t f) {
  return std::visit(
      Overloaded{[](const Mean&) { return 1u; }, [](const ClippedMean&) { return 1u; },
                 [](const Median&) { return 1u; }, [f](const TrimmedMean&) { return 2 * f + 1; },
                 [f](const Krum&) { return 2 * f + 3; },
                 [f](const MultiKrum& krum) { return std::max(2 * f + 3, krum.m); },
                 [](const GeometricMedian&) { return 1u; },
                 [](const CentredClipping&) { return 1u; }, [f](const Cge&) { return 2 * f + 1; },
                 [f](const Caf&) { return 2 * f + 1; },
                 [](const FlTrust&) { return 2u; },  // the trusted update and one to average
                 [f](const Monna&) { return 2 * f + 1; }, [](const SignMajority&) { return 1u; },
                 [f](const Meamed&) { return 2 * f + 1; }, [f](const Phocas&) { return 2 * f + 1; },
                 [f](const Bulyan&) { return 4 * f + 3; }, [f](const Mda&) { return 2 * f + 1; }},
      rule);
}

bool uses_sketches(const Rule& rule) {
  if (const auto* krum = std::get_if<Krum>(&rule)) return krum->scores == Scores::kSketched;
  if (const auto* multi = std::get_if<MultiKrum>(&rule)) return multi->scores == Scores::kSketched;
  return false;
}

bool uses_weights(const Rule& rule) {
  return std::holds_alternative<Mean>(rule) || std::holds_alternative<ClippedMean>(rule) ||
         std::holds_alternative<GeometricMedian>(rule) ||
         std::holds_alternative<CentredClipping>(rule);
}

Status accepts(const Rule& rule, ChunkFormat format) {
  const auto refuse = [&](std::string why) {
    return Status(Code::kInvalid, "rule_codec", std::string(rule_name(rule)) + ": " + why);
  };
  if (static_cast<std::uint8_t>(format.codec) >= kCodecCount)
    return refuse("codec " + std::to_string(static_cast<int>(format.codec)) + " is not known");
  const std::string name(codec_name(format.codec));
  if (!has_blocks(format.codec) && !is_rotated(format.codec)) {
    if (format.log2_block != 0) return refuse(name + " has no blocks");
  } else if ((std::uint64_t{1} << std::min<int>(format.log2_block, 63)) >
             limits::kMaxChunkCoordinates) {
    return refuse("a block of 2^" + std::to_string(format.log2_block) +
                  " coordinates is longer than a chunk");
  }
  if (!is_sound(format)) return refuse(name + " is not defined for these bits, share or block");
  const bool mean = std::holds_alternative<Mean>(rule) || std::holds_alternative<ClippedMean>(rule);
  if (format.codec == Codec::kTopK && !mean)
    return refuse(
        "with topk each device names its own coordinates, so most updates are 0 in most of them: "
        "order statistics turn 0 and distances measure little but norms, which lets an update near "
        "0 win; use randk, whose coordinates all devices share, or a mean");
  // These codecs put the rule into a space of the round; it is brought back from there at the end.
  if (in_round_space(format.codec)) {
    if (uses_previous(rule))
      return refuse("start = \"previous\" is a vector of the model, and " + name +
                    " has other coordinates each round; take another start or codec");
    if (std::holds_alternative<SignMajority>(rule))
      return refuse("the signs of " + name + " codes are not those of the model's coordinates");
  }
  return {};
}

std::string_view sensitivity(const Rule& rule) {
  return std::visit(
      Overloaded{
          [](const Mean&) { return std::string_view("none: updates are not clipped"); },
          [](const ClippedMean&) {
            return std::string_view(
                "none with the realised denominator; C * max_weight / W with a fixed public W");
          },
          [](const Median&) {
            return std::string_view(
                "none that shrinks with n: C (odd n) or C / 2 (even n), "
                "attained, for updates clipped to norm C");
          },
          [](const TrimmedMean&) {
            return std::string_view(
                "C / (n - 2f) for updates clipped to norm C; n and f public constants");
          },
          [](const Krum&) {
            return std::string_view("none useful: 2C, attained, for updates clipped to norm C");
          },
          [](const MultiKrum&) {
            return std::string_view("none useful: 2C(f + 1) / (n - f) at m = n - f");
          },
          [](const GeometricMedian&) {
            return std::string_view("none useful: 2C, attained, for updates clipped to norm C");
          },
          [](const CentredClipping&) {
            return std::string_view(
                "iterations * tau / n from a public start; n public, weights 1, no update left "
                "out");
          },
          [](const Cge&) {
            return std::string_view("none useful: 2C for updates clipped to norm C");
          },
          [](const Caf&) {
            return std::string_view("none useful: 2C for updates clipped to norm C");
          },
          [](const FlTrust&) {
            return std::string_view(
                "none useful with this denominator: 2|g|, g the trusted update");
          },
          [](const Monna&) {
            return std::string_view("none useful: 2C for updates clipped to norm C");
          },
          [](const SignMajority&) {
            return std::string_view(
                "none that shrinks with n: the votes have sqrt(d), the signs are made of them");
          },
          [](const Meamed&) {
            return std::string_view(
                "none useful: about 2 sqrt(2) C, for updates clipped to norm C");
          },
          [](const Phocas&) {
            return std::string_view(
                "none useful: about 2 sqrt(2) C, for updates clipped to norm C");
          },
          [](const Bulyan&) {
            return std::string_view("none useful: 2C, for updates clipped to norm C");
          },
          [](const Mda&) {
            return std::string_view("none useful: 2C, for updates clipped to norm C");
          }},
      rule);
}

std::string to_string(const Rule& rule) {
  const std::string parameters = std::visit(
      Overloaded{
          [](const Mean&) { return std::string(); }, [](const Median&) { return std::string(); },
          [](const ClippedMean& clipped) { return "clip_norm=" + number_text(clipped.clip_norm); },
          [](const TrimmedMean& trimmed) { return bound_text(trimmed.f); },
          [](const Krum& krum) {
            return bound_text(krum.f) + ", neighbours=" + neighbours_text(krum.neighbours) +
                   scores_text(krum.scores);
          },
          [](const MultiKrum& krum) {
            return bound_text(krum.f) +
                   ", m=" + (krum.m == 0 ? std::string("n-f-2") : std::to_string(krum.m)) +
                   ", neighbours=" + neighbours_text(krum.neighbours) + scores_text(krum.scores);
          },
          [](const GeometricMedian& median) {
            return "smoothing=" + number_text(median.smoothing) +
                   ", iterations=" + std::to_string(median.iterations) +
                   ", tolerance=" + number_text(median.tolerance) +
                   ", start=" + start_text(median.start);
          },
          [](const CentredClipping& clipping) {
            return "tau=" + number_text(clipping.tau) +
                   ", iterations=" + std::to_string(clipping.iterations) +
                   ", start=" + start_text(clipping.start);
          },
          [](const Cge& cge) { return bound_text(cge.f); },
          [](const Caf& caf) { return bound_text(caf.f); },
          [](const FlTrust&) { return std::string(); },
          [](const Monna& monna) { return bound_text(monna.f); },
          [](const SignMajority& majority) { return "step=" + number_text(majority.step); },
          [](const Meamed& meamed) { return bound_text(meamed.f); },
          [](const Phocas& phocas) { return bound_text(phocas.f); },
          [](const Bulyan& bulyan) { return bound_text(bulyan.f); },
          [](const Mda& mda) { return bound_text(mda.f); }},
      rule);
  const std::string name(rule_name(rule));
  return parameters.empty() ? name : name + "(" + parameters + ")";
}

}  // namespace muster::robust
