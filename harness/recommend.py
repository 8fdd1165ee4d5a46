"""The fastest choice of a trade-off within limits, how sure that is, or what stands in the way. Pure."""

from collections.abc import Sequence

from harness.spec import Frozen
from harness.tradeoff import Choice, TradeOff, tied_with


class Limits(Frozen, frozen=True, kw_only=True):
    """What may not be exceeded; None does not limit. `max_error` is of harness/tradeoff.py's error."""

    max_error: float | None = None
    max_size_mib: float | None = None
    max_peak_rss_mib: float | None = None


class Excess(Frozen, frozen=True, kw_only=True):
    """A limit and how a choice does not keep it; `value` None where the figure does not exist."""

    what: str
    unit: str
    value: float | None
    limit: float

    @property
    def ratio(self) -> float:
        """Value over limit; infinite where the one is not known or the other is 0."""
        return self.value / self.limit if self.value is not None and self.limit > 0 else float("inf")


class Recommendation(Frozen, frozen=True, kw_only=True):
    """What to ship, and `rivals`, within the limits too, whose latency cannot be told from its own.

    `runner_up` is the fastest within the limits that can be told from it: it is slower.
    `chosen` is None when nothing that is right keeps the limits: `nearest` is then what exceeds them least,
    and `excesses` how. There is no `nearest` when nothing is right, or when all times are an emulator's.
    `excluded` counts by limit what it alone would rule out of the `right` choices.
    """

    chosen: Choice | None = None
    rivals: tuple[Choice, ...] = ()
    runner_up: Choice | None = None
    right: int = 0
    nearest: Choice | None = None
    excesses: tuple[Excess, ...] = ()
    excluded: dict[str, int] = {}


def recommend(trade_off: TradeOff, limits: Limits) -> Recommendation:
    """The fastest choice of `trade_off` that is right and within `limits`."""
    right = [choice for choice in trade_off.right if not choice.emulated]
    over = [(choice, excesses(choice, limits)) for choice in right]
    within = [choice for choice, exceeded in over if not exceeded]
    excluded: dict[str, int] = {}
    for _, exceeded in over:
        for excess in exceeded:
            excluded[excess.what] = excluded.get(excess.what, 0) + 1
    if within:
        chosen = min(within, key=lambda choice: choice.latency_ms)
        rivals = tied_with(chosen, within)
        slower = [choice for choice in within if choice is not chosen and choice not in rivals]
        return Recommendation(
            chosen=chosen,
            rivals=rivals,
            runner_up=min(slower, key=lambda choice: choice.latency_ms, default=None),
            right=len(right),
            excluded=excluded,
        )
    if not over:
        return Recommendation()
    nearest, exceeded = min(over, key=_distance)
    return Recommendation(nearest=nearest, excesses=exceeded, right=len(right), excluded=excluded)


def excesses(choice: Choice, limits: Limits) -> tuple[Excess, ...]:
    """The limits that `choice` does not keep; one whose figure is not known is not kept."""
    given = (
        ("error", "", choice.error, limits.max_error),
        ("artifact", "MiB", choice.size_mib, limits.max_size_mib),
        ("peak memory", "MiB", choice.peak_rss_mib, limits.max_peak_rss_mib),
    )
    return tuple(
        Excess(what=what, unit=unit, value=value, limit=limit)
        for what, unit, value, limit in given
        if limit is not None and (value is None or not value <= limit)
    )


def _distance(over: tuple[Choice, Sequence[Excess]]) -> tuple[float, float]:
    choice, exceeded = over
    return max(excess.ratio for excess in exceeded), choice.latency_ms
