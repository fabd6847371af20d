"""A copy of the rules for a drill: the same expressions and thresholds, shorter windows."""

import pathlib
import re

import yaml

# Windows shrink and so does the time a condition must hold, by about as much: in the shipped rules a
# single stall of the machine is out of the window before an alert fires, and so it is here.
WINDOW_SCALE, SHORTEST_WINDOW = 36, 15
FOR_SCALE = 40  # 10m -> 15s
SECONDS = {"s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> int:
    return int(text[:-1]) * SECONDS[text[-1]]


def scaled(expr: str) -> str:
    """[5m] -> [15s], and the horizon of predict_linear with it."""
    expr = re.sub(r"\[(\d+[smh])\]",
                  lambda match: f"[{max(SHORTEST_WINDOW, seconds(match[1]) // WINDOW_SCALE)}s]", expr)
    return re.sub(r"(predict_linear\(.*?\],\s*)(\d+) \* (\d+)\)",
                  lambda match: f"{match[1]}{int(match[2]) * int(match[3]) // WINDOW_SCALE})", expr)


def drill_copy(file: pathlib.Path, out: pathlib.Path) -> pathlib.Path:
    document = yaml.safe_load(file.read_text())
    for group in document["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule["expr"] = scaled(rule["expr"])
            if "for" in rule:
                rule["for"] = f"{max(1, seconds(rule['for']) // FOR_SCALE)}s"
    target = out / file.name
    target.write_text(yaml.safe_dump(document, sort_keys=False))
    return target


def alerts_of(file: pathlib.Path) -> list[str]:
    groups = yaml.safe_load(file.read_text())["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]
