"""A real server, a real Prometheus and a fleet: do the dashboards show data, do the alerts fire?"""
