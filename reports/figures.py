"""Bar figures as inline SVG that follows the page's theme: one panel per model, bars from zero."""

import io
import re
import warnings
from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import matplotlib as mpl
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.spec import Frozen

WIDTH = 360
_HEADER, _BAR, _GAP, _FIGURE = 20, 21, 9, 92
CHARACTER = 6.6
_POINTS_PER_INCH = 72

# Stand-ins that matplotlib writes into the SVG; each is replaced by the page's own variable.
INK, MUTED, RULE = "#0a0b0c", "#0a0b0d", "#0a0b0e"
HUES = tuple(f"#0a0c{index:02x}" for index in range(8))
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    **{hue: f"var(--rt-{index})" for index, hue in enumerate(HUES)},
}


class Bar(Frozen, frozen=True, kw_only=True):
    """One bar: whose it is (`group`, `label`), how long, and what is printed at its end.

    `value` None prints `text` alone; `low` and `high` draw a whisker; `faint` bars are drawn lighter.
    """

    group: str
    label: str
    hue: int
    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    faint: bool = False


def bar_panel(bars: Sequence[Bar], *, title: str) -> str:
    """Bars under the heading of their group as an SVG element, the same bytes every time."""
    groups = [(name, tuple(members)) for name, members in groupby(bars, key=lambda bar: bar.group)]
    height = sum(_HEADER + _GAP + _BAR * len(members) for _, members in groups)
    figure, axes = canvas((WIDTH, height))
    longest = max((bar.high or bar.value or 0.0 for bar in bars), default=0.0)
    start = 12 + CHARACTER * max((len(bar.label) for bar in bars), default=0)
    scale = (WIDTH - start - _FIGURE) / longest if longest > 0 else 0.0
    y = 0.0
    for name, members in groups:
        write(axes, 0, y + _HEADER / 2, name, colour=MUTED, size=11)
        y += _HEADER
        for bar in members:
            _draw(axes, bar, y + _BAR / 2, start, scale)
            y += _BAR
        y += _GAP
    return inline(figure, (WIDTH, height), title)


def canvas(size: tuple[int, int]) -> tuple[Figure, Axes]:
    """An empty drawing whose coordinates are points from its upper left corner."""
    width, height = size
    figure = Figure(figsize=(width / _POINTS_PER_INCH, height / _POINTS_PER_INCH), dpi=_POINTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    figure.patch.set_visible(False)
    axes.set(xlim=(0, width), ylim=(height, 0))
    return figure, axes


def _draw(axes: Axes, bar: Bar, y: float, start: float, scale: float) -> None:
    write(axes, 0, y, bar.label, size=12)
    end = start
    if bar.value is not None:
        end += bar.value * scale
        axes.barh(
            y,
            max(bar.value * scale, 1.5),
            height=13,
            left=start,
            color=HUES[bar.hue % len(HUES)],
            alpha=0.4 if bar.faint else None,
            clip_on=False,
        )
        if bar.low is not None and bar.high is not None:
            ends = [start + bar.low * scale, start + bar.high * scale]
            axes.plot(ends, [y, y], color=INK, linewidth=1.5, solid_capstyle="butt", clip_on=False)
            for x in ends:
                axes.plot([x, x], [y - 3, y + 3], color=INK, linewidth=1.5, clip_on=False)
            end = max(end, ends[1])
    write(axes, end + 7, y, bar.text, colour=MUTED if bar.value is None else INK, size=12)


def write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    colour: str = INK,
    size: int,
    align: Literal["left", "center", "right"] = "left",
    bold: bool = False,
) -> None:
    """Text whose height is centred on `y`."""
    weight = "bold" if bold else "normal"
    axes.text(
        x,
        y,
        text,
        color=colour,
        fontsize=size,
        fontweight=weight,
        ha=align,
        va="center_baseline",
        parse_math=False,
        clip_on=False,
    )


def inline(figure: Figure, size: tuple[int, int], title: str) -> str:
    """The drawing as an SVG element in the page's colours, named `title` for those who do not see it."""
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "pocketbench"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    return _page_ready(out.getvalue(), size, title)


def _page_ready(svg: str, size: tuple[int, int], title: str) -> str:
    """Only the drawing: no ids that would clash, no fonts of the machine, colours of the page."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<defs>.*?</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r"<[^>]*>\s*", lambda tag: _tag_ready(tag[0]), body)
    width, height = size
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg {box} role="img" aria-label="{escape(title)}">{body.strip()}</svg>'


def _tag_ready(tag: str) -> str:
    tag = re.sub(r' (?:id="[^"]*"|transform="rotate\(-?0 [^"]*")', "", tag)
    tag = re.sub(r"font: (\d+)px [^;\"]*", r"font-size: \1px", tag)
    tag = re.sub(r"; font-family: [^;\"]*|font-family: [^;\"]*; ", "", tag)
    tag = re.sub(r"(\.\d\d)\d+", r"\1", tag)
    for stand_in, variable in _VARIABLES.items():
        tag = tag.replace(stand_in, variable)
    return re.sub(r"\s+", " ", tag).strip()
