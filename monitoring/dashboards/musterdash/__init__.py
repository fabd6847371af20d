"""Muster's Grafana dashboards as code. `python -m musterdash` writes the JSON beside this folder."""
