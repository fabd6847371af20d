"""Runs a server under load and a Prometheus; checks what the dashboards show, and draws them."""

import argparse
import contextlib
import pathlib
import shutil
import signal
import sys
import time

from . import catalogue, drill_run, fleet, panels, picture
from .process import Failure

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = [ROOT / "monitoring/prometheus/muster.rules.yml",
         ROOT / "monitoring/alerts/muster-alerts.yml"]
SETTLE = 8  # seconds until rates have something to look back on


def folder(text: str) -> pathlib.Path:
    return pathlib.Path(text).resolve()  # children have working folders of their own


def say(text: str) -> None:
    print(f"observe: {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="observe", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="least length of the run")
    parser.add_argument("--port", type=int, default=27000, help="the first of 50 to use")
    parser.add_argument("--out", type=folder, default=ROOT / "build/monitoring/run")
    parser.add_argument("--programs", type=folder, default=ROOT / "build/cpu/bin")
    parser.add_argument("--tools", type=folder,
                        default=ROOT / "build/monitoring/tools/usr/bin")
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
    healthy = fleet.start(options.out, options.port, options.programs, stack.callback)
    begin = time.time()
    for server in healthy:
        say(f"{server.name}: http://{server.address}/status")
    watch = drill_run.Watch(healthy, options.out, options.port + 4, options.tools, RULES)
    stack.callback(watch.stop)
    wrong = []
    if options.drill:
        wrong += [f"{alert} has no drill" for alert in drill_run.undrilled(RULES)]
        watch.add(options.programs, options.only)
    watch.start()
    say(f"Prometheus: {watch.prometheus.url}")
    start = time.time() + SETTLE
    if options.drill:
        wrong += watch.drill(options.patience, say)
    time.sleep(max(0.0, begin + options.seconds - time.time()))
    wrong += catalogue.problems(healthy, say)
    wrong += judge(watch.prometheus, options.out, start, time.time())
    wrong += watch.false_alarms()
    return wrong


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
