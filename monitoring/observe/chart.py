"""Draws one panel's data into a rectangle, as Grafana would show it."""

import math
import time

from . import svg, units

LEGEND_LINE = 16


class Frame:
    """Where a panel's drawing goes, and the time it spans."""

    def __init__(self, x: float, y: float, w: float, h: float, start: float, end: float):
        self.x, self.y, self.w, self.h = x, y, w, h
        self.start, self.end = start, end

    def at(self, when: float) -> float:
        return self.x + self.w * (when - self.start) / (self.end - self.start)


def runs(series: dict) -> list[list[tuple[float, float]]]:
    """Stretches without a gap."""
    times, values = series["times"], series["values"]
    gaps = [b - a for a, b in zip(times, times[1:])]
    step = min(gaps, default=0)
    pieces, piece = [], []
    for when, value in zip(times, values):
        if piece and when - piece[-1][0] > 1.5 * step:
            pieces.append(piece)
            piece = []
        piece.append((when, value))
    return [*pieces, piece] if piece else pieces


def stacked(all_series: list[dict]) -> list[tuple[dict, dict[float, float]]]:
    """Each series raised by those before it, and what it stands on."""
    ground: dict[float, float] = {}
    result = []
    for series in all_series:
        below = {when: ground.get(when, 0.0) for when in series["times"]}
        values = [below[when] + value for when, value in zip(series["times"], series["values"])]
        ground.update(zip(series["times"], values))
        result.append(({**series, "values": values}, below))
    return result


def colour_at(panel: dict, value: float) -> str:
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    colour = "text"
    for step in steps:
        if step.get("value") is None or value >= step["value"]:
            colour = step["color"]
    return svg.NAMED[colour]


def legend(frame: Frame, names: list[str], colours: list[str]) -> tuple[list[str], int]:
    """The drawing and how many lines it takes at the foot of the frame; at most two."""
    lines: list[list[tuple[str, str]]] = [[]]
    room = frame.w
    for index, (name, colour) in enumerate(zip(names, colours)):
        name = svg.clip(name or "value", 11, frame.w - 30)
        need = svg.width(name, 11) + 26
        if need > room and lines[-1]:
            if len(lines) == 2:
                lines[-1].append((f"+{len(names) - index}", "none"))
                break
            lines.append([])
            room = frame.w
        lines[-1].append((name, colour))
        room -= need
    drawn = []
    top = frame.y + frame.h - LEGEND_LINE * len(lines) + 12
    for row, entries in enumerate(lines):
        x = frame.x
        for name, colour in entries:
            drawn.append(svg.box(x, top + row * LEGEND_LINE - 5, 12, 3, colour, radius=1))
            drawn.append(svg.label(x + 16, top + row * LEGEND_LINE, name))
            x += svg.width(name, 11) + 26
    return drawn, len(lines)


def time_axis(frame: Frame, bottom: float) -> list[str]:
    span = frame.end - frame.start
    step = next(s for s in (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 86400)
                if span / s <= max(2, frame.w / 90))
    drawn = []
    when = math.ceil(frame.start / step) * step
    form = "%H:%M:%S" if step % 60 else "%H:%M"
    while when <= frame.end:
        x = frame.at(when)
        drawn.append(svg.line([(x, frame.y), (x, bottom)], svg.GRID, 1))
        if frame.x + 20 < x < frame.x + frame.w - 14:
            drawn.append(svg.label(x, bottom + 14, time.strftime(form, time.gmtime(when)), 10,
                                   anchor="middle"))
        when += step
    return drawn


