"""Prints 200 random configurations with dp-accounting's epsilon, as CSV.

Kinds, and what coincides with privacy/:
  gaussian  the exact Gaussian: the same quantity, so equal
  rdp       Gaussian rounds, the same orders and conversion: equal
  poisson   RDP of Poisson-sampled rounds, the same orders, series and conversion: equal
  fixed     RDP of fixed-size samples, the same theorem: equal
  tree      RDP of restarted trees: equal
  pld       loss distributions of Poisson-sampled rounds, add-remove: two upper bounds on one
            quantity, here on a grid fine enough that its own excess is below 1e-6
  replace   the same under replace-one
  capped    the same with a capacity (truncated Poisson)
"""

import math
import random

import dp_accounting as dp
from dp_accounting import pld, rdp

SEED = 20260801
REPLACE_ONE = dp.NeighboringRelation.REPLACE_ONE


def renyi(event, count, delta, relation=dp.NeighboringRelation.ADD_OR_REMOVE_ONE):
    accountant = rdp.RdpAccountant(neighboring_relation=relation)
    accountant.compose(event, count)
    return accountant.get_epsilon(delta)


def losses(event, count, delta, interval, relation=dp.NeighboringRelation.ADD_OR_REMOVE_ONE):
    accountant = pld.PLDAccountant(relation, value_discretization_interval=interval)
    accountant.compose(event, count)
    return accountant.get_epsilon(delta)


def interval(q, z, rounds):
    """A grid far below the scale of one round's loss and of all, of at most a million cells."""
    scale = min(q * math.sqrt(math.expm1(1 / z**2)), 1 / z)
    reach = (24 / z + 1 / z**2) / 2
    return max(reach / 1_000_000, min(1e-4, scale / 300, scale * math.sqrt(rounds) / 8000))


def configurations():
    draw = random.Random(SEED)

    def log_uniform(low, high):
        return math.exp(draw.uniform(math.log(low), math.log(high)))

    def rounded(x):
        return float(f"{x:.6g}")

    def common(z_low, z_high, rounds_high):
        return (
            rounded(log_uniform(z_low, z_high)),
            round(log_uniform(1, rounds_high)),
            rounded(log_uniform(1e-10, 1e-4)),
        )

    for _ in range(40):
        z, rounds, delta = common(0.4, 50, 200)
        yield "gaussian", z, rounds, 1.0, 0, 0, delta, dp.get_epsilon_gaussian(
            z / math.sqrt(rounds), delta, 1e-12
        )
    for _ in range(15):
        z, rounds, delta = common(0.4, 50, 200)
        yield "rdp", z, rounds, 1.0, 0, 0, delta, renyi(dp.GaussianDpEvent(z), rounds, delta)
    for _ in range(40):
        z, rounds, delta = common(0.4, 10, 20000)
        q = rounded(log_uniform(1e-5, 0.5))
        event = dp.PoissonSampledDpEvent(q, dp.GaussianDpEvent(z))
        yield "poisson", z, rounds, q, 0, 0, delta, renyi(event, rounds, delta)
    for _ in range(20):
        z, rounds, delta = common(1, 20, 5000)
        population = round(log_uniform(1000, 1e7))
        cohort = max(1, round(population * log_uniform(1e-4, 0.3)))
        event = dp.SampledWithoutReplacementDpEvent(population, cohort, dp.GaussianDpEvent(z / 2))
        yield "fixed", z, rounds, 0.0, population, cohort, delta, renyi(
            event, rounds, delta, REPLACE_ONE
        )
    for _ in range(10):
        z, epochs, delta = common(1, 30, 20)
        steps = draw.randint(1, 3000)
        event = dp.SingleEpochTreeAggregationDpEvent(z, steps)
        yield "tree", z, epochs, 0.0, steps, 0, delta, renyi(
            event, epochs, delta, dp.NeighboringRelation.REPLACE_SPECIAL
        )
    for _ in range(50):
        z, rounds, delta = common(0.55, 8, 2000)
        q = rounded(log_uniform(0.01, 0.5))
        event = dp.PoissonSampledDpEvent(q, dp.GaussianDpEvent(z))
        yield "pld", z, rounds, q, 0, 0, delta, losses(event, rounds, delta, interval(q, z, rounds))
    for _ in range(15):
        z, rounds, delta = common(1.1, 16, 1000)
        q = rounded(log_uniform(0.01, 0.5))
        event = dp.PoissonSampledDpEvent(q, dp.GaussianDpEvent(z))
        yield "replace", z, rounds, q, 0, 0, delta, losses(
            event, rounds, delta, interval(q, z, rounds), REPLACE_ONE
        )
    for _ in range(10):
        z, rounds, delta = common(0.7, 8, 1000)
        q = rounded(log_uniform(0.01, 0.1))
        population = round(log_uniform(1e4, 1e6))
        mean = q * population
        capacity = math.ceil(mean + draw.uniform(2, 7) * math.sqrt(mean))
        event = dp.TruncatedSubsampledGaussianDpEvent(population, q, capacity, z)
        yield "capped", z, rounds, q, population, capacity, delta, losses(
            event, rounds, delta, interval(q, z, rounds)
        )




def main():
    print("kind,noise_multiplier,rounds,q,population,cohort,delta,epsilon", flush=True)
    for *row, epsilon in configurations():
        print(*row, repr(float(epsilon)), sep=",", flush=True)


if __name__ == "__main__":
    main()
