#!/usr/bin/env python3
"""Times Muster's rules against Flower's, ByzFL's and numpy's on the same rows (README.md).

Everything before `measure` is comparison logic without foreign packages; --self-test checks it.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
VENV = ROOT / "build" / "peers" / "venv"
SIZES = {  # (N, D)
    "quick": [(100, 100_000)],
    "default": [(100, 100_000), (1000, 100_000)],
    "full": [(100, 100_000), (100, 1_000_000), (1000, 100_000), (1000, 1_000_000)],
}
KINDS = ("f32", "i8s")
HOSTILE = 0.2  # of the rows
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def disagreement(mine, theirs):
    """Largest difference of two vectors over the largest magnitude in the second; inf for a NaN in one."""
    largest, scale = 0.0, 0.0
    for a, b in zip(mine, theirs, strict=True):
        if a != a or b != b:
            return float("inf")
        largest, scale = max(largest, abs(a - b)), max(scale, abs(b))
    return largest / scale if scale > 0 else largest


def predicted(seconds, before, now, power):
    """Seconds at size `now` of what took `seconds` at `before` and grows as N^power * D."""
    return seconds * (now[0] / before[0]) ** power * (now[1] / before[1])


def summarise(times):
    """times: contender -> seconds of each run. Medians, and how often Muster's fits into the peer's."""
    medians = {name: statistics.median(runs) for name, runs in times.items()}
    return {name: {"seconds": value, "ratio": value / medians["muster"], "runs": len(times[name])}
            for name, value in medians.items()}


def alternate(contenders, repeats, clock=time.perf_counter):
    """Runs every contender `repeats` times in turn, so that they share the machine's moods."""
    times = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            begin = clock()
            reported = run()
            times[name].append(clock() - begin if reported is None else reported)
    return times


def self_test():
    assert disagreement([1.0, 2.0], [1.0, 2.0]) == 0
    assert disagreement([1.0, 2.5], [1.0, 2.0]) == 0.25
    assert disagreement([float("nan")], [1.0]) == float("inf")
    assert disagreement([0.0], [0.0]) == 0
    try:
        disagreement([1.0], [1.0, 2.0])
        raise SystemExit("vectors of different lengths were compared")
    except ValueError:
        pass
    assert predicted(2.0, (100, 10), (1000, 20), 2) == 400
    summary = summarise({"muster": [1.0, 9.0, 2.0], "peer": [6.0, 4.0, 5.0]})
    assert summary["peer"] == {"seconds": 5.0, "ratio": 2.5, "runs": 3}
    ticks = iter(range(100))
    order = []
    times = alternate({"muster": lambda: order.append("m") or 0.5, "peer": lambda: order.append("p")},
                      2, lambda: next(ticks))
    assert order == ["m", "p", "m", "p"] and times == {"muster": [0.5, 0.5], "peer": [1, 1]}, times
    import chart
    rows = [{"kind": "f32", "n": 10, "d": 20, "rule": "a<b", "peer": "x", "seconds": 2.0, "ratio": 20.0}]
    import xml.etree.ElementTree as tree
    assert "a<b" in "".join(tree.fromstring(chart.draw(rows)).itertext())
    print("compare.py: comparison logic is sound")