def timeseries(frame: Frame, panel: dict, all_series: list[dict]) -> list[str]:
    defaults = panel["fieldConfig"]["defaults"]
    custom, unit = defaults["custom"], defaults["unit"]
    colours = [svg.PALETTE[i % len(svg.PALETTE)] for i in range(len(all_series))]
    drawn, lines = legend(frame, [series["name"] for series in all_series], colours)
    is_stacked = custom.get("stacking", {}).get("mode") == "normal"
    shapes = stacked(all_series) if is_stacked else [(series, None) for series in all_series]
    values = [value for series, _ in shapes for value in series["values"]]
    is_log = custom.get("scaleDistribution", {}).get("type") == "log"
    limits = []
    if custom.get("thresholdsStyle", {}).get("mode") == "line":
        limits = [step for step in defaults["thresholds"]["steps"] if step.get("value") is not None]
    if is_log:
        positive = [value for value in values if value > 0] or [1.0]
        low, high = (math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive))))
        high = max(high, low + 1)
        marks = [10.0 ** power for power in range(low, high + 1)]
        place = lambda value: math.log10(max(value, 10.0 ** low))
    else:
        low = min(defaults.get("min", math.inf), min(values, default=0))
        high = max([*values, low + 1e-9 if values and max(values) > low else low + 1])
        near = [step["value"] for step in limits if step["value"] <= 2 * high]
        high = max([high * 1.04, *near])
        if (declared := defaults.get("max")) is not None:
            high = declared
        marks = units.ticks(low, high, unit)
        place = lambda value: value
    names = [units.text(mark, unit) for mark in marks]
    margin = max(svg.width(name, 10) for name in names) + 10
    plot = Frame(frame.x + margin, frame.y, frame.w - margin, frame.h, frame.start, frame.end)
    bottom = frame.y + frame.h - LEGEND_LINE * lines - 22
    height = bottom - frame.y

    def y_of(value: float) -> float:
        return bottom - height * min(1.0, (place(value) - low) / (high - low))

    drawn += time_axis(plot, bottom)
    for mark, name in zip(marks, names):
        drawn.append(svg.line([(plot.x, y_of(mark)), (plot.x + plot.w, y_of(mark))], svg.GRID, 1))
        drawn.append(svg.label(plot.x - 6, y_of(mark) + 3.5, name, 10, anchor="end"))
    opacity = custom.get("fillOpacity", 0) / 100
    for (series, below), colour in reversed(list(zip(shapes, colours))):
        for run in runs(series):
            points = [(plot.at(when), y_of(value)) for when, value in run]
            floor = [(plot.at(when), y_of(below[when]) if below else bottom)
                     for when, _ in reversed(run)]
            if not is_log:
                drawn.append(svg.area(points + floor, colour, opacity))
            drawn.append(svg.line(points, colour))
    for step in limits:
        if step["value"] <= high:
            y = y_of(step["value"])
            drawn.append(svg.line([(plot.x, y), (plot.x + plot.w, y)],
                                  svg.NAMED[step["color"]], 1, "6 4"))
    return drawn


def stat(frame: Frame, panel: dict, all_series: list[dict]) -> list[str]:
    defaults = panel["fieldConfig"]["defaults"]
    by_name = panel["options"].get("textMode") == "name"
    graph = panel["options"].get("graphMode") == "area"
    across = 1 if frame.w < 200 or len(all_series) == 1 else min(2, len(all_series))
    down = math.ceil(len(all_series) / across)
    w, h = frame.w / across, frame.h / down
    drawn = []
    for index, series in enumerate(all_series):
        x, y = frame.x + index % across * w, frame.y + index // across * h
        value = series["values"][-1]
        colour = colour_at(panel, value)
        text = series["name"] if by_name else units.text(
            value, defaults["unit"], defaults.get("decimals"))
        size = min(34.0, h * 0.5, 0.92 * w / max(1.0, svg.width(text, 1.0)))
        if graph and len(series["values"]) > 1:
            drawn += sparkline(Frame(x, y + h * 0.55, w, h * 0.45, frame.start, frame.end), series,
                               colour)
        titled = not by_name and len(all_series) > 1
        middle = y + h / 2 + size * 0.35 - (h * 0.08 if graph else 0) + (8 if titled else 0)
        drawn.append(svg.label(x + w / 2, middle, text, size, colour, "middle", 600))
        if titled:
            name = svg.clip(series["name"], 12, w - 8)
            drawn.append(svg.label(x + w / 2, middle - size * 0.9, name, 12, svg.TEXT, "middle"))
    return drawn


