"""Figures of matplotlib as SVG inside a page: its colours follow the page's, and nothing outside is named."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 1240.0  # of every figure, in the page's pixels
# Placeholders in a figure → the page's colours, which are others where the reader prefers dark.
INK, SOFT, LINE, PAPER = "#1d232b", "#5d6875", "#dfe4ea", "#fffffe"
_PAGE = {INK: "var(--ink)", SOFT: "var(--soft)", LINE: "var(--line)", PAPER: "var(--paper)"}
# Of variants and kinds: tell apart on white and on black, and for most colour-blind readers (after Okabe and Ito 2008).
PALETTE = ("#3d7be0", "#d9822b", "#2a9d6f", "#b565c9", "#d1495b", "#3aa6b9", "#8a8f3c", "#8d6e63")
_POINTS = 72  # of an inch: one point is one of the page's pixels
_DOTS = 108  # per inch, of what is drawn as pixels: 1.5 for each of the page's
_STYLE = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a dollar in a name is a dollar
    "font.size": 11,
    "font.family": "DejaVu Sans",  # measures the text; the page's own font draws it
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.labelcolor": SOFT,
    "path.simplify": True,
}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_LONGEST = 48


def figure_svg(name: str, height: float, draw: Callable[[Figure], None]) -> str:
    """Return the SVG element of a figure of this height in pixels; `name` is unique in the page."""
    import matplotlib
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    style: Any = {**_STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # that font only measures, see above
        figure = Figure(figsize=(WIDTH / _POINTS, height / _POINTS), layout="constrained")
        draw(figure)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, dpi=_DOTS, metadata=nothing)
    return _embedded(buffer.getvalue(), name)


def _embedded(svg: str, name: str) -> str:
    """Return the element alone: no prologue, no metadata, no namespaces, no size but the view box."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    head, body = svg.split(">", 1)
    head = re.sub(r' (?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", head)
    body = re.sub(r'id="(?=\w)', f'id="{name}-', body)
    body = re.sub(r'(url\(#|xlink:href="#)', rf"\g<1>{name}-", body)
    body = body.replace("'DejaVu Sans'", "system-ui, sans-serif")
    for placeholder, colour in _PAGE.items():
        body = body.replace(placeholder, colour)
    return f'{head} class="figure" role="img">{body.strip()}'


def label(text: str, longest: int = _LONGEST) -> str:
    """Return a name as one printable line that is not too long."""
    line = _UNPRINTABLE.sub("·", text)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
