"""The peers: which of their functions computes which of Muster's rules, and on what terms."""
import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import sys
import types
import typing

import numpy as np


def disagreement(mine, theirs):
    """As compare.disagreement, on arrays."""
    theirs = np.asarray(theirs, dtype=np.float64)
    difference = np.abs(mine.astype(np.float64) - theirs)
    if not np.isfinite(difference).all():
        return float("inf")
    return difference.max() / max(np.abs(theirs).max(), 1e-300)


@functools.cache
def byzfl_aggregators():
    """ByzFL's numpy rules without torch: a stand-in module answers its type tests, and the package's
    own __init__, which imports its training framework, is left out. None where it is not installed."""
    spec = importlib.util.find_spec("byzfl")
    if spec is None:
        return None
    if importlib.util.find_spec("torch") is None and "torch" not in sys.modules:
        torch = types.ModuleType("torch")
        torch.Tensor = type("Tensor", (), {})
        torch.linalg = types.ModuleType("torch.linalg")
        sys.modules |= {"torch": torch, "torch.linalg": torch.linalg}
    package = types.ModuleType("byzfl")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["byzfl"] = package
    return importlib.import_module("byzfl.aggregators.aggregators")


@functools.cache
def flower():
    try:
        return importlib.import_module("flwr.server.strategy.aggregate")
    except ImportError as error:
        print(f"Flower is left out: {error}")
        return None


def versions():
    def version(name):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"
    return {"python": sys.version.split()[0]} | {name: version(name)
                                                  for name in ("numpy", "scipy", "flwr", "byzfl", "torch")}


@dataclasses.dataclass
class Duel:
    rule: str
    peer: str
    request: str  # to muster_peers, with the peer's definition where definitions differ
    run: typing.Callable
    power: int = 1  # of N in the peer's running time
    tolerance: float = 2e-6  # f32 sums of the peer, relative to the largest coordinate
    defect: str = ""  # known, and excuses a difference


def numpy_krum(rows, f):
    squares = np.einsum("ij,ij->i", rows, rows)
    distances = squares[:, None] + squares[None, :] - 2 * (rows @ rows.T)
    np.fill_diagonal(distances, 0)
    scores = np.sort(distances, axis=1)[:, 1:len(rows) - f - 1].sum(axis=1)
    return rows[np.argmin(scores)]


def numpy_trimmed(rows, f):
    return np.partition(rows, (f, len(rows) - f - 1), axis=0)[f:len(rows) - f].mean(axis=0)


def duels(rows, f, kind):
    """What can be compared on `rows`, f of which are hostile; kind as in compare.make_rows."""
    n = len(rows)
    sums = 2e-6 * max(1, n / 1000) ** 0.5  # the peer adds n values in f32
    gram = "f32 Gram expansion without a centre (peers.md 4.1)"
    yield Duel("mean", "numpy", "mean", lambda: rows.mean(axis=0))
    yield Duel("median", "numpy", "median", lambda: np.median(rows, axis=0))
    yield Duel("trimmed_mean", "numpy partition", f"trimmed_mean f={f}", lambda: numpy_trimmed(rows, f), tolerance=sums)
    yield Duel("krum", "numpy BLAS", f"krum f={f}", lambda: numpy_krum(rows, f), 2, defect=gram)
    if (fl := flower()) is not None:
        results = [([row], 1) for row in rows]
        cut = (f + 0.5) / n  # int(cut * n) rows are cut on each side
        yield Duel("mean", "Flower", "mean", lambda: fl.aggregate(results)[0])
        yield Duel("median", "Flower", "median", lambda: fl.aggregate_median(results)[0])
        yield Duel("trimmed_mean", "Flower", f"trimmed_mean f={f}",
                   lambda: fl.aggregate_trimmed_avg(results, cut)[0], tolerance=sums)
        yield Duel("krum", "Flower", f"krum f={f}", lambda: fl.aggregate_krum(results, f, 0)[0], 2)
        yield Duel("multi_krum", "Flower", f"multi_krum f={f} m={n - f}",
                   lambda: fl.aggregate_krum(results, f, n - f)[0], 2)
    if (bz := byzfl_aggregators()) is not None:
        near = "neighbours=n-f-1"
        yield Duel("mean", "ByzFL", "mean", lambda: bz.Average()(rows))
        yield Duel("median", "ByzFL", "median", lambda: bz.Median()(rows))
        yield Duel("trimmed_mean", "ByzFL", f"trimmed_mean f={f}", lambda: bz.TrMean(f)(rows), tolerance=sums)
        yield Duel("krum", "ByzFL", f"krum f={f} {near}", lambda: bz.Krum(f)(rows), 2)
        yield Duel("multi_krum", "ByzFL", f"multi_krum f={f} m={n - f} {near}",
                   lambda: bz.MultiKrum(f)(rows), 2)
        yield Duel("geometric_median", "ByzFL", "geometric_median smoothing=0.1 iterations=3 start=zero",
                   lambda: bz.GeometricMedian(0.1, 3)(rows), tolerance=1e-5)
        yield Duel("centred_clipping", "ByzFL", "centred_clipping tau=10 iterations=3 start=zero",
                   lambda: bz.CenteredClipping(L=3, tau=10.0)(rows), tolerance=1e-5)
        yield Duel("meamed", "ByzFL", f"meamed f={f}", lambda: bz.Meamed(f)(rows), tolerance=1e-5,
                   defect="equal distances are decided by index" if kind == "i8s" else "")


def faults():
    """The peers' known faults that bear on these functions, reproduced or said to be gone."""
    random = np.random.default_rng(7)
    found = []
    rows = random.standard_normal((11, 50)).astype(np.float32)
    rows[10] = np.nan
    with np.errstate(all="ignore"):
        if (fl := flower()) is not None:
            picked = fl.aggregate_krum([([row], 1) for row in rows], 2, 0)[0]
            found.append("Flower Krum: an all-NaN update "
                         + ("wins" if np.isnan(picked).any() else "no longer wins"))
            found.append(flower_gram(random))
        if (bz := byzfl_aggregators()) is not None:
            found.append("ByzFL Krum: an all-NaN update "
                         + ("wins" if np.isnan(bz.Krum(2)(rows)).any() else "no longer wins"))
    return found


def flower_gram(random):
    """peers.md 4.1: whole weights that differ by little, as Flower's current Multi-Krum meets them."""
    from flwr.app import ArrayRecord
    from flwr.serverapp.strategy import multikrum
    base = random.standard_normal(20_000)
    rows = [(base * (1 + 1e-4 * random.standard_normal(20_000))).astype(np.float32) for _ in range(10)]
    theirs = np.asarray(multikrum.compute_distances([ArrayRecord([row]) for row in rows]))
    wide = np.asarray(rows, dtype=np.float64)
    exact = ((wide[:, None] - wide[None, :]) ** 2).sum(axis=2)
    others = ~np.eye(10, dtype=bool)
    worst = np.abs(theirs - exact)[others] / exact[others]
    return (f"Flower serverapp Multi-Krum: distances of weights 1e-4 apart are wrong by up to "
            f"{100 * worst.max():.0f} %, {int((theirs < 0).sum())} of 100 negative")
