"""Latency against error as a field of dots, inline SVG that follows the page's theme."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

from harness.spec import Frozen
from reports.figures import CHARACTER, HUES, INK, MUTED, RULE, canvas, inline, write

WIDTH, HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, WIDTH - 18.0, 34.0, HEIGHT - 42.0
_LARGEST, _SMALLEST = 12.0, 3.5
_ZERO_ROOM = 24.0
_LOG_FROM = 8.0
_ONLY_DECADES_FROM = 400.0
"""Latencies further apart than the first get a logarithmic axis; than the second, one with ticks at tens."""

_ERRORS = (1e-9, 10.0)
"""Errors beyond these are drawn at them; nobody chooses between what lies there."""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_Align = Literal["left", "center", "right"]


class Dot(Frozen, frozen=True, kw_only=True):
    """One choice: where it lies, how large its artifact is, where its link leads, what it is called.

    `look`: an ink ring for the front, plain for what is beaten, hollow for what is wrong. `tip` is told on
    hover. `size_mib` None is drawn smallest.
    """

    latency_ms: float
    low_ms: float
    high_ms: float
    error: float
    size_mib: float | None
    hue: int
    label: str
    tip: str
    anchor: str
    look: Literal["front", "plain", "wrong"]
    bold: bool = False


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "_Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


class _Placed(NamedTuple):
    """A dot on the drawing; `left` and `right` are the ends of its interval."""

    dot: Dot
    x: float
    y: float
    radius: float
    left: float
    right: float

    @property
    def covered(self) -> tuple[_Box, _Box]:
        """What no label may cover: the dot, without the corners that a circle leaves free, and its line."""
        r = 0.9 * self.radius
        disc = _Box(self.x - r, self.y - r, self.x + r, self.y + r)
        return disc, _Box(self.left, self.y - 1.5, self.right, self.y + 1.5)


def scatter(dots: Sequence[Dot], *, title: str) -> str:
    """The dots as an SVG element: left is faster, lower is closer to the reference, area is size.

    A label is left out where it would cover another or a dot; those of the front are placed first.
    """
    figure, axes = canvas((WIDTH, HEIGHT))
    across, down = _Across.over(dots), _Down.over(dots)
    _frame(axes, across, down)
    largest = max((dot.size_mib or 0.0 for dot in dots), default=0.0)
    placed = [
        _Placed(
            dot=dot,
            x=across.place(dot.latency_ms),
            y=down.place(dot.error),
            radius=_radius(dot, largest),
            left=across.place(dot.low_ms),
            right=across.place(dot.high_ms),
        )
        for dot in dots
    ]
    # Small ones last, so that they lie on top.
    for one in sorted(placed, key=lambda one: -one.radius):
        _draw(axes, one)
    for one, box, align in _labels(placed):
        at = {"left": box.left, "right": box.right, "center": (box.left + box.right) / 2}[align]
        middle = (box.top + box.bottom) / 2
        colour = MUTED if one.dot.look == "wrong" else INK
        write(axes, at, middle, one.dot.label, colour=colour, size=11, align=align, bold=one.dot.bold)
    drawn = inline(figure, (WIDTH, HEIGHT), title)
    return _linked(drawn, {dot.anchor: dot.tip for dot in dots})


class _Across(NamedTuple):
    """The axis of latencies."""

    low: float
    high: float
    logarithmic: bool

    @classmethod
    def over(cls, dots: Sequence[Dot]) -> "_Across":
        low = max(min((dot.low_ms for dot in dots), default=1.0), 1e-6)
        high = max((dot.high_ms for dot in dots), default=1.0)
        if high / low > _LOG_FROM:
            return cls(low / 1.25, high * 1.25, logarithmic=True)
        room = max((high - low) * 0.1, low * 0.04)
        return cls(max(low - room, 0.0), high + room, logarithmic=False)

    def place(self, latency_ms: float) -> float:
        value, low, high = latency_ms, self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        return _LEFT + (_RIGHT - _LEFT) * (value - low) / (high - low)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if self.high / self.low < _ONLY_DECADES_FROM else (1,)
            wanted = [step * 10.0**decade for decade in decades for step in steps]
        else:
            wanted = list(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high))
        return [tick for tick in wanted if self.low <= tick <= self.high]


class _Down(NamedTuple):
    """The axis of errors, powers of ten, with a line of its own for 0 where one is needed."""

    low: int
    high: int
    zero: bool

    @classmethod
    def over(cls, dots: Sequence[Dot]) -> "_Down":
        logs = [math.log10(_within(dot.error)) for dot in dots if dot.error > 0]
        low, high = (math.floor(min(logs)), math.ceil(max(logs))) if logs else (-1, 0)
        return cls(low, max(high, low + 1), zero=any(dot.error <= 0 for dot in dots))

    @property
    def foot(self) -> float:
        """Where the lowest power of ten lies."""
        return _BOTTOM - _ZERO_ROOM * self.zero

    def place(self, error: float) -> float:
        if error <= 0:
            return _BOTTOM - 6
        share = (math.log10(_within(error)) - self.low) / (self.high - self.low)
        return self.foot - share * (self.foot - _TOP)

    def ticks(self) -> Iterator[tuple[float, str]]:
        step = 1 if self.high - self.low <= 6 else 2
        for power in range(self.high, self.low - 1, -step):
            yield self.place(10.0**power), f"{10.0**power:g}" if power >= -2 else _power(power)
        if self.zero:
            yield self.place(0.0), "0"


def _within(error: float) -> float:
    return min(max(error, _ERRORS[0]), _ERRORS[1])


def _power(exponent: int) -> str:
    return f"10{str(exponent).translate(_RAISED)}"


def _radius(dot: Dot, largest: float) -> float:
    if dot.size_mib is None or largest <= 0:
        return _SMALLEST
    return max(_SMALLEST, _LARGEST * math.sqrt(dot.size_mib / largest))


def _frame(axes: Axes, across: _Across, down: _Down) -> None:
    for y, text in down.ticks():
        axes.plot([_LEFT, _RIGHT], [y, y], color=RULE, linewidth=1, zorder=0, clip_on=False)
        write(axes, _LEFT - 8, y, text, colour=MUTED, size=11, align="right")
    for tick in across.ticks():
        x = across.place(tick)
        axes.plot([x, x], [_BOTTOM + 4, _BOTTOM + 8], color=MUTED, linewidth=1, zorder=0, clip_on=False)
        write(axes, x, _BOTTOM + 17, f"{tick:g}", colour=MUTED, size=11, align="center")
    axes.plot([_LEFT, _RIGHT], [_BOTTOM + 4] * 2, color=MUTED, linewidth=1, zorder=0, clip_on=False)
    write(axes, 0, 10, "error", colour=MUTED, size=11)
    write(axes, _RIGHT, HEIGHT - 7, "latency, ms", colour=MUTED, size=11, align="right")


def _draw(axes: Axes, one: _Placed) -> None:
    dot, colour = one.dot, HUES[one.dot.hue % len(HUES)]
    wrong, front = dot.look == "wrong", dot.look == "front"
    # The interval shows outside of its dot only, which may be hollow or pale.
    for inner, outer in ((one.x - one.radius, one.left), (one.x + one.radius, one.right)):
        if (outer - inner) * (inner - one.x) > 0:
            axes.plot([inner, outer], [one.y] * 2, color=colour, alpha=0.6, linewidth=1.5, zorder=1)
    shape = Circle(
        (one.x, one.y),
        one.radius,
        facecolor="none" if wrong else colour,
        edgecolor=INK if front else colour,
        linewidth=1.6 if front or wrong else 0,
        linestyle=(0, (2, 1.6)) if wrong else "-",
        alpha=1.0 if front else 0.55,
        clip_on=False,
        zorder=2,
    )
    shape.set_url(f"#{dot.anchor}")
    axes.add_patch(shape)


def _labels(placed: Sequence[_Placed]) -> Iterator[tuple[_Placed, _Box, _Align]]:
    """Each label that finds room, with its box and the side it hangs from; the bold one in any case."""
    rank = {"front": 0, "plain": 1, "wrong": 2}
    taken = [box for one in placed for box in one.covered]
    for one in sorted(placed, key=lambda one: (not one.dot.bold, rank[one.dot.look], one.dot.latency_ms)):
        places = [(box, align) for box, align in _around(one) if _inside(box)]
        free = [(box, align) for box, align in places if not any(box.meets(other) for other in taken)]
        for box, align in (free or places * one.dot.bold)[:1]:
            taken.append(box)
            yield one, box, align


def _inside(box: _Box) -> bool:
    across = box.left >= _LEFT - 4 and box.right <= WIDTH
    return across and box.top >= _TOP - 18 and box.bottom <= _BOTTOM + 4


def _around(one: _Placed) -> Iterator[tuple[_Box, _Align]]:
    """Places for a label, the best first: beside its dot, above, below, its corners, beyond its interval."""
    width, height, away = CHARACTER * 0.95 * len(one.dot.label), 12.0, one.radius + 4
    x, y, near = one.x, one.y, 0.75 * away

    def after(start: float, top: float) -> tuple[_Box, _Align]:
        return _Box(start, top, start + width, top + height), "left"

    def before(end: float, top: float) -> tuple[_Box, _Align]:
        return _Box(end - width, top, end, top + height), "right"

    yield after(x + away, y - height / 2)
    yield before(x - away, y - height / 2)
    for top in (y - away - height + 2, y + away - 2):
        yield _Box(x - width / 2, top, x + width / 2, top + height), "center"
    for top in (y - near - height, y + near):
        yield after(x + near, top)
        yield before(x - near, top)
    yield after(max(one.right, x + one.radius) + 4, y - height / 2)
    yield before(min(one.left, x - one.radius) - 4, y - height / 2)


def _linked(svg: str, tips: Mapping[str, str]) -> str:
    """Dots that lead to their case and say what they are; a drawing with links is a group, no image."""
    told = re.sub(
        r'<a xlink:href="#([^"]+)"[^>]*>',
        lambda found: f'<a href="#{found[1]}"><title>{escape(tips[found[1]])}</title>',
        svg,
    )
    return told.replace('role="img"', 'role="group"', 1)
