"""The live checks would notice: what panels.problems, the drill copy and the pictures make of
data that is wrong."""

import sys

import pytest
from conftest import ROOT, RULE_FILES

sys.path.insert(0, str(ROOT / "monitoring"))
from observe import chart, drill_run, panels, picture, rules, units  # noqa: E402


def dashboard(kind="timeseries", **defaults):
    return {"uid": "d", "title": "D", "panels": [{
        "id": 1, "type": kind, "title": "P", "gridPos": {"x": 0, "y": 0, "w": 8, "h": 8},
        "options": {}, "targets": [{"expr": "up", "legendFormat": "{{instance}}"}],
        "fieldConfig": {"defaults": {"unit": "s", "custom": {}, **defaults}}}]}


def answer(*values):
    return {1: [[{"name": "a", "labels": {}, "times": [float(i) for i in range(len(values))],
                  "values": list(values)}]]}


@pytest.mark.parametrize("answers, complaint", [
    ({1: [[]]}, "no data"),
    (answer(1.0, float("nan")), "nan"),
    (answer(float("inf")), "inf"),
    (answer(0.5, -1.0), "below 0"),
    (answer(0.5, 1.2), "above 1"),
])
def test_bad_data_is_reported(answers, complaint):
    found = panels.problems(dashboard(min=0, max=1), answers)
    assert len(found) == 1 and complaint in found[0]


def test_good_data_is_not():
    assert panels.problems(dashboard(min=0, max=1), answer(0.0, 0.5, 1.0)) == []


def test_variables_are_expanded_as_grafana_does():
    expr = 'rate(a{job=~"$job", task=~"$task"}[$__rate_interval]) + increase(b[$__range])'
    assert panels.expand(expr, span=600, step=5, scrape=15) == (
        'rate(a{job=~".+", task=~".+"}[60s]) + increase(b[600s])')
    assert "[135s]" in panels.expand(expr, span=600, step=120, scrape=15)


def test_the_drill_copy_changes_windows_and_nothing_else():
    assert rules.scaled("rate(a[5m]) > 0.2") == "rate(a[15s]) > 0.2"
    assert rules.scaled("predict_linear(a[1h], 4 * 3600) < b") == "predict_linear(a[100s], 400) < b"
    assert rules.scaled("a > 2 * (b > 0)") == "a > 2 * (b > 0)"


def test_every_alert_has_a_drill():
    assert drill_run.undrilled(RULE_FILES) == []


def test_every_kind_of_panel_can_be_drawn():
    drawn = picture.draw(dashboard(min=0), answer(0.0, 2.0, 1.0), 0.0, 2.0)
    assert drawn.count("<polyline") > 3 and ">2 s<" in drawn
    assert "No data" in picture.draw(dashboard(), {1: [[]]}, 0.0, 2.0)
    assert set(chart.DRAW) == {"timeseries", "stat", "heatmap", "state-timeline"}


@pytest.mark.parametrize("value, unit, text", [
    (0.0042, "s", "4.2 ms"), (90, "s", "1.5 min"), (3 * 2**20, "bytes", "3 MiB"),
    (2048, "binBps", "2 KiB/s"), (0.25, "percentunit", "25%"), (12500, "none", "12.5 K"),
    (7, "ops", "7 ops/s"), (1e-6, "sci", "1.0e-06"),
])
def test_numbers_read_as_in_grafana(value, unit, text):
    assert units.text(value, unit) == text
