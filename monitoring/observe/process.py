"""Children of this program: started, watched, and ended by id."""

import ctypes
import pathlib
import signal
import subprocess
import time
import urllib.request

STOP_PATIENCE = 20.0
_libc = ctypes.CDLL(None)


class Failure(Exception):
    """Something did not work; the message is for the person who reads the log."""


def _end_with_parent() -> None:
    _libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Child:
    """One process. Its output goes to `log`."""

    def __init__(self, command: list, log: pathlib.Path, env: dict | None = None,
                 folder: pathlib.Path | None = None):
        self.name = pathlib.Path(command[0]).name
        self.log = log
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                [str(word) for word in command], stdout=output, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, env=env, cwd=folder, preexec_fn=_end_with_parent)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        """Without warning, as a power cut."""
        self._process.kill()
        self._process.wait()

    def ask_to_stop(self) -> None:
        if not self.ended():
            self._process.terminate()

    def stop(self) -> None:
        self.ask_to_stop()
        try:
            self._process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def get(url: str, timeout: float = 10.0) -> str:
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


def wait_for(what: str, done, patience: float, child: Child | None = None, pause: float = 0.2):
    """Calls done() until it is true or raises nothing but OSError for `patience` seconds."""
    end = time.monotonic() + patience
    while True:
        try:
            if value := done():
                return value
        except OSError:
            pass
        if child is not None and child.ended():
            raise Failure(f"{child.name} ended while {what} was awaited:\n{child.tail()}")
        if time.monotonic() > end:
            log = f":\n{child.tail()}" if child is not None else ""
            raise Failure(f"waited {patience:.0f} s for {what}{log}")
        time.sleep(pause)
