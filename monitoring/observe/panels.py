"""Rung 4: every panel's queries on a real Prometheus: data, no NaN, within the declared range."""

import json
import math
import pathlib
import re

from .watch import Prometheus

# Rounding of rates and shares of counters that were read a moment apart.
TOLERANCE = 0.05
STEPS = 120


def expand(expr: str, span: float, step: float, scrape: float) -> str:
    """What Grafana puts in for its variables, with everything selected."""
    window = max(step + scrape, 4 * scrape)
    expr = expr.replace("$__rate_interval", f"{math.ceil(window)}s")
    expr = expr.replace("$__range", f"{math.ceil(span)}s")
    return re.sub(r"\$(job|instance|task)\b", ".+", expr)


def load(folder: pathlib.Path) -> dict[str, dict]:
    files = sorted(folder.glob("muster-*.json"))
    return {file.stem: json.loads(file.read_text()) for file in files}


def run(prometheus: Prometheus, dashboard: dict, start: float, end: float,
        scrape: float = 1.0) -> dict[int, list[list[dict]]]:
    """Panel -> for each target its series: {"name", "times", "values"}."""
    step = max(scrape, math.ceil((end - start) / STEPS))
    answers = {}
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            continue
        answers[panel["id"]] = [
            [_named(series, target["legendFormat"]) for series in
             prometheus.span(expand(target["expr"], end - start, step, scrape), start, end, step)]
            for target in panel["targets"]
        ]
    return answers


def _named(series: dict, legend: str) -> dict:
    labels = series["metric"]
    return {
        "name": re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), legend),
        "labels": labels,
        "times": [float(time) for time, _ in series["values"]],
        "values": [float(value) for _, value in series["values"]],
    }


def problems(dashboard: dict, answers: dict[int, list[list[dict]]]) -> list[str]:
    """What is wrong with the answers; empty: nothing."""
    found = []
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            continue
        where = f"{dashboard['uid']}: {panel['title']}"
        defaults = panel["fieldConfig"]["defaults"]
        low, high = defaults.get("min"), defaults.get("max")
        for target, result in zip(panel["targets"], answers[panel["id"]], strict=True):
            if not result:
                found.append(f"{where}: no data for {target['expr']}")
            for series in result:
                for value in series["values"]:
                    if not math.isfinite(value):
                        found.append(f"{where}: {value} in {series['name']}")
                    elif low is not None and value < low - TOLERANCE:
                        found.append(f"{where}: {value} below {low} in {series['name']}")
                    elif high is not None and value > high + TOLERANCE * high:
                        found.append(f"{where}: {value} above {high} in {series['name']}")
                    else:
                        continue
                    break
    return found
