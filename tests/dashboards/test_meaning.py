"""Rung 3: panels and rules name metrics, labels and label values that the catalogue has, and every
metric of the catalogue is looked at."""

import json
import re

import promql
import pytest
from conftest import (DASHBOARDS, OWN_SERIES, RULE_FILES, SCRAPE_LABELS, recorded, rules_of,
                      targets_of)

# Metrics no dashboard shows, each with the reason. There is none at present.
UNUSED: dict[str, str] = {}
# Labels that only rules and Prometheus give.
OTHER_LABELS = {"alertname", "alertstate", "severity"}


def dashboard_expressions():
    """(where, expression) of every target."""
    for file in DASHBOARDS:
        for panel, target in targets_of(json.loads(file.read_text())):
            yield f"{file.stem}: {panel['title']}", target["expr"]


def rule_expressions():
    for file in RULE_FILES:
        for rule in rules_of(file):
            yield f"{file.name}: {rule.get('alert', rule.get('record'))}", rule["expr"]


def check(where, expr, series):
    recordings = {rule["record"] for rule in recorded()}
    names = promql.names(expr)
    known = set(SCRAPE_LABELS) | {"le"}
    for selector in names.selectors:
        if selector.name in recordings:
            known |= {"task", "le", "stage", "reason"}
            continue
        if selector.name in OWN_SERIES:
            labels = {label: None for label in OWN_SERIES[selector.name]}
        else:
            assert selector.name in series, f"{where}: there is no series {selector.name}"
            labels = {**series[selector.name], **{label: None for label in SCRAPE_LABELS}}
        known |= set(labels)
        for label, op, value in selector.matchers:
            assert label in labels, f"{where}: {selector.name} has no label {label}"
            values = labels[label]
            if values is None:
                continue
            if op in ("=", "!="):
                assert value in values, f"{where}: {label} of {selector.name} is never {value}"
            elif value != ".+":
                for part in value.split("|"):
                    assert any(re.fullmatch(part, v) for v in values), (
                        f"{where}: {label} of {selector.name} is never {part}")
    assert names.grouped <= known, f"{where}: no series here has {names.grouped - known}"


@pytest.mark.parametrize("where, expr", [*dashboard_expressions()], ids=lambda text: text[:40])
def test_panels_name_what_exists(where, expr, series):
    check(where, expr, series)


def test_legends_name_labels_of_the_result(dashboard):
    for panel, target in targets_of(dashboard):
        labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        kept = promql.names(target["expr"]).grouped
        assert labels <= kept, f"{panel['title']}: {labels - kept} is summed away"


@pytest.mark.parametrize("where, expr", [*rule_expressions()], ids=lambda text: text[:40])
def test_rules_name_what_exists(where, expr, series):
    check(where, expr, series)


def test_every_metric_is_on_a_dashboard(catalogue):
    shown = {
        re.sub(r"_(sum|count|bucket)$", "", selector.name)
        for _, expr in dashboard_expressions()
        for selector in promql.names(expr).selectors
    }
    assert set(catalogue) - shown == set(UNUSED)
