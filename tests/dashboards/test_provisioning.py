"""What hands the dashboards to Grafana names all of them, and what they ask for is there."""

import json

import yaml
from conftest import DASHBOARDS, ROOT

CONFIG_MAP_BYTES = 1024 * 1024  # more is refused by Kubernetes
MONITORING = ROOT / "monitoring"
PROVISIONING = MONITORING / "grafana/provisioning"


def test_config_maps_hold_every_dashboard():
    document = yaml.safe_load((MONITORING / "kustomization.yaml").read_text())
    files = [file for one in document["configMapGenerator"] for file in one["files"]]
    assert sorted(files) == [f"dashboards/{file.name}" for file in DASHBOARDS]
    assert document["generatorOptions"]["labels"] == {"grafana_dashboard": "1"}
    assert all(file.stat().st_size < CONFIG_MAP_BYTES for file in DASHBOARDS)


def test_provisioning_fits_the_scrape_example():
    source = yaml.safe_load((PROVISIONING / "datasources/prometheus.yaml").read_text())
    source = source["datasources"][0]
    scrape = yaml.safe_load((MONITORING / "prometheus/prometheus.yml").read_text())
    assert source["type"] == "prometheus"
    # $__rate_interval is four times this: a window must hold at least two samples.
    assert source["jsonData"]["timeInterval"] == scrape["global"]["scrape_interval"]
    provider = yaml.safe_load((PROVISIONING / "dashboards/muster.yaml").read_text())
    assert provider["providers"][0]["type"] == "file"


def test_rules_expect_the_job_of_the_scrape_example():
    scrape = yaml.safe_load((MONITORING / "prometheus/prometheus.yml").read_text())
    assert [job["job_name"] for job in scrape["scrape_configs"]] == ["muster"]
    assert 'job="muster"' in (MONITORING / "alerts/muster-alerts.yml").read_text()


def test_dashboards_have_stable_names():
    """Links between them, and bookmarks of people, go by uid."""
    for file in DASHBOARDS:
        assert json.loads(file.read_text())["uid"] == file.stem
