"""Prometheus, Alertmanager, and a receiver that notes which alerts reach it."""

import collections
import http.server
import json
import pathlib
import threading
import urllib.parse

import yaml

from .process import Child, Failure, get, wait_for

START_PATIENCE = 60.0


class Prometheus:
    """Scrapes once a second. `targets`: name -> address; the name becomes the instance."""

    def __init__(self, program: pathlib.Path, folder: pathlib.Path, port: int,
                 targets: dict[str, str], rule_files: list[pathlib.Path],
                 alertmanager: str | None = None):
        folder.mkdir(parents=True)
        self.url = f"http://127.0.0.1:{port}"
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(file) for file in rule_files],
            "scrape_configs": [{
                "job_name": "muster",
                "static_configs": [{"targets": [address], "labels": {"instance": name}}
                                   for name, address in targets.items()],
            }],
        }
        if alertmanager:
            config["alerting"] = {
                "alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        self._child = Child(
            [program, f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}", "--query.lookback-delta=5s",
             "--log.level=warn", "--storage.tsdb.retention.time=1d"],
            folder / "prometheus.log")
        wait_for("Prometheus to be ready", lambda: get(f"{self.url}/-/ready"), START_PATIENCE,
                 self._child)

    def ask(self, path: str, **parameters) -> object:
        """`data` of an answer of the HTTP interface."""
        query = urllib.parse.urlencode(parameters)
        try:
            answer = json.loads(get(f"{self.url}/api/v1/{path}?{query}"))
        except urllib.error.HTTPError as error:
            raise Failure(f"{parameters}: {error.read().decode()}") from error
        return answer["data"]

    def value(self, expr: str) -> list[dict]:
        return self.ask("query", query=expr)["result"]

    def span(self, expr: str, start: float, end: float, step: float) -> list[dict]:
        return self.ask("query_range", query=expr, start=start, end=end, step=step)["result"]

    def stop(self) -> None:
        self._child.stop()


class Receiver:
    """Takes Alertmanager's webhooks; `fired` holds (alert, instance) that came as firing."""

    def __init__(self, port: int):
        self.fired: dict[tuple[str, str], int] = collections.Counter()
        self._lock = threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver._take(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _take(self, message: dict) -> None:
        with self._lock:
            for alert in message["alerts"]:
                if alert["status"] == "firing":
                    labels = alert["labels"]
                    self.fired[labels["alertname"], labels.get("instance", "")] += 1

    def has(self, alert: str, instance: str) -> bool:
        with self._lock:
            return (alert, instance) in self.fired

    def of(self, instance: str) -> list[str]:
        with self._lock:
            return sorted(alert for alert, where in self.fired if where == instance)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Alertmanager:
    """Sends everything to one receiver at once."""

    def __init__(self, program: pathlib.Path, folder: pathlib.Path, port: int, receiver_port: int):
        folder.mkdir(parents=True)
        self.address = f"127.0.0.1:{port}"
        config = {
            "route": {"receiver": "drill", "group_by": ["..."], "group_wait": "0s",
                      "group_interval": "1s"},
            "receivers": [{"name": "drill", "webhook_configs": [
                {"url": f"http://127.0.0.1:{receiver_port}/", "send_resolved": False}]}],
        }
        file = folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(config))
        self._child = Child(
            [program, f"--config.file={file}", f"--storage.path={folder / 'data'}",
             f"--web.listen-address={self.address}", "--cluster.listen-address=",
             "--log.level=warn"], folder / "alertmanager.log",
            folder=program.parents[1] / "share/prometheus/alertmanager")  # its templates
        wait_for("Alertmanager to be ready", lambda: get(f"http://{self.address}/-/ready"),
                 START_PATIENCE, self._child)

    def stop(self) -> None:
        self._child.stop()