def sparkline(frame: Frame, series: dict, colour: str) -> list[str]:
    low, high = min(series["values"]), max(series["values"])
    if high <= low:
        low, high = low - 1, high + 1
    points = [(frame.at(when), frame.y + frame.h * (1 - 0.8 * (value - low) / (high - low)))
              for when, value in zip(series["times"], series["values"])]
    foot = [(points[-1][0], frame.y + frame.h), (points[0][0], frame.y + frame.h)]
    return [svg.area(points + foot, colour, 0.15), svg.line(points, colour, 1)]


def heatmap(frame: Frame, panel: dict, all_series: list[dict]) -> list[str]:
    unit = panel["options"]["yAxis"]["unit"]
    bounds = sorted(all_series, key=lambda series: float(series["labels"]["le"]))
    below: dict[float, float] = {}
    rows = []  # (upper bound, time -> rate in this bucket alone)
    for series in bounds:
        at = dict(zip(series["times"], series["values"]))
        rows.append((float(series["labels"]["le"]),
                     {when: max(0.0, value - below.get(when, 0.0)) for when, value in at.items()}))
        below = at
    used = [index for index, (_, cells) in enumerate(rows) if max(cells.values(), default=0) > 0]
    if used:
        rows = rows[max(0, used[0] - 1):used[-1] + 2]
    margin = 56
    plot = Frame(frame.x + margin, frame.y, frame.w - margin, frame.h, frame.start, frame.end)
    bottom = frame.y + frame.h - 20
    height = (bottom - frame.y) / max(1, len(rows))
    most = max((value for _, cells in rows for value in cells.values()), default=0) or 1
    times = sorted({when for _, cells in rows for when in cells})
    wide = plot.w / max(1, len(times))
    drawn = time_axis(plot, bottom)
    for index, (bound, cells) in enumerate(rows):
        y = bottom - (index + 1) * height
        if index % math.ceil(14 / height) == 0:
            name = "+Inf" if math.isinf(bound) else units.text(bound, unit)
            drawn.append(svg.label(plot.x - 6, y + 4, name, 10, anchor="end"))
        for when, value in cells.items():
            if value > 0:
                left = max(plot.x, plot.at(when) - wide)
                drawn.append(svg.box(left, y + 0.5, plot.at(when) - left + 0.2, height - 1,
                                     "#5794f2", opacity=0.12 + 0.88 * math.sqrt(value / most)))
    return drawn


def state_timeline(frame: Frame, panel: dict, all_series: list[dict]) -> list[str]:
    words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    seen = sorted({int(value) for series in all_series for value in series["values"]})
    shown = [words[str(value)] for value in seen if str(value) in words]
    drawn, lines = legend(frame, [word["text"] for word in shown],
                          [svg.NAMED[word["color"]] for word in shown])
    margin = max(svg.width(series["name"], 11) for series in all_series) + 10
    plot = Frame(frame.x + margin, frame.y, frame.w - margin, frame.h, frame.start, frame.end)
    bottom = frame.y + frame.h - LEGEND_LINE * lines - 22
    height = (bottom - frame.y) / len(all_series)
    drawn += time_axis(plot, bottom)
    for index, series in enumerate(all_series):
        y = frame.y + index * height + height * 0.1
        drawn.append(svg.label(plot.x - 6, y + height * 0.4 + 4, series["name"], 11, svg.TEXT,
                               "end"))
        ends = [*series["times"][1:], series["times"][-1]]
        for when, until, value in zip(series["times"], ends, series["values"]):
            word = words.get(str(int(value)), {"color": "text"})
            drawn.append(svg.box(plot.at(when), y, plot.at(until) - plot.at(when) + 0.3,
                                 height * 0.8, svg.NAMED[word["color"]], opacity=0.8))
    return drawn


DRAW = {"timeseries": timeseries, "stat": stat, "heatmap": heatmap,
        "state-timeline": state_timeline}
