"""Rung 5, live: all drills at once beside a healthy server, through Prometheus and Alertmanager."""

import contextlib
import pathlib
import time

from .drills import DRILLS
from .process import Failure
from .rules import alerts_of, drill_copy
from .server import Server
from .watch import Alertmanager, Prometheus, Receiver

PAUSE = 1.5


def run(healthy: Server, folder: pathlib.Path, port: int, programs: pathlib.Path,
        tools: pathlib.Path, rules: list[pathlib.Path], patience: float, say,
        stack: contextlib.ExitStack, only: str = "") -> tuple[Prometheus, list[str]]:
    """Starts everything, waits until every drill's alerts have reached the receiver. Returns the
    Prometheus that watched, and what went wrong. Ends with `stack`."""
    drills = []
    for number, kind in enumerate(DRILLS):
        if only and only.lower() not in kind.__name__.lower():
            continue
        drill = kind(folder, port + 10 + 2 * number, programs)
        drills.append(drill)
    receiver = Receiver(port + 4)
    stack.callback(receiver.stop)
    alertmanager = Alertmanager(tools / "prometheus-alertmanager", folder / "alertmanager",
                                port + 3, port + 4)
    stack.callback(alertmanager.stop)
    targets = {server.name: server.address
               for server in [healthy, *(drill.server for drill in drills)]}
    copies = folder / "rules"
    copies.mkdir()
    for drill in drills:
        stack.callback(drill.end)
        drill.begin()
    prometheus = Prometheus(tools / "prometheus", folder / "prometheus", port + 2, targets,
                            [drill_copy(file, copies) for file in rules], alertmanager.address)
    stack.callback(prometheus.stop)

    waiting = {(alert, drill.server.name): drill for drill in drills for alert in drill.alerts}
    begin = time.monotonic()
    while waiting and time.monotonic() < begin + patience:
        for drill in {id(drill): drill for drill in waiting.values()}.values():
            drill.again()
        time.sleep(PAUSE)
        for alert, instance in [key for key in waiting if receiver.has(*key)]:
            say(f"{alert} fired for {instance} after {time.monotonic() - begin:.0f} s")
            del waiting[alert, instance]
    wrong = [f"{alert} did not fire for {instance} in {patience:.0f} s"
             for alert, instance in waiting]
    wrong += [f"{alert} fired for {healthy.name}, where nothing is wrong"
              for alert in receiver.of(healthy.name)]
    return prometheus, wrong


def undrilled(rules: list[pathlib.Path]) -> list[str]:
    """Alerts without a drill."""
    drilled = {alert for kind in DRILLS for alert in kind.alerts}
    known = {alert for file in rules for alert in alerts_of(file)}
    if unknown := drilled - known:
        raise Failure(f"drills for alerts there are not: {sorted(unknown)}")
    return sorted(known - drilled)
