"""One live drill an alert: a real fault in a real server, until the alert reaches the receiver."""

import http.server
import os
import pathlib
import resource
import socket
import subprocess
import threading
import time

import zmq

from .process import Failure, get
from .server import Server

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Drill:
    """A server with a fault. `alerts`: what must fire because of it."""

    alerts: tuple[str, ...] = ()
    settings: dict = {}

    def __init__(self, folder: pathlib.Path, port: int, programs: pathlib.Path, healthy: Server):
        self.healthy = healthy  # not to be harmed
        name = type(self).__name__.lower()
        self.server = Server(name, folder, port, programs, **self.settings)

    def begin(self) -> None:
        """Brings the server up, and the fault on."""
        self.server.start()

    def again(self) -> None:
        """Called every second or two until the alerts have fired: keeps the fault up."""

    def end(self) -> None:
        self.server.stop()


class SlowDisk(Drill):
    """Every sync of the spool takes a second longer, and the slab is small."""

    alerts = ("MusterSpoolSyncSlow", "MusterReceiptsSlow", "MusterBackpressure")
    settings = {"slab": "1MiB", "slot": "128KiB"}

    def begin(self):
        self.server.start(env=faulty(self.server))
        self.server.create_task("large", dimension=1 << 19, target_cohort=4, minimum_cohort=1,
                                deadline="15s")
        self.again()
        slow_down(self.server, spool=1000)

    def again(self):
        # A device gives up after a while, and its half an update stays: others take its place.
        for _ in range(8 - sum(not device.ended() for device in self.server.devices)):
            self.server.add_device("large")


class StuckStore(Drill):
    """The control store takes 6 s longer to sync, which stops a round on its way to the release;
    and the process holds memory that its budget does not know."""

    alerts = ("MusterRoundStuck", "MusterMemoryOverBudget")
    settings = {"memory": "16MiB"}

    def begin(self):
        self.server.start(env=faulty(self.server, MUSTER_FAULT_BALLAST_MIB="400"))
        self.server.create_task("late", target_cohort=100, minimum_cohort=1, deadline="1s")
        self.server.add_device("late")
        slow_down(self.server, store=6000)

    def end(self):
        slow_down(self.server)
        super().end()


class Crowded(Drill):
    """400 descriptors, and 400 peers that say nothing."""

    alerts = ("MusterDescriptorsLow", "MusterConnectionLimit")
    PEERS = 400

    def begin(self):
        self._sockets: list[socket.socket] = []
        self.server.start(prefix=("prlimit", f"--nofile={self.PEERS}"))
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
        self.again()

    def again(self):
        for peer in self._sockets:
            peer.close()
        address = ("127.0.0.1", self.server.ingest_port)
        self._sockets = [socket.create_connection(address, 10) for _ in range(self.PEERS)]

    def end(self):
        for peer in self._sockets:
            peer.close()
        super().end()


class Crashing(Drill):
    """Killed without warning, and started again. The server's own guard would end this after five
    starts, so its count is removed."""

    alerts = ("MusterRestarting",)

    def again(self):
        self.server.child.kill()
        (self.server.folder / "data/starts").unlink(missing_ok=True)
        self.server.start()


class Dead(Drill):
    """Killed, and not started again."""

    alerts = ("MusterDown",)

    def again(self):
        if not self.server.child.ended():
            self.server.child.kill()


class FullDisk(Drill):
    """The low water is above what the disk has."""

    alerts = ("MusterDiskLow", "MusterNotReady")
    settings = {"low_water": "1TiB"}


class FillingDisk(Drill):
    """Somebody else takes 60 MB a second; the low water is 6 GiB below."""

    alerts = ("MusterDiskFillsUp",)
    PACE, MOST, BELOW = 60_000_000, 3_000_000_000, 6 << 30

    def begin(self):
        self._filler = self.server.folder / "filler"
        disk = os.statvfs(self.server.folder)
        free = disk.f_bavail * disk.f_frsize
        low = free - min(self.BELOW, free // 2)
        self.server.settings["low_water"] = f"{low // (1 << 20)}MiB"
        self.server.start()
        self.server.create_task("small", target_cohort=1, minimum_cohort=1)
        self.server.add_device("small")
        self._begin = time.monotonic()

    def again(self):
        bytes_by_now = int(self.PACE * (time.monotonic() - self._begin))
        with open(self._filler, "ab") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, min(self.MOST, bytes_by_now)))

    def end(self):
        super().end()
        self._filler.unlink(missing_ok=True)