def enter_venv():
    """Makes the pinned environment on first use and continues inside it."""
    python = VENV / "bin" / "python"
    if pathlib.Path(sys.prefix).resolve() == VENV.resolve():
        return
    stamp = VENV / "installed.txt"
    wanted = "".join((HERE / name).read_text() for name in ("requirements.txt", "requirements-nodeps.txt"))
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing the peers into {VENV.relative_to(ROOT)} (about 450 MB)", flush=True)
        venv.create(VENV, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", str(HERE / "requirements.txt")], check=True)
        subprocess.run([*install, "--no-deps", "-r", str(HERE / "requirements-nodeps.txt")], check=True)
        stamp.write_text(wanted)
    environment = {**os.environ, **{name: "1" for name in ONE_THREAD}, "FLWR_TELEMETRY_ENABLED": "0"}
    os.execve(str(python), [str(python), *sys.argv], environment)


class Muster:
    """A muster_peers process that holds the rows."""

    def __init__(self, program, rows, kind, folder):
        self.out, self.d = folder / "answer.bin", rows.shape[1]
        path = folder / "rows.bin"
        rows.tofile(path)
        shape = [str(rows.shape[0]), str(rows.shape[1])]
        self.process = subprocess.Popen([program, str(path), *shape, *(["i8s"] if kind == "i8s" else [])],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.description = self.process.stdout.readline().strip()
        if not self.description:
            raise SystemExit("muster_peers did not start")
        path.unlink()

    def run(self, request):
        """Seconds, and None; or None, and why not."""
        self.process.stdin.write(f"{request} {self.out}\n")
        self.process.stdin.flush()
        word, _, rest = self.process.stdout.readline().strip().partition(" ")
        return (float(rest), None) if word == "seconds" else (None, rest or "muster_peers died")

    def answer(self):
        import numpy
        return numpy.fromfile(self.out, dtype=numpy.float32)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def make_rows(n, d, kind, seed):
    """Honest rows of different lengths, a HOSTILE share of them anywhere among the others shifted."""
    import numpy
    random = numpy.random.default_rng(seed)
    rows = random.standard_normal((n, d), dtype=numpy.float32) * numpy.float32(0.3)
    rows *= random.uniform(0.8, 1.2, (n, 1)).astype(numpy.float32)
    rows[random.choice(n, int(HOSTILE * n), replace=False)] += numpy.float32(0.9)
    if kind == "i8s":  # whole multiples of 2^-6 within 127 of them: nothing is lost in Muster's codes
        rows = (numpy.clip(numpy.rint(rows * 64), -127, 127) / 64).astype(numpy.float32)
    return rows


def measure(options):
    import peers
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    folder = ROOT / "build" / "peers"
    results, failures, last = [], [], {}
    versions = peers.versions()
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    header = f"{'rows':<5} {'N':>5} {'D':>8}  {'rule':<18} {'peer':<20} {'peer s':>10} {'muster s':>10} {'ratio':>8}  agreement"
    print(header)
    for n, d in options.shapes or SIZES[options.size]:
        for kind in options.kinds:
            rows = make_rows(n, d, kind, options.seed)
            muster = Muster(options.muster, rows, kind, folder)
            for duel in peers.duels(rows, int(HOSTILE * n), kind):
                if (options.rules and duel.rule not in options.rules
                        or options.peers and duel.peer.split()[0] not in options.peers):
                    continue
                place = (kind, duel.rule, duel.peer)
                result = {"kind": kind, "n": n, "d": d, "rule": duel.rule, "peer": duel.peer}
                line = f"{kind:<5} {n:>5} {d:>8}  {duel.rule:<18} {duel.peer:<20} "
                if place in last and predicted(*last[place], (n, d), duel.power) > options.limit:
                    result["not_run"] = "a run would take over %g s" % options.limit
                    print(line + "not run: " + result["not_run"], flush=True)
                    results.append(result)
                    continue
                seconds, refusal = muster.run(duel.request)
                if refusal:
                    result["not_run"] = refusal
                    print(line + "not run: " + refusal, flush=True)
                    results.append(result)
                    continue
                begin = time.perf_counter()
                theirs = duel.run()
                last[place] = (time.perf_counter() - begin, (n, d))
                apart = float(peers.disagreement(muster.answer(), theirs))
                if apart <= duel.tolerance:
                    agreement = f"within {apart:.0e}"
                elif duel.defect:
                    agreement = f"differs ({apart:.0e}): {duel.defect}"
                else:
                    agreement = f"DIFFERS by {apart:.0e}"
                    failures.append(place)
                del theirs
                times = alternate({"muster": lambda: muster.run(duel.request)[0],
                                   "peer": lambda: duel.run() is None or None}, options.repeats)
                summary = summarise(times)
                result |= {"seconds": summary["peer"]["seconds"], "muster_seconds": summary["muster"]["seconds"],
                           "ratio": summary["peer"]["ratio"], "runs": options.repeats, "agreement": agreement}
                print(line + f"{result['seconds']:>10.4f} {result['muster_seconds']:>10.4f} "
                      f"{result['ratio']:>7.1f}x  {agreement}", flush=True)
                results.append(result)
            muster.close()
        save(options, versions, muster.description, results, [])  # a run cut short leaves what it had
    print("\nFaults of the peers (each on rows made for it):")
    faults = peers.faults()
    for line in faults:
        print("  " + line)
    save(options, versions, muster.description, results, faults)
    print(f"wrote {options.json} and {options.svg}")
    return 1 if failures else 0


def save(options, versions, description, results, faults):
    import chart
    options.json.write_text(json.dumps({"versions": versions, "muster": description, "threads": 1,
                                        "results": results, "faults": faults}, indent=1) + "\n")
    options.svg.write_text(chart.draw([row for row in results if "ratio" in row]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="size", action="store_const", const="quick", default="default")
    size.add_argument("--full", dest="size", action="store_const", const="full")
    size.add_argument("--shape", dest="shapes", nargs=2, type=int, action="append", metavar=("N", "D"),
                      help="rows of this number and length; may be given again")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--rules", nargs="+", help="only these")
    parser.add_argument("--peers", nargs="+", help="only these")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit", type=float, default=20, help="seconds a run of a peer may take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--muster", default=str(ROOT / "build" / "cpu" / "bin" / "muster_peers"))
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build" / "peers" / "peers.json")
    parser.add_argument("--svg", type=pathlib.Path, default=ROOT / "build" / "peers" / "peers.svg")
    parser.add_argument("--self-test", action="store_true", help="check the comparison logic; needs no packages")
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    if not os.access(options.muster, os.X_OK):
        sys.exit(f"{options.muster} is missing: cmake --preset cpu && ninja -C build/cpu muster_peers")
    enter_venv()
    return measure(options)


if __name__ == "__main__":
    sys.exit(main())
