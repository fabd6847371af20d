"""Rung 5 without a server: promtool accepts the rules, and its unit tests prove that each alert
fires and stays silent. The live half is `python -m observe --drill`."""

import os
import pathlib
import re
import subprocess

import promql
import pytest
import yaml
from conftest import ROOT, RULE_FILES, alerts

TOOLS = pathlib.Path(os.environ.get("MUSTER_TOOLS", ROOT / "build/monitoring/tools/usr/bin"))
UNIT_TESTS = sorted((ROOT / "monitoring/alerts/tests").glob("*.yml"))


def run(*command, folder=ROOT):
    done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def unit_tests():
    return [test for file in UNIT_TESTS for test in yaml.safe_load(file.read_text())["tests"]]


def test_rules_and_examples_are_valid():
    run(TOOLS / "promtool", "check", "rules", *RULE_FILES)
    examples = ROOT / "monitoring/prometheus"
    run(TOOLS / "promtool", "check", "config", "prometheus.yml", folder=examples)
    run(TOOLS / "amtool", "check-config", examples / "alertmanager.yml")


@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda file: file.stem)
def test_unit_tests_pass(file):
    run(TOOLS / "promtool", "test", "rules", file.name, folder=file.parent)


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_is_seen_firing_and_silent(alert):
    cases = [case for test in unit_tests() for case in test.get("alert_rule_test", [])
             if case["alertname"] == alert["alert"]]
    assert any(case["exp_alerts"] for case in cases), "no unit test in which it fires"
    assert any(not case["exp_alerts"] for case in cases), "no unit test in which it stays silent"


@pytest.mark.parametrize("test", unit_tests(), ids=lambda test: test["name"][:40])
def test_silence_is_not_for_lack_of_data(test):
    """Each unit test feeds every metric that its alert asks for."""
    given = {re.match(r"\w+", row["series"])[0] for row in test["input_series"]}
    recordings = {rule["record"]: rule["expr"] for file in RULE_FILES
                  for group in yaml.safe_load(file.read_text())["groups"]
                  for rule in group["rules"] if "record" in rule}
    wanted = set()
    pending = [alert["expr"] for alert in alerts()
               if alert["alert"] == test["alert_rule_test"][0]["alertname"]]
    while pending:
        for selector in promql.names(pending.pop()).selectors:
            if selector.name in recordings:
                pending.append(recordings[selector.name])
            else:
                wanted.add(selector.name)
    assert wanted <= given


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_alerts_say_what_and_how_bad(alert):
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert "{{ $labels.instance }}" in alert["annotations"]["summary"]
