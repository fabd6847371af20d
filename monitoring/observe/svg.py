"""Pieces of SVG, and the colours of Grafana's dark theme."""

from xml.sax.saxutils import escape

PAGE, PANEL, EDGE, GRID = "#111217", "#181b1f", "#2c3036", "#2a2e35"
TEXT, SOFT = "#d8d9dc", "#9a9ea8"
NAMED = {
    "green": "#73bf69", "super-light-green": "#c8f2c2", "blue": "#5794f2",
    "light-blue": "#8ab8ff", "dark-blue": "#3274d9", "orange": "#ff9830", "red": "#f2495c",
    "purple": "#b877d9", "super-light-purple": "#deb6f2", "text": TEXT, "transparent": "none",
}
PALETTE = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0",
           "#37872d", "#fade2a", "#447ebc", "#c15c17", "#890f02", "#0a437c", "#6d1f62", "#584477")
FONT = "Liberation Sans, Arial, sans-serif"


def width(text: str, size: float) -> float:
    """About as wide as the text is; narrow letters count half."""
    return size * sum(0.3 if letter in "iljtfr.,:;|!' " else 0.56 for letter in text)


def clip(text: str, size: float, room: float) -> str:
    if width(text, size) <= room:
        return text
    while text and width(text + "…", size) > room:
        text = text[:-1]
    return text + "…"


def label(x: float, y: float, text: str, size: float = 11, colour: str = SOFT,
          anchor: str = "start", weight: int = 400) -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-family="{FONT}" font-size="{size:g}" '
            f'fill="{colour}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>')


def box(x: float, y: float, w: float, h: float, colour: str, *, edge: str = "none",
        radius: float = 0, opacity: float = 1) -> str:
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" height="{max(h, 0):.1f}" '
            f'rx="{radius:g}" fill="{colour}" fill-opacity="{opacity:.3g}" stroke="{edge}"/>')


def line(points: list[tuple[float, float]], colour: str, thickness: float = 1.5,
         dash: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<polyline points="{path}" fill="none" stroke="{colour}" '
            f'stroke-width="{thickness:g}" stroke-linejoin="round"{dashed}/>')


def area(points: list[tuple[float, float]], colour: str, opacity: float) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon points="{path}" fill="{colour}" fill-opacity="{opacity:.2g}"/>'
