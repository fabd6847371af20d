#include "robust_agg/rule.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/limits.h"

namespace muster::robust {
namespace {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

/// The shortest text that reads back as the same number.
std::string number(double value) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  MUSTER_CHECK(error == std::errc());
  return {text, end};
}

std::string bound_text(const FaultBound& bound) {
  return bound.count ? "f=" + std::to_string(*bound.count)
                     : "byzantine_share=" + number(bound.share);
}

std::string neighbours_text(Neighbours neighbours) {
  return neighbours == Neighbours::kNMinusFMinus2 ? "n-f-2" : "n-f-1";
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
  constexpr std::string_view kNames[] = {"mean",         "clipped_mean", "median",
                                         "trimmed_mean", "krum",         "multi_krum"};
  static_assert(std::size(kNames) == std::variant_size_v<Rule>);
  return kNames[rule.index()];
}

Shape shape_of(const Rule& rule) {
  return std::visit(Overloaded{[](const Mean&) { return Shape::kRow; },
                               [](const ClippedMean&) { return Shape::kRow; },
                               [](const Median&) { return Shape::kCoordinate; },
                               [](const TrimmedMean&) { return Shape::kCoordinate; },
                               [](const Krum&) { return Shape::kGram; },
                               [](const MultiKrum&) { return Shape::kGram; }},
                    rule);
}

FaultBound fault_bound(const Rule& rule) {
  return std::visit(Overloaded{[](const Mean&) { return FaultBound{}; },
                               [](const ClippedMean&) { return FaultBound{}; },
                               [](const Median&) { return FaultBound{}; },
                               [](const auto& bounded) { return bounded.f; }},
                    rule);
}

std::uint32_t minimum_cohort(const Rule& rule, std::uint32_t f) {
  return std::visit(
      Overloaded{[](const Mean&) { return 1u; }, [](const ClippedMean&) { return 1u; },
                 [](const Median&) { return 1u; }, [f](const TrimmedMean&) { return 2 * f + 1; },
                 [f](const Krum&) { return 2 * f + 3; },
                 [f](const MultiKrum& krum) { return std::max(2 * f + 3, krum.m); }},
      rule);
}

bool uses_sketches(const Rule& rule) {
  if (const auto* krum = std::get_if<Krum>(&rule)) return krum->scores == Scores::kSketched;
  if (const auto* multi = std::get_if<MultiKrum>(&rule)) return multi->scores == Scores::kSketched;
  return false;
}

bool uses_weights(const Rule& rule) { return shape_of(rule) == Shape::kRow; }

Status accepts(const Rule& rule, ChunkFormat format) {
  const auto refuse = [&](std::string why) {
    return Status(Code::kInvalid, "rule_codec", std::string(rule_name(rule)) + ": " + why);
  };
  switch (format.codec) {
    case Codec::kF32:
    case Codec::kF16:
    case Codec::kBF16:
      if (format.log2_block != 0)
        return refuse(std::string(codec_name(format.codec)) + " has no blocks");
      return {};
    case Codec::kI8B:
    case Codec::kI8S:
      if ((std::uint64_t{1} << std::min<int>(format.log2_block, 63)) > limits::kMaxChunkCoordinates)
        return refuse("a block of 2^" + std::to_string(format.log2_block) +
                      " coordinates is longer than a chunk");
      return {};
  }
  return refuse("codec " + std::to_string(static_cast<int>(format.codec)) + " is not known");
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
          }},
      rule);
}

std::string to_string(const Rule& rule) {
  const std::string parameters = std::visit(
      Overloaded{
          [](const Mean&) { return std::string(); }, [](const Median&) { return std::string(); },
          [](const ClippedMean& clipped) { return "clip_norm=" + number(clipped.clip_norm); },
          [](const TrimmedMean& trimmed) { return bound_text(trimmed.f); },
          [](const Krum& krum) {
            return bound_text(krum.f) + ", neighbours=" + neighbours_text(krum.neighbours) +
                   scores_text(krum.scores);
          },
          [](const MultiKrum& krum) {
            return bound_text(krum.f) +
                   ", m=" + (krum.m == 0 ? std::string("n-f-2") : std::to_string(krum.m)) +
                   ", neighbours=" + neighbours_text(krum.neighbours) + scores_text(krum.scores);
          }},
      rule);
  const std::string name(rule_name(rule));
  return parameters.empty() ? name : name + "(" + parameters + ")";
}

}  // namespace muster::robust
