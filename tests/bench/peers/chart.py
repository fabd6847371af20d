"""Bars of "times as long as Muster" on a logarithmic axis, as an SVG that needs nothing else."""
import math
from xml.sax.saxutils import escape

LEFT, WIDTH, BAR, TOP = 330, 520, 18, 50
COLOURS = {"numpy": "#7a8fa6", "Flower": "#d08a3c", "ByzFL": "#6a9f58"}


def draw(rows):
    """rows: dicts with kind, n, d, rule, peer, seconds, ratio."""
    decades = max([1, *(math.ceil(math.log10(max(row["ratio"], 1.0))) for row in rows)])

    def x(ratio):
        return LEFT + WIDTH * min(max(math.log10(ratio), -0.3), decades) / decades if ratio > 0 else LEFT

    height = TOP + BAR * len(rows) + 30
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{height}">',
             "<style>text{font:12px sans-serif;fill:#222}</style>",
             '<rect width="100%" height="100%" fill="#fff"/>',
             '<text x="10" y="20" style="font-size:14px;font-weight:bold">'
             "Times as long as Muster takes for the same rows, one thread</text>"]
    for decade in range(decades + 1):
        at = x(10 ** decade)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 8}" y2="{height - 24}" stroke="#ccc"/>'
                     f'<text x="{at:.1f}" y="{TOP - 12}" text-anchor="middle">{10 ** decade}x</text>')
    for index, row in enumerate(rows):
        y = TOP + BAR * index
        low, high = sorted((x(1), x(row["ratio"])))
        label = f'{row["rule"]}, {row["kind"]}, {row["n"]} x {row["d"]:,}, {row["peer"]}'
        colour = COLOURS.get(row["peer"].split()[0], "#999")
        parts.append(f'<text x="10" y="{y + 13}">{escape(label)}</text>'
                     f'<rect x="{low:.1f}" y="{y + 2}" width="{max(high - low, 1):.1f}" '
                     f'height="{BAR - 4}" fill="{colour}"/>'
                     f'<text x="{high + 5:.1f}" y="{y + 13}">{row["ratio"]:.1f}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
