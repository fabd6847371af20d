"""Runs a server under load and a Prometheus; checks what the dashboards show, and draws them."""

import argparse
import contextlib
import pathlib
import shutil
import signal
import sys
import time

from . import drill_run, panels, picture
from .process import Failure
from .server import Server
from .watch import Prometheus

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = [ROOT / "monitoring/prometheus/muster.rules.yml",
         ROOT / "monitoring/alerts/muster-alerts.yml"]
SETTLE = 8  # seconds until rates have something to look back on


def say(text: str) -> None:
    print(f"observe: {text}", flush=True)


def healthy_server(folder, port, programs) -> Server:
    server = Server("muster-0", folder, port, programs)
    server.start()
    server.create_task("keyboard", target_cohort=6, minimum_cohort=3, rule="trimmed_mean",
                       byzantine_share=0.2, deadline="30s")
    server.create_task("vision", target_cohort=5, minimum_cohort=3, rule="clipped_mean",
                       clip_norm=0.15, deadline="30s", codec="i8s")
    for task, count in (("keyboard", 8), ("vision", 6)):
        for _ in range(count):
            server.add_device(task)
    return server


def main() -> int:
    parser = argparse.ArgumentParser(prog="observe", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="least length of the run")
    parser.add_argument("--port", type=int, default=27000, help="the first of 50 to use")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/monitoring/run")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build/cpu/bin")
    parser.add_argument("--tools", type=pathlib.Path, default=ROOT / "build/monitoring/tools/usr/bin")
    parser.add_argument("--drill", action="store_true", help="a live drill of every alert")
    parser.add_argument("--only", default="", help="drills whose name holds this")
    parser.add_argument("--patience", type=int, default=180, help="seconds alerts may take")
    parser.add_argument("--keep", action="store_true", help="go on until Ctrl-C")
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        wrong = observe(options, stack)
        for problem in wrong:
            say(problem)
        if options.keep:
            say("Ctrl-C ends it")
            signal.pause()
    say(f"{len(wrong)} things are wrong" if wrong else "all is well")
    return 1 if wrong else 0


def observe(options, stack) -> list[str]:
    server = healthy_server(options.out, options.port, options.programs)
    stack.callback(server.stop)
    begin = time.time()
    say(f"status page http://{server.address}/status")
    wrong = []
    if options.drill:
        prometheus, wrong = drill_run.run(
            server, options.out, options.port, options.programs, options.tools, RULES,
            options.patience, say, stack, options.only)
    else:
        prometheus = Prometheus(options.tools / "prometheus", options.out / "prometheus",
                                options.port + 2, {server.name: server.address}, RULES)
        stack.callback(prometheus.stop)
        say(f"load for {options.seconds} s")
    start = time.time() + SETTLE if not options.drill else begin + SETTLE
    time.sleep(max(0.0, begin + options.seconds - time.time()))
    return wrong + judge(prometheus, options.out, start, time.time())


def judge(prometheus, out, start, end) -> list[str]:
    """Every panel's queries over the run; pictures of what they gave."""
    wrong, queries = [], 0
    for name, dashboard in panels.load(ROOT / "monitoring/dashboards").items():
        answers = panels.run(prometheus, dashboard, start, end)
        queries += sum(len(results) for results in answers.values())
        wrong += panels.problems(dashboard, answers)
        say(f"picture {picture.write(name, picture.draw(dashboard, answers, start, end), out)}")
    say(f"{queries} queries of 5 dashboards ran over {end - start:.0f} s of data")
    return wrong


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"observe: {failure}")
