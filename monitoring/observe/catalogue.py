"""Catalogue = scraped names, both ways; and the number of series of a server with one task."""

import json
import re
import subprocess

from .process import get
from .server import Server

MOST_SERIES = 1500


def listed(server: Server) -> dict[str, dict]:
    """Metric -> its row, as the program prints the catalogue."""
    shown = subprocess.run([server.programs / "muster", "metrics", "--list", "--json"], check=True,
                           capture_output=True, timeout=60)
    return {metric["name"]: metric for metric in json.loads(shown.stdout)["metrics"]}


def scrape(server: Server) -> str:
    return get(f"http://{server.address}/metrics")


def problems(servers: list[Server], say) -> list[str]:
    """The last server is the one with one task."""
    known = listed(servers[0])
    texts = [scrape(server) for server in servers]
    kinds = {}
    for text in texts:
        kinds.update(re.findall(r"^# TYPE (\S+) (\S+)$", text, flags=re.MULTILINE))
    found = [f"{name} is scraped and not in the catalogue"
             for name in sorted(set(kinds) - set(known))]
    found += [f"{name} is in the catalogue and was not scraped"
              for name in sorted(set(known) - set(kinds))]
    found += [f"{name} is scraped as {kinds[name]}, the catalogue says {known[name]['type']}"
              for name in sorted(set(known) & set(kinds)) if known[name]["type"] != kinds[name]]
    series = sum(1 for line in texts[-1].splitlines() if line and not line.startswith("#"))
    say(f"{len(known)} metrics in the catalogue, {len(kinds)} scraped; "
        f"{series} series for one task (at most {MOST_SERIES})")
    if series > MOST_SERIES:
        found.append(f"{series} series for one task, more than {MOST_SERIES}")
    return found
