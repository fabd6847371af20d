"""One musterd in a folder of its own, and devices that work for it."""

import json
import os
import pathlib
import socket
import subprocess
import tomllib

from .process import Child, Failure, get, wait_for

START_PATIENCE = 60.0

CONFIG = """data_dir = "{data}"
drain_grace = "2s"
[ingest]
listen = ["tcp://127.0.0.1:{ingest}"]
slab = "{slab}"
slot = "{slot}"
max_connections = {connections}
[spool]
segment = "16MiB"
low_water = "{low_water}"
[backend]
kind = "{backend}"
memory = "{memory}"
[monitoring]
listen = "127.0.0.1:{metrics}"
[log]
format = "json"
"""


class Server:
    """`name` is for people; `port` and the next one are its own. Settings go into CONFIG."""

    def __init__(self, name: str, folder: pathlib.Path, port: int, programs: pathlib.Path,
                 **settings):
        self.name, self.folder, self.programs = name, folder / name, programs
        self.address = f"127.0.0.1:{port}"
        self.ingest_port = port + 1
        self.folder.mkdir(parents=True)
        self.config = self.folder / "muster.toml"
        self.settings = {"slab": "8MiB", "slot": "0B", "connections": 1024,
                         "low_water": "64MiB", "backend": "cpu", "memory": "256MiB", **settings}
        self.child: Child | None = None
        self.devices: list[Child] = []
        self._keys = 0

    def start(self, prefix: tuple = (), env: dict | None = None, program: str = "musterd") -> None:
        """`prefix`: a command that starts the server (prlimit ...)."""
        self.config.write_text(CONFIG.format(
            data=self.folder / "data", ingest=self.ingest_port,
            metrics=self.address.rsplit(":", 1)[1], **self.settings))
        self.child = Child([*prefix, self.programs / program, "--config", self.config],
                           self.folder / "musterd.log", {**os.environ, **(env or {})})
        wait_for(f"{self.name} to answer", lambda: get(f"http://{self.address}/livez"),
                 START_PATIENCE, self.child)
        wait_for(f"the admin socket of {self.name}", self._admin_answers, START_PATIENCE,
                 self.child)

    def _admin_answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self.folder / "data/admin.sock"))
        return True

    def muster(self, *words) -> dict:
        """One command of the muster program; what it prints as JSON."""
        command = [self.programs / "muster", *words, "--json",
                   "--socket", self.folder / "data/admin.sock"]
        done = subprocess.run([str(word) for word in command], capture_output=True, timeout=60)
        if done.returncode != 0:
            raise Failure(f"{self.name}: {' '.join(map(str, command))}\n{done.stdout.decode()}{done.stderr.decode()}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def create_task(self, name: str, **settings) -> None:
        settings = {"name": name, "dimension": 1000, "codec": "i8b", "rule": "mean",
                    "over_selection": 1.0, **settings}
        tables = {key: value for key, value in settings.items() if isinstance(value, dict)}
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()
                 if key not in tables]
        for name_of_table, table in tables.items():
            lines.append(f"[{name_of_table}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        file = self.folder / f"{name}.toml"
        file.write_text("\n".join(lines) + "\n")
        self.muster("task", "create", file)

    def new_key(self, enrol: bool = True) -> pathlib.Path:
        self._keys += 1
        prefix = self.folder / f"device{self._keys}"
        self.muster("keys", "new", "--out", prefix)
        if enrol:
            self.muster("keys", "enroll", "--file", f"{prefix}.pub")
        return prefix.with_suffix(".key")

    @staticmethod
    def read_key(file: pathlib.Path) -> tuple[bytes, bytes]:
        """Public and secret key of a key file."""
        pair = tomllib.loads(file.read_text())
        return pair["public"].encode(), pair["secret"].encode()

    def add_device(self, task: str, key: pathlib.Path | None = None, *, seed: int = 0,
                   patience: int = 600) -> Child:
        """A device that takes part in every round until it is stopped."""
        key = key or self.new_key()
        number = len(self.devices)
        device = Child(
            [self.programs / "muster", "device", "--task", task, "--key-file", key,
             "--rounds", 1_000_000, "--seed", seed or number + 1, "--patience", patience,
             "--socket", self.folder / "data/admin.sock"],
            self.folder / f"device{number}.log")
        self.devices.append(device)
        return device

    def stop_devices(self) -> None:
        for device in self.devices:
            device.ask_to_stop()
        for device in self.devices:
            device.stop()
        self.devices.clear()

    def ask_to_stop(self) -> None:
        """Before stop(), where many servers end together."""
        for child in [*self.devices, self.child]:
            if child is not None:
                child.ask_to_stop()

    def stop(self) -> None:
        self.stop_devices()
        if self.child is not None:
            self.child.stop()
