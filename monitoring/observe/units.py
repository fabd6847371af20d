"""Numbers as Grafana writes them."""

import math

_SECONDS = ((86400, "day"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"),
            (1e-9, "ns"))


def _plain(value: float, decimals: int | None = None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _scaled(value: float, base: int, names: tuple[str, ...], decimals: int | None) -> str:
    index = 0
    while abs(value) >= base and index < len(names) - 1:
        value, index = value / base, index + 1
    return f"{_plain(value, decimals)}{names[index]}"


def text(value: float, unit: str, decimals: int | None = None) -> str:
    if not math.isfinite(value):
        return "-"
    if unit == "percentunit":
        return f"{_plain(round(100 * value, 6), decimals)}%"
    if unit in ("bytes", "binBps"):
        rate = "/s" if unit == "binBps" else ""
        return _scaled(value, 1024, (" B", " KiB", " MiB", " GiB", " TiB"), decimals) + rate
    if unit in ("s", "dtdurations"):
        if value == 0:
            return "0 s"
        size, name = next((row for row in _SECONDS if abs(value) >= row[0]), _SECONDS[-1])
        return f"{_plain(value / size, decimals)} {name}"
    if unit == "sci":
        return f"{value:.1e}"
    return _scaled(value, 1000, ("", " K", " Mil", " Bil"), decimals) + (
        " ops/s" if unit == "ops" else "")


def ticks(low: float, high: float, unit: str, count: int = 4) -> list[float]:
    """Round numbers from low to high; halves and doubles of bytes are powers of two."""
    span = high - low
    if span <= 0:
        return [low]
    if unit in ("bytes", "binBps"):
        step = 2.0 ** math.ceil(math.log2(span / count))
    else:
        raw = span / count
        size = 10.0 ** math.floor(math.log10(raw))
        step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]
