#include "loadtest/load_plan.h"

#include <algorithm>
#include <array>
#include <utility>

namespace muster::loadtest {
namespace {

constexpr std::array<std::pair<Profile, std::string_view>, 4> kProfiles = {
    {{Profile::kPhones, "phones"},
     {Profile::kCars, "cars"},
     {Profile::kHospitals, "hospitals"},
     {Profile::kGateways, "gateways"}}};
constexpr std::array<std::pair<PeerKind, std::string_view>, 5> kPeerKinds = {
    {{PeerKind::kGarbage, "garbage"},
     {PeerKind::kSlowLoris, "slow_loris"},
     {PeerKind::kOversized, "oversized"},
     {PeerKind::kHalfOpen, "half_open"},
     {PeerKind::kIdle, "idle"}}};

template <class T, std::size_t N>
std::string_view name_of(const std::array<std::pair<T, std::string_view>, N>& names, T value) {
  for (const auto& [candidate, name] : names)
    if (candidate == value) return name;
  return "unknown";
}

template <class T, std::size_t N>
std::optional<T> find(const std::array<std::pair<T, std::string_view>, N>& names,
                      std::string_view name) {
  for (const auto& [value, candidate] : names)
    if (candidate == name) return value;
  return std::nullopt;
}

}  // namespace

std::string_view profile_name(Profile profile) { return name_of(kProfiles, profile); }
std::optional<Profile> parse_profile(std::string_view name) { return find(kProfiles, name); }
std::string_view peer_kind_name(PeerKind kind) { return name_of(kPeerKinds, kind); }
std::optional<PeerKind> parse_peer_kind(std::string_view name) { return find(kPeerKinds, name); }

FleetPlan profile_plan(Profile profile) {
  FleetPlan plan;
  plan.name = profile_name(profile);
  plan.profile = profile;
  switch (profile) {
    case Profile::kPhones:
      plan.drop_out = 0.3;
      plan.duplicates = 0.01;
      plan.stragglers = 0.05;
      plan.slow_links = 0.1;
      break;
    case Profile::kCars:
      plan.stays = true;
      plan.drop_out = 0.1;
      plan.duplicates = 0.02;
      plan.storm_every = 30 * kSecond;
      plan.storm_share = 0.2;
      break;
    case Profile::kHospitals:
      plan.devices = 20;
      plan.stays = true;
      plan.poisson = false;
      break;
    case Profile::kGateways:
      plan.devices = 10'000;
      plan.stays = true;
      plan.checks_in = false;
      plan.fetches = false;
      break;
  }
  return plan;
}

Nanoseconds LoadPlan::length() const {
  Nanoseconds sum = 0;
  for (const Phase& phase : phases) sum += phase.settle + phase.duration;
  return sum;
}

double peak_rate(const LoadPlan& plan) {
  double peak = 0;
  for (const Phase& phase : plan.phases) {
    double sum = 0;
    for (const std::uint32_t fleet : phase.fleets)
      if (const auto& rate = plan.fleets[fleet].rate)
        sum += rate->shape == Rate::Shape::kConstant ? rate->from : std::max(rate->from, rate->to);
    peak = std::max(peak, sum);
  }
  return peak;
}

}  // namespace muster::loadtest
