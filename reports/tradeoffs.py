"""The page's trade-offs: for each model and device the figure, and the table behind it. No IO."""

from collections.abc import Mapping, Sequence

from harness.spec import Case, Frozen
from harness.tradeoff import Choice, TradeOff, tied_with, trade_offs
from reports import numbers
from reports.scatter import Dot, scatter
from reports.view import Row


class Line(Frozen, frozen=True, kw_only=True):
    """One choice in the table: its row on the page, its figures, and how it stands."""

    row: Row
    choice: Choice
    label: str
    word: str

    @property
    def size(self) -> str:
        """Size of the artifact in MiB as text."""
        return numbers.number(self.choice.size_mib)


class TradeOffPanel(Frozen, frozen=True, kw_only=True):
    """The choices for a model on a device; `svg` is empty where no choice has both latency and error."""

    model: str
    device: str
    emulated: bool
    svg: str
    lines: tuple[Line, ...]


def panels(rows: Sequence[Row]) -> tuple[TradeOffPanel, ...]:
    """One panel for every device and model with at least two choices that were measured."""
    by_case = {(row.measurement.device, row.measurement.case): row for row in rows}
    return tuple(
        _panel(trade_off, by_case)
        for trade_off in trade_offs(row.measurement for row in rows)
        if sum(choice.latency is not None for choice in trade_off.choices) > 1
    )


def _panel(trade_off: TradeOff, by_case: Mapping[tuple[str, Case], Row]) -> TradeOffPanel:
    lines = _lines(trade_off, by_case)
    dots = [dot for line in lines if (dot := _dot(line)) is not None]
    title = f"latency, error and size of {trade_off.model} on {trade_off.device}"
    if trade_off.emulated:
        title += " (emulated)"
    return TradeOffPanel(
        model=trade_off.model,
        device=trade_off.device,
        emulated=trade_off.emulated,
        svg=scatter(dots, title=title) if dots else "",
        lines=lines,
    )


def _lines(trade_off: TradeOff, by_case: Mapping[tuple[str, Case], Row]) -> tuple[Line, ...]:
    fastest = next((choice for choice in trade_off.right if choice.fastest), None)
    tied = tied_with(fastest, trade_off.right) if fastest else ()
    threads = len({choice.case.threads for choice in trade_off.choices}) > 1
    backends = len({choice.case.backend for choice in trade_off.choices}) > 1
    lines = []
    for choice in trade_off.choices:
        case = choice.case
        # What the colour, the panel or every other choice says as well is left out.
        parts = (case.precision, f"{case.threads}t" if threads else "", case.backend if backends else "")
        lines.append(
            Line(
                row=by_case[trade_off.device, case],
                choice=choice,
                label=" ".join(filter(None, parts)),
                word="fastest" if choice.fastest else choice.trouble or ("tie" if choice in tied else ""),
            )
        )
    return tuple(lines)


def _dot(line: Line) -> Dot | None:
    """The choice in the figure; None where it has no latency or no error to place it by."""
    choice, latency, error = line.choice, line.choice.latency, line.choice.error
    if latency is None or error is None:
        return None
    front = choice.standing == "front"
    size = f"{line.size} MiB" if choice.size_mib is not None else ""
    told = [line.row.title, f"{line.row.latency} ms", size, f"error {numbers.error(error)}", line.word]
    return Dot(
        latency_ms=latency.centre_ms,
        low_ms=latency.low_ms,
        high_ms=latency.high_ms,
        error=error,
        size_mib=choice.size_mib,
        hue=line.row.hue,
        label=line.label,
        tip=" · ".join(filter(None, told)),
        anchor=line.row.anchor,
        look="wrong" if not choice.right else "front" if front else "plain",
        bold=choice.fastest,
    )
