"""Where things lie, and the catalogue as the program prints it."""

import functools
import json
import os
import pathlib
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "monitoring/dashboards").glob("*.json"))
RULE_FILES = sorted((ROOT / "monitoring/alerts").glob("*.yml")) + sorted(
    (ROOT / "monitoring/prometheus").glob("*.rules.yml")
)
RUNBOOKS = ROOT / "docs/runbooks"
# Labels that Prometheus gives every series, and those of histograms.
SCRAPE_LABELS = {"job", "instance"}
# Series that Prometheus makes itself.
OWN_SERIES = {
    "up": SCRAPE_LABELS,
    "ALERTS": SCRAPE_LABELS | {"alertname", "alertstate", "severity"},
}


def panels_of(dashboard: dict) -> list[dict]:
    """All panels but rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets_of(dashboard: dict) -> list[tuple[dict, dict]]:
    return [(panel, target) for panel in panels_of(dashboard) for target in panel["targets"]]


@functools.cache
def rules_of(file: pathlib.Path) -> list[dict]:
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict]:
    return [rule for file in RULE_FILES for rule in rules_of(file) if "alert" in rule]


def recorded() -> list[dict]:
    return [rule for file in RULE_FILES for rule in rules_of(file) if "record" in rule]


@pytest.fixture(params=DASHBOARDS, ids=lambda file: file.stem)
def dashboard(request) -> dict:
    return json.loads(request.param.read_text())


@pytest.fixture(scope="session")
def catalogue() -> dict[str, dict]:
    """Metric -> its row, from the program that was built."""
    program = os.environ.get("MUSTER_BIN", str(ROOT / "build/cpu/bin/muster"))
    shown = subprocess.run(
        [program, "metrics", "--list", "--json"], check=True, capture_output=True, timeout=60
    )
    return {metric["name"]: metric for metric in json.loads(shown.stdout)["metrics"]}


@pytest.fixture(scope="session")
def series(catalogue) -> dict[str, dict[str, set[str] | None]]:
    """Name of a series as scraped -> its labels -> their values, None where they are open."""
    known = {}
    for metric in catalogue.values():
        labels = {label["name"]: set(label.get("values", ())) or None for label in metric["labels"]}
        if metric["type"] == "histogram":
            known[metric["name"] + "_sum"] = known[metric["name"] + "_count"] = labels
            known[metric["name"] + "_bucket"] = {**labels, "le": None}
        else:
            known[metric["name"]] = labels
    return known
