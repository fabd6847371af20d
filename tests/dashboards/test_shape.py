"""Rung 1: the JSON is what the typed builders make, and the SDK's types hold all of it."""

import json
import subprocess
import sys

from conftest import DASHBOARDS, ROOT, panels_of
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def test_there_are_five():
    assert [file.stem for file in DASHBOARDS] == [
        "muster-backend", "muster-ingest", "muster-overview", "muster-privacy", "muster-rounds"]


def test_generated_json_is_up_to_date():
    check = subprocess.run([sys.executable, "-m", "musterdash", "--check"],
                           cwd=ROOT / "monitoring/dashboards", capture_output=True, text=True)
    assert check.returncode == 0, (
        check.stdout + check.stderr + "run: cd monitoring/dashboards && python -m musterdash")


def test_decoding_and_encoding_loses_nothing(dashboard):
    register_default_plugins()
    decoded = Dashboard.from_json(json.loads(json.dumps(dashboard)))
    assert json.loads(JSONEncoder(sort_keys=True).encode(decoded)) == dashboard


def test_panels_are_identified_and_do_not_overlap(dashboard):
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells


def test_rows_have_no_holes(dashboard):
    """Panels of a row end together, so that a dashboard reads as lines."""
    area = sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in dashboard["panels"])
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    assert area == 24 * bottom, f"{24 * bottom - area} empty cells"


def test_the_pages_link_to_each_other(dashboard):
    others = {f"/d/{file.stem}" for file in DASHBOARDS} - {f"/d/{dashboard['uid']}"}
    assert {link["url"] for link in dashboard["links"]} == others
    assert all(link["includeVars"] and link["keepTime"] for link in dashboard["links"])
    assert panels_of(dashboard)
