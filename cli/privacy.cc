#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/table.h"
#include "privacy/amounts.h"
#include "privacy/correlated_noise.h"

namespace muster::cli {
namespace {

using nlohmann::json;

/// Points of the curve, and rows of the drawing.
constexpr std::uint64_t kPoints = 60;
constexpr std::size_t kRows = 12;

struct PlanOptions {
  std::uint64_t clients = 0, cohort = 0, rounds = 0, dimension = 1'000'000;
  double epsilon = 0, delta = 0, noise = 0;
  std::uint32_t participations = 0, separation = 1;
  std::string sampling = "check-in", adjacency = "zero-out";
};

Status usage(const std::string& message) { return {Code::kInvalid, "usage", message}; }

Result<privacy::Schedule> schedule_of(const PlanOptions& options) {
  privacy::Schedule plan;
  plan.rounds = options.rounds;
  plan.noise_multiplier = options.noise > 0 ? options.noise : 1;
  for (const auto adjacency : {privacy::Adjacency::kZeroOut, privacy::Adjacency::kAddRemove,
                               privacy::Adjacency::kReplaceOne})
    if (privacy::adjacency_name(adjacency) == options.adjacency) plan.adjacency = adjacency;
  const auto most = static_cast<std::uint32_t>(std::min<std::uint64_t>(options.rounds, 1u << 31));
  const privacy::Participation limit{options.participations == 0 ? most : options.participations,
                                     options.separation};
  if (options.sampling == "check-in") plan.sampling = privacy::CheckIn{limit};
  if (options.sampling == "tree") plan.sampling = privacy::Tree{limit, 0};
  if (options.sampling == "blt") plan.sampling = privacy::BltNoise{privacy::usual_blt(), limit};
  if (options.sampling == "poisson" || options.sampling == "fixed-size") {
    if (options.cohort == 0 || options.cohort > options.clients)
      return usage("sampling needs --cohort N, at most --clients");
    const double q = static_cast<double>(options.cohort) / static_cast<double>(options.clients);
    if (options.sampling == "poisson") plan.sampling = privacy::Poisson{q};
    if (options.sampling == "fixed-size")
      plan.sampling = privacy::FixedSize{options.clients, options.cohort};
  }
  MUSTER_TRY(privacy::check(plan));
  return plan;
}

/// Epsilon as the ledger will count it.
Result<double> counted(privacy::Schedule plan, std::uint64_t rounds, const PlanOptions& options,
                       int m) {
  plan.rounds = rounds;
  if (const auto* blt = std::get_if<privacy::BltNoise>(&plan.sampling))
    plan.noise_multiplier =
        privacy::blt_multiplier(plan.noise_multiplier, std::ldexp(1 / plan.noise_multiplier, m),
                                blt->blt, m, options.dimension, options.rounds);
  MUSTER_ASSIGN(const privacy::Amounts amounts, privacy::cost(plan, options.dimension, m));
  return privacy::epsilon(amounts, options.delta);
}

/// The least noise the ledger accepts for all rounds: bisection, rounded up.
Result<double> solve(privacy::Schedule plan, const PlanOptions& options, int m) {
  double low = privacy::kMinNoise, high = privacy::kMaxNoise;
  for (int i = 0; i < 60 && high > low * (1 + 1e-5); ++i) {
    plan.noise_multiplier = i == 0 ? high : std::sqrt(low * high);
    MUSTER_ASSIGN(const double spent, counted(plan, options.rounds, options, m));
    if (i == 0 && !(spent <= options.epsilon))
      return Status(Code::kInvalid, "target_out_of_reach",
                    "no noise multiplier up to 100000 meets the target; run fewer rounds");
    if (i > 0) (spent <= options.epsilon ? high : low) = plan.noise_multiplier;
  }
  return high;
}

void draw(std::ostream& out, const std::vector<std::pair<std::uint64_t, double>>& curve) {
  const double top = curve.back().second;
  for (std::size_t row = kRows; row > 0; --row) {
    const double level = top * static_cast<double>(row) / kRows;
    out << fmt::format("{:>9.3g} |", level);
    for (const auto& point : curve) out << (point.second > level - top / (2.0 * kRows) ? '#' : ' ');
    out << '\n';
  }
  out << fmt::format("{:>9} +{}\n", "epsilon", std::string(curve.size(), '-'))
      << fmt::format("{:>11}{:<{}}{}\n", "", curve.front().first,
                     std::max<std::size_t>(curve.size(), 10) - 8, curve.back().first)
      << fmt::format("{:>11}rounds\n", "");
}

Status plan(Session& session, const PlanOptions& options) {
  if (options.clients == 0 || options.rounds == 0)
    return usage("--clients and --rounds begin at 1");
  if (!(options.delta > 0 && options.delta < 1)) return usage("--delta must lie in (0, 1)");
  if ((options.epsilon > 0) == (options.noise > 0))
    return usage("give --epsilon E for a target, or --noise Z for what it costs");
  const std::uint64_t cohort = options.cohort == 0 ? options.clients : options.cohort;
  // algorithms 7.2: m >= 10 + ceil(log2 N).
  const int m =
      std::min(40, 10 + static_cast<int>(std::ceil(std::log2(static_cast<double>(cohort)))));
  MUSTER_ASSIGN(privacy::Schedule schedule, schedule_of(options));
  if (options.epsilon > 0) {
    MUSTER_ASSIGN(schedule.noise_multiplier, solve(schedule, options, m));
  }
  std::vector<std::pair<std::uint64_t, double>> curve;
  const std::uint64_t points = std::min(kPoints, options.rounds);
  for (std::uint64_t i = 1; i <= points; ++i) {
    const std::uint64_t rounds = std::max<std::uint64_t>(1, options.rounds * i / points);
    MUSTER_ASSIGN(const double spent, counted(schedule, rounds, options, m));
    curve.emplace_back(rounds, spent);
  }
  MUSTER_ASSIGN(const privacy::Spend best, privacy::tightest(schedule, options.delta));
  const double z = schedule.noise_multiplier, ledger = curve.back().second;
  json points_json = json::array();
  for (const auto& [rounds, spent] : curve)
    points_json.push_back({{"rounds", rounds}, {"epsilon", spent}});
  session.show(
      {{"noise_multiplier", z},
       {"epsilon", ledger},
       {"delta", options.delta},
       {"rounds", options.rounds},
       {"clients", options.clients},
       {"cohort", cohort},
       {"sampling", options.sampling},
       {"adjacency", options.adjacency},
       {"grid_log2", m},
       {"tightest_epsilon", best.epsilon},
       {"tightest_accountant", privacy::accountant_name(best.accountant)},
       {"noise_of_mean", z / static_cast<double>(cohort)},
       {"curve", std::move(points_json)}},
      [&](std::ostream& out) {
        print_facts(
            out,
            {{"unit", "one device's whole update, " + options.adjacency},
             {"sampling", fmt::format("{}, {} of {} devices a round", options.sampling, cohort,
                                      options.clients)},
             {"noise", fmt::format("z = {:.6g}: {:.3g} C on each coordinate of the mean", z,
                                   z / static_cast<double>(cohort))},
             {"grid", fmt::format("2^{} steps a standard deviation, exact discrete Gaussian", m)},
             {"charged", fmt::format("epsilon {:.6g} at delta {:.3g} after {} rounds", ledger,
                                     options.delta, options.rounds)},
             {"tightest", fmt::format("epsilon {:.6g} by {}", best.epsilon,
                                      privacy::conversion_name(best.accountant))}});
        out << '\n';
        draw(out, curve);
      });
  return {};
}

}  // namespace

void add_privacy(CLI::App& app, Session& session) {
  const std::string example =
      "muster privacy plan --clients 10000 --rounds 200 \\\n"
      "    --epsilon 8 --delta 1e-6 --participations 10";
  CLI::App& group = add_group(app, "privacy", "Plan what a private task costs", example);
  CLI::App& verb = add_verb(group, "plan", "Noise for a target, or a noise's cost", example);
  auto options = std::make_shared<PlanOptions>();
  verb.add_option("--clients", options->clients, "Enrolled devices")->required()->option_text("N");
  verb.add_option("--rounds", options->rounds, "Rounds in all")->required()->option_text("T");
  verb.add_option("--delta", options->delta, "Delta")->required()->option_text("D");
  verb.add_option("--epsilon", options->epsilon, "Find the least noise for it")->option_text("E");
  verb.add_option("--noise", options->noise, "Or the cost of this multiplier")->option_text("Z");
  verb.add_option("--cohort", options->cohort, "Devices a round (default all)")->option_text("N");
  verb.add_option("--participations", options->participations, "Rounds a device, at most")
      ->option_text("K");
  verb.add_option("--separation", options->separation, "Rounds from one to its next")
      ->option_text("B");
  verb.add_option("--dimension", options->dimension, "Coordinates of the model")->option_text("D");
  verb.add_option("--sampling", options->sampling, "check-in, poisson, fixed-size, tree, blt")
      ->check(CLI::IsMember({"check-in", "poisson", "fixed-size", "tree", "blt"}))
      ->option_text("S");
  verb.add_option("--adjacency", options->adjacency, "zero-out, add-remove, replace-one")
      ->check(CLI::IsMember({"zero-out", "add-remove", "replace-one"}))
      ->option_text("A");
  on_run(verb, session, [&session, options] { return plan(session, *options); });
}

}  // namespace muster::cli
