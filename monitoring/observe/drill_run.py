"""Rung 5, live: all drills at once beside a healthy server, through Prometheus and Alertmanager."""

import pathlib
import time

from .drills import DRILLS, Drill
from .process import Failure
from .rules import alerts_of, drill_copy
from .server import Server
from .server import Server
from .watch import Alertmanager, Prometheus, Receiver

PAUSE = 1.5


class Watch:
    """What watches the servers: five ports from `port` on are its own, and those of the drills."""

    prometheus: Prometheus

    def __init__(self, healthy: list[Server], folder: pathlib.Path, port: int, tools: pathlib.Path,
                 rules: list[pathlib.Path]):
        self._healthy, self._folder, self._port, self._tools = healthy, folder, port, tools
        self._rules = rules
        self._drills: list[Drill] = []
        self._open: list = []

    def add(self, programs: pathlib.Path, only: str) -> None:
        """Brings the drills' servers up with their faults; those whose name holds `only`."""
        for number, kind in enumerate(DRILLS):
            if only.lower() not in kind.__name__.lower():
                continue
            drill = kind(self._folder, self._port + 6 + 2 * number, programs, self._healthy[0])
            self._drills.append(drill)
            drill.begin()

    def start(self) -> None:
        self._receiver = Receiver(self._port + 2)
        self._open.append(self._receiver)
        alertmanager = Alertmanager(self._tools / "prometheus-alertmanager",
                                    self._folder / "alertmanager", self._port + 1, self._port + 2)
        self._open.append(alertmanager)
        servers = [*self._healthy, *(drill.server for drill in self._drills)]
        copies = self._folder / "rules"
        copies.mkdir()
        self.prometheus = Prometheus(
            self._tools / "prometheus", self._folder / "prometheus", self._port,
            {server.name: server.address for server in servers},
            [drill_copy(file, copies) for file in self._rules], alertmanager.address)
        self._open.append(self.prometheus)

    def drill(self, patience: float, say) -> list[str]:
        """Keeps the faults up until the receiver has every drill's alerts."""
        waiting = {(alert, drill.server.name): drill
                   for drill in self._drills for alert in drill.alerts}
        begin = time.monotonic()
        while waiting and time.monotonic() < begin + patience:
            for drill in {id(drill): drill for drill in waiting.values()}.values():
                drill.again()
            time.sleep(PAUSE)
            for alert, instance in [key for key in waiting if self._receiver.has(*key)]:
                say(f"{alert} fired for {instance} after {time.monotonic() - begin:.0f} s")
                del waiting[alert, instance]
        return [f"{alert} did not fire for {instance} in {patience:.0f} s"
                for alert, instance in waiting]

    def false_alarms(self) -> list[str]:
        return [f"{alert} fired for {server.name}, where nothing is wrong"
                for server in self._healthy for alert in self._receiver.of(server.name)]

    def stop(self) -> None:
        for thing in reversed(self._open):
            thing.stop()
        for drill in self._drills:
            drill.server.ask_to_stop()
        for drill in self._drills:
            drill.end()


def undrilled(rules: list[pathlib.Path]) -> list[str]:
    """Alerts without a drill."""
    drilled = {alert for kind in DRILLS for alert in kind.alerts}
    known = {alert for file in rules for alert in alerts_of(file)}
    if unknown := drilled - known:
        raise Failure(f"drills for alerts there are not: {sorted(unknown)}")
    return sorted(known - drilled)
