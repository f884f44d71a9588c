"""The chart of `erx bench stack`: a bar a measure, on a logarithmic scale, bare ones grey, as an SVG of plain shapes."""

import math
from typing import Any
from xml.sax.saxutils import escape

from bootstrap.bench.stack_report import PARTS, number

BAR, GAP, LEFT, WIDTH, RIGHT = 18, 6, 320, 480, 170
OURS, BARE = "#2b6cb0", "#a0aec0"
OWN = ("commands", "relay", "projector", "whole way", "visible", "load events", "load snapshot", "queries")


def chart(facts: dict[str, Any]) -> str:
    """The rates of all measures."""
    rows = [(part, name, text, facts["rows"][name]) for part, name, text in PARTS if name in facts["rows"]]
    top = max(row["per_second"] for *_, row in rows)
    decades = math.ceil(math.log10(max(top, 10)))
    shapes = []
    y = 40.0
    last = ""
    for part, name, text, row in rows:
        y += GAP * 2 if part != last else 0
        last = part
        length = WIDTH * math.log10(max(row["per_second"], 1)) / decades
        fill = OURS if name.startswith(OWN) else BARE
        ratio = f"  ×{row['ratio']:.2f}" if "ratio" in row else ""
        latency = f"  p99 {number(row['p99_ms'])} ms" if "p99_ms" in row else ""
        shapes += [
            _text(LEFT - 8, y + BAR - 5, f"{part}  {text}", "end"),
            f'<rect x="{LEFT}" y="{y:g}" width="{length:.1f}" height="{BAR}" fill="{fill}"/>',
            _text(LEFT + length + 6, y + BAR - 5, f"{row['per_second']:,.0f}/s{ratio}{latency}", "start"),
        ]
        y += BAR + GAP
    for decade in range(decades + 1):
        x = LEFT + WIDTH * decade / decades
        shapes.append(f'<line x1="{x:g}" y1="34" x2="{x:g}" y2="{y:g}" stroke="#cbd5e0" stroke-width="0.5"/>')
        shapes.append(_text(x, 30, f"{10**decade:,}", "middle"))
    m = facts["machine"]
    state = f"{m['processors']} processors, load {m['load_before']} to {m['load_after']}, commit log in group mode"
    shapes.append(_text(LEFT, 14, f"operations a second; {state}", "start"))
    width, height = LEFT + WIDTH + RIGHT, y + 10
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:g}" font-family="sans-serif"'
    return "\n".join((f'{head} font-size="12">', '<rect width="100%" height="100%" fill="#fff"/>', *shapes, "</svg>\n"))


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
