"""Loops around one inference. Times are integer nanoseconds of a monotonic clock."""

from __future__ import annotations

import time
from typing import Any, Callable


def warm_up(infer: Callable[[], object], plan: dict[str, Any]) -> tuple[list[int], bool]:
    """Run `infer` until it is settled or a cap is reached; returns (samples_ns, settled).

    Settled: the median of the last `window` is within `tolerance` of the median of the `window` before.
    """
    samples: list[int] = []
    window = plan["window"]
    deadline = time.perf_counter_ns() + int(plan["max_s"] * 1e9)
    while len(samples) < plan["max_iterations"]:
        began = time.perf_counter_ns()
        infer()
        ended = time.perf_counter_ns()
        samples.append(ended - began)
        if len(samples) < plan["min_iterations"]:
            continue
        if len(samples) >= 2 * window and len(samples) % window == 0:
            late = _median(samples[-window:])
            early = _median(samples[-2 * window : -window])
            if abs(late - early) <= plan["tolerance"] * early:
                return samples, True
        if ended >= deadline:
            break
    return samples, False


def timed(
    infer: Callable[[], object], at_least: int, at_most: int, target_s: float
) -> tuple[list[int], list[int]]:
    """Run `infer` until `target_s` has passed, within the given counts; returns (samples_ns, started_ns).

    The span of a sample is the call alone: input arrays ready to output arrays materialised. What the
    call returned is let go between two spans.
    """
    samples: list[int] = []
    started: list[int] = []
    clock = time.perf_counter_ns
    deadline = clock() + int(target_s * 1e9)
    while True:
        began = clock()
        outputs = infer()
        ended = clock()
        del outputs
        samples.append(ended - began)
        started.append(began)
        count = len(samples)
        if count >= at_most or (count >= at_least and ended >= deadline):
            return samples, started


def _median(values: list[int]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