class BadRounds(Drill):
    """Rounds with too few devices, one with none, and one whose clip norm is far too small."""

    alerts = ("MusterRoundsAbandoned", "MusterCohortStalled", "MusterClipsEverything")

    def begin(self):
        self.server.start()
        self.server.create_task("lonely", target_cohort=5, minimum_cohort=3, deadline="1s")
        self.server.create_task("silent", target_cohort=5, minimum_cohort=3, deadline="0s")
        self.server.create_task("clipped", target_cohort=2, minimum_cohort=2, rule="clipped_mean",
                                clip_norm=1e-4)
        for task in ("lonely", "clipped", "clipped"):
            self.server.add_device(task)


class Strange(Drill):
    """Devices whose keys nobody enrolled try again and again."""

    alerts = ("MusterStrangers",)
    STRANGERS = 6

    def begin(self):
        self.server.start()
        self.server.create_task("club")
        self._keys = [self.server.new_key(enrol=False) for _ in range(self.STRANGERS)]

    def again(self):
        self.server.stop_devices()
        for key in self._keys:
            self.server.add_device("club", key)


class Hostile(Drill):
    """An enrolled device sends messages that are none."""

    alerts = ("MusterRefusalsHigh", "MusterPoisonSuspected")

    def begin(self):
        self.server.start()
        public, secret = self.server.read_key(self.server.new_key())
        self._socket = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.curve_publickey, self._socket.curve_secretkey = public, secret
        self._socket.curve_serverkey = self.server.muster("status")["server_key"].encode()
        self._socket.connect(f"tcp://127.0.0.1:{self.server.ingest_port}")

    def again(self):
        for _ in range(50):
            self._socket.send(b"not a message of this protocol", zmq.NOBLOCK)

    def end(self):
        self._socket.close()
        super().end()


class SpentBudget(Drill):
    """A private task whose budget bears only a few rounds."""

    alerts = ("MusterPrivacyBudgetLow", "MusterPrivacyBudgetSpent")

    def begin(self):
        self.server.start()
        self.server.create_task(
            "private", rule="clipped_mean", target_cohort=2, minimum_cohort=2,
            privacy={"clip_norm": 0.1, "noise_multiplier": 1.0, "population": "few",
                     "budget_epsilon": 15.0, "delta": 1e-6, "participations": 1000,
                     "max_devices": 1000, "allow_small_cohort": True})

    def again(self):
        # Not before Prometheus watches: the budget lasts for a few seconds, and ends once.
        while len(self.server.devices) < 2:
            self.server.add_device("private")


class BrokenGpu(Drill):
    """The device file of a GPU is there, and no plug-in that could use it."""

    alerts = ("MusterGpuFallback",)
    settings = {"backend": "auto"}

    def begin(self):
        self.server.start(env=faulty(self.server, MUSTER_FAULT_GPU="1"))


class FailingGpu(Drill):
    """There is no GPU to break: the scrape of a healthy server, with an error more each time."""

    alerts = ("MusterGpuErrors",)
    LINE = 'muster_gpu_errors_total{class="memory"} '

    def begin(self):
        self._errors = 0
        drill = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                drill._errors += 1
                text = get(f"http://{drill.healthy.address}/metrics").replace(
                    drill.LINE + "0\n", f"{drill.LINE}{drill._errors}\n")
                try:
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(text.encode())
                except BrokenPipeError:
                    pass  # Prometheus is gone

            def log_message(self, *_):
                pass

        host, port = self.server.address.split(":")
        self._proxy = http.server.ThreadingHTTPServer((host, int(port)), Handler)
        threading.Thread(target=self._proxy.serve_forever, daemon=True).start()

    def end(self):
        self._proxy.shutdown()
        self._proxy.server_close()


DRILLS = (SlowDisk, StuckStore, Crowded, Crashing, Dead, FullDisk, FillingDisk, BadRounds, Strange,
          Hostile, SpentBudget, BrokenGpu, FailingGpu)


def faulty(server: Server, **settings: str) -> dict:
    """Environment that puts faults.c under a server."""
    library = server.folder / "faults.so"
    source = ROOT / "monitoring/observe/faults.c"
    done = subprocess.run(["cc", "-O1", "-shared", "-fPIC", source, "-o", library, "-ldl"],
                          capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise Failure(f"cannot compile {source.name}:\n{done.stderr}")
    slow_down(server)
    return {"LD_PRELOAD": str(library), "MUSTER_FAULT_FILE": str(server.folder / "faults"),
            **settings}


def slow_down(server: Server, spool: int = 0, store: int = 0) -> None:
    """From now on each sync of spool and control store takes so many milliseconds longer."""
    fresh = server.folder / "faults.new"
    fresh.write_text(f"{spool} {store}")
    fresh.replace(server.folder / "faults")
