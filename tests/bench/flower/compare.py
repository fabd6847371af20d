#!/usr/bin/env python3
"""Updates a second into Flower's server path and into Muster, in turn, on one machine (README.md)."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
FOLDER = ROOT / "build" / "flower"
VENV = FOLDER / "venv"
#       name       bytes       dimension  codec  Flower's  Muster's updates   bar
CASES = {
    "40KB":      (40_000,    10_000,    "f32", 400,      30_000,            20),
    "4MB":       (4_000_000, 1_000_000, "f32", 64,       600,               5),
    # The same model as int8, as Muster's devices would send it; no bar is set on it.
    "4MB-int8":  (4_000_000, 1_000_000, "i8s", 64,       2_000,             None),
}


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def environment():
    python = VENV / "bin" / "python"
    if not python.exists():
        print(f"making {VENV} (once)", file=sys.stderr)
        venv.create(VENV, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True)
    return python


def run_flower(python, size, count, threads, port):
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/instructions"
        server = subprocess.Popen([python, HERE / "fleet_server.py", str(port), str(count), path],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            facts = json.loads(server.stdout.readline())
            before, busy = resident(server.pid), cpu_seconds(server.pid)
            done = subprocess.run([python, HERE / "fleet_client.py", str(port), str(size), str(threads), path,
                                   str(facts["run"]), str(facts["node"])], check=True, capture_output=True, text=True)
            result = json.loads(done.stdout.splitlines()[-1])
            return (result["updates"] / result["seconds"], (resident(server.pid) - before) / count,
                    (cpu_seconds(server.pid) - busy) / count)
        finally:
            server.stdin.close()
            server.wait(30)


SCENARIO = """name = "flower-{name}"
duration = "300s"
answer_only = true
distinct = {distinct}
[server]
max_connections = 64
slab = "256MiB"
encrypt = "private"
[task]
name = "flower"
dimension = {dimension}
codec = "{codec}"
chunk_coordinates = 262144
rule = "mean"
target_cohort = {count}
minimum_cohort = {count}
over_selection = 1.0
rounds = 1
[[fleet]]
profile = "gateways"
devices = {count}
turns = {count}
connections = 8
rate = 100000.0
poisson = false
[thresholds]
unanswered = 0
rounds_at_least = 1
"""


def run_muster(muster, name, dimension, codec, count):
    out = FOLDER / name
    out.mkdir(parents=True, exist_ok=True)
    scenario = FOLDER / f"{name}.toml"
    scenario.write_text(SCENARIO.format(name=name.lower(), dimension=dimension, codec=codec, count=count,
                                        distinct=max(8, min(64, 20_000_000 // dimension // 4))))
    done = subprocess.run([muster, "loadtest", scenario, "--out", out, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"muster loadtest {scenario} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    result = json.loads(done.stdout)
    assert result["check"]["exact"] and result["check"]["receipts"] == count, result["check"]
    first = result["samples"][0]["server_bytes"]
    return (count / result["last_receipt"], max(result["server"]["peak_bytes"] - first, 0) / count,
            result["server"]["cpu_seconds"] / count)


def summarise(flower, muster):
    """Lists of (updates a second, bytes an update, server CPU seconds an update); medians, and how often better Muster is
    by the clock and by the processor."""
    rate, size, cpu = ([statistics.median(one[i] for one in side) for side in (flower, muster)] for i in range(3))
    return {"flower": rate[0], "muster": rate[1], "ratio": rate[1] / rate[0], "flower_bytes": size[0],
            "muster_bytes": size[1], "flower_cpu": cpu[0], "muster_cpu": cpu[1], "cpu_ratio": cpu[0] / cpu[1],
            "runs": min(len(flower), len(muster))}


def self_test():
    summary = summarise([(10, 4, 8), (30, 5, 6), (20, 6, 7)], [(400, 1, 2), (200, 2, 1), (300, 3, 3.5)])
    assert summary == {"flower": 20, "muster": 300, "ratio": 15, "flower_bytes": 5, "muster_bytes": 2, "flower_cpu": 7,
                       "muster_cpu": 2, "cpu_ratio": 3.5, "runs": 3}
    text = SCENARIO.format(name="x", dimension=1, codec="f32", count=2, distinct=3)
    assert "{" not in text and 'codec = "f32"' in text
    print("self-test passed")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=8, help="of Flower's client")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--muster", default=str(ROOT / "build" / "cpu" / "bin" / "muster"))
    parser.add_argument("--port", type=int, default=28_900)
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    FOLDER.mkdir(parents=True, exist_ok=True)
    python = environment()
    results = {}
    print(f"{'case':<10} {'Flower/s':>9} {'Muster/s':>9} {'ratio':>7} {'bar':>5}  {'server CPU an update':>31}  server memory an update")
    for name in options.cases:
        size, dimension, codec, few, many, bar = CASES[name]
        flower, muster = [], []
        for _ in range(options.repeats):  # in turn, so that they share the machine's moods
            flower.append(run_flower(python, size, few, options.threads, options.port))
            muster.append(run_muster(options.muster, name, dimension, codec, many))
        results[name] = summary = summarise(flower, muster)
        print(f"{name:<10} {summary['flower']:>9.0f} {summary['muster']:>9.0f} {summary['ratio']:>6.1f}x {bar or '-':>5}  "
              f"{1e3 * summary['flower_cpu']:>8.2f} / {1e3 * summary['muster_cpu']:.3f} ms = {summary['cpu_ratio']:>5.1f}x  "
              f"Flower {summary['flower_bytes'] / 1e3:.0f} kB, Muster {summary['muster_bytes'] / 1e3:.2f} kB", flush=True)
    (FOLDER / "flower.json").write_text(json.dumps(results, indent=1))
    missed = [name for name in options.cases if CASES[name][5] and results[name]["ratio"] < CASES[name][5]]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
