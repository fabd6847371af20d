"""Rung 2: what Grafana's dashboard-linter asks, rule by rule, as tests of our own."""

import re

import promql
import pytest
from conftest import panels_of, targets_of

# Units of Grafana's catalogue that we use; one that is not here is a slip of the pen.
UNITS = {"none", "s", "dtdurations", "bytes", "binBps", "ops", "percentunit", "sci"}
DATASOURCE = "${datasource}"


def variable(dashboard, name):
    found = [v for v in dashboard["templating"]["list"] if v["name"] == name]
    assert len(found) == 1, f"there must be one variable ${name}"
    return found[0]


def test_template_datasource_rule(dashboard):
    source = variable(dashboard, "datasource")
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    assert source["label"] == "Data source"


@pytest.mark.parametrize("name, label", [("job", "Job"), ("instance", "Instance")])
def test_template_job_and_instance_rules(dashboard, name, label):
    chosen = variable(dashboard, name)
    assert chosen["type"] == "query" and chosen["label"] == label
    assert chosen["datasource"]["uid"] == DATASOURCE
    assert chosen["multi"] and chosen["includeAll"] and chosen["allValue"] == ".+"


def test_template_label_promql_rule(dashboard):
    for chosen in dashboard["templating"]["list"]:
        if chosen["type"] != "query":
            continue
        shape = re.fullmatch(r"label_values\((.+), (\w+)\)", chosen["query"])
        assert shape, chosen["query"]
        promql.parse(shape[1])


def test_template_on_time_change_reload_rule(dashboard):
    for chosen in dashboard["templating"]["list"]:
        if chosen["type"] == "query":
            assert chosen["refresh"] == 2, f"${chosen['name']} must reload when the time changes"


def test_panel_datasource_rule(dashboard):
    for panel in panels_of(dashboard):
        assert panel["datasource"] == {"type": "prometheus", "uid": DATASOURCE}, panel["title"]


def test_panel_title_description_rule(dashboard):
    for panel in panels_of(dashboard):
        assert panel["title"].strip()
        assert len(panel["description"]) > 15 and panel["description"].endswith("."), panel["title"]
    titles = [panel["title"] for panel in panels_of(dashboard)]
    assert len(titles) == len(set(titles))


def test_panel_units_rule(dashboard):
    for panel in panels_of(dashboard):
        assert panel["fieldConfig"]["defaults"].get("unit") in UNITS, panel["title"]


def test_panel_no_targets_rule(dashboard):
    for panel in panels_of(dashboard):
        assert panel["targets"], panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def test_target_logql_rule_and_target_logql_auto_rule(dashboard):
    """There is no LogQL: every target asks the Prometheus of the panel."""
    for panel, target in targets_of(dashboard):
        assert target["datasource"] == {"type": "prometheus", "uid": DATASOURCE}, panel["title"]


def test_target_promql_rule(dashboard):
    for panel, target in targets_of(dashboard):
        promql.parse(target["expr"])
        assert target["legendFormat"], f"{panel['title']}: a series without a name"


def test_target_rate_interval_rule(dashboard):
    """Windows are Grafana's: $__rate_interval, and $__range for what happened in all of it."""
    for panel, target in targets_of(dashboard):
        for window in re.findall(r"\[([^\]]+)\]", target["expr"]):
            assert window in ("$__rate_interval", "$__range"), panel["title"]
        if "rate(" in target["expr"]:
            assert "[$__rate_interval]" in target["expr"]


@pytest.mark.parametrize("label", ["job", "instance"])
def test_target_job_and_instance_rules(dashboard, label):
    for panel, target in targets_of(dashboard):
        for selector in promql.names(target["expr"]).selectors:
            assert (label, "=~", ".+") in selector.matchers, f"{panel['title']}: {selector.name}"
        assert f'{label}=~"${label}"' in target["expr"]


def test_target_counter_agg_rule(dashboard, catalogue):
    """A counter is read through rate or increase. Since-the-start totals of rare events, which
    reset with the process, say so in their title or description."""
    for panel, target in targets_of(dashboard):
        for selector in promql.names(target["expr"]).selectors:
            base = re.sub(r"_(sum|count|bucket)$", "", selector.name)
            kind = catalogue.get(selector.name, catalogue.get(base, {})).get("type")
            if kind not in ("counter", "histogram"):
                continue
            if {"rate", "increase"} & set(selector.calls):
                assert selector.calls[0] in ("rate", "increase"), panel["title"]
            else:
                assert panel["type"] == "stat" and re.search(
                    r"since the start|last start|at start|server started",
                    panel["description"]), f"{panel['title']}: {selector.name} without rate"


def test_counters_only_under_rate(dashboard, catalogue):
    """And the other way: what is under rate is a counter."""
    for panel, target in targets_of(dashboard):
        for selector in promql.names(target["expr"]).selectors:
            if {"rate", "increase"} & set(selector.calls):
                assert re.search(r"_(total|sum|count|bucket)$", selector.name), panel["title"]
                base = re.sub(r"_(sum|count|bucket)$", "", selector.name)
                kind = catalogue.get(selector.name, catalogue.get(base, {})).get("type")
                assert kind in ("counter", "histogram"), f"{panel['title']}: {selector.name}"


def test_uneditable_dashboard_rule(dashboard):
    assert dashboard["editable"] is False


def test_ranges_are_declared(dashboard):
    """Rung 4 holds values against them: every panel but heat maps and log scales has a floor."""
    for panel in panels_of(dashboard):
        defaults = panel["fieldConfig"]["defaults"]
        scale = defaults.get("custom", {}).get("scaleDistribution", {}).get("type")
        assert panel["type"] == "heatmap" or scale == "log" or "min" in defaults, panel["title"]
