"""Rung 6: a whole dashboard at Grafana's grid positions, drawn from what Prometheus answered."""

import pathlib

import vl_convert

from . import chart, svg

COLUMN, ROW, GAP, HEAD = 60.0, 36.0, 8.0, 52.0
COLUMNS = 24


def draw(dashboard: dict, answers: dict[int, list[list[dict]]], start: float, end: float) -> str:
    """SVG."""
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    w, h = COLUMNS * COLUMN + GAP, HEAD + bottom * ROW + GAP
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w:g}" height="{h:g}" '
        f'viewBox="0 0 {w:g} {h:g}">',
        svg.box(0, 0, w, h, svg.PAGE),
        svg.label(16, 33, dashboard["title"], 20, svg.TEXT, weight=600),
    ]
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        x, y = GAP + place["x"] * COLUMN, HEAD + place["y"] * ROW
        if panel["type"] == "row":
            drawn.append(svg.area([(x + 6, y + 14), (x + 16, y + 14), (x + 11, y + 21)],
                                  svg.TEXT, 1))
            drawn.append(svg.label(x + 24, y + 23, panel["title"], 14, svg.TEXT, weight=600))
            continue
        pw, ph = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
        drawn.append(svg.box(x, y, pw, ph, svg.PANEL, edge=svg.EDGE, radius=3))
        title = svg.clip(panel["title"], 13, pw - 20)
        drawn.append(svg.label(x + 10, y + 20, title, 13, svg.TEXT, weight=600))
        series = [one for result in answers[panel["id"]] for one in result]
        frame = chart.Frame(x + 10, y + 34, pw - 20, ph - 42, start, end)
        if series:
            drawn += chart.DRAW[panel["type"]](frame, panel, series)
        else:
            drawn.append(svg.label(x + pw / 2, y + ph / 2 + 8, "No data", 14, anchor="middle"))
    return "\n".join([*drawn, "</svg>"])


def write(name: str, picture: str, folder: pathlib.Path, scale: float = 1.0) -> pathlib.Path:
    (folder / f"{name}.svg").write_text(picture)
    file = folder / f"{name}.png"
    file.write_bytes(vl_convert.svg_to_png(picture, scale=scale))
    return file
