"""Does a candidate still compute what the reference computes? Pure functions over arrays.

Every output is judged alone: hard failures first (missing, shape, dtype, NaN or infinity, constant), then
four figures against the limits of the precision. Everything is computed in float64.
"""

import math
import sys
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.spec import OutputParity, Parity, ParityLimits, Precision

Array = npt.NDArray[np.generic]
Task = Literal["detector", "classifier", "sequence", "other"]

_FLOAT_MAX = sys.float_info.max
"""Where a figure would be infinite, which JSON cannot say."""

SNR_CAP_DB = 200.0
"""Stands for "identical", because an infinite ratio has no JSON; float32 itself ends near 150 dB."""

CONSTANT_SPREAD = 0.01
"""A reference whose range is below this share of its largest value may become constant by mere rounding."""

LIMITS: dict[Precision, ParityLimits] = {
    "fp32": ParityLimits(cosine=0.9999, max_rel=1e-3, snr_db=35.0, top_k=1.0),
    "fp16": ParityLimits(cosine=0.999, max_rel=0.05, snr_db=25.0, top_k=0.99),
    "bf16": ParityLimits(cosine=0.998, max_rel=0.1, snr_db=22.0, top_k=0.98),
    "w16": ParityLimits(cosine=0.999, max_rel=0.05, snr_db=25.0, top_k=0.99),
    "w8": ParityLimits(cosine=0.99, max_rel=0.2, snr_db=15.0, top_k=0.95),
    "int8": ParityLimits(cosine=0.98, max_rel=0.3, snr_db=12.0, top_k=0.9),
    "w4": ParityLimits(cosine=0.95, max_rel=0.5, snr_db=8.0, top_k=0.85),
}
"""Default limits, loose enough for the rounding of a precision and tight enough for a broken graph.

Runtimes that are right hold fp32 to a max_rel of 5e-5 and fp16 to a cosine of 0.9995; graphs that are wrong
fall below 0.9 at any precision. The SNR limit lies about 2 dB under what the cosine limit implies for
uncorrelated noise (1 - cosine = 10^(-SNR/10) / 2), so it speaks only where the cosine is blind: scale and
offset. A single top-1 is right or wrong, so any top_k limit above 0 demands it.
"""


def judge(
    reference: Sequence[tuple[str, Array]],
    candidate: Sequence[tuple[str, Array]],
    *,
    precision: Precision,
    task: Task = "other",
    override: ParityLimits | None = None,
    reference_label: str = "onnxruntime fp32",
) -> Parity:
    """Compare every reference output with the candidate's output of that name.

    Converters that rename every output (pnnx: `out0`, ...) are met by position: used only when no name
    is shared. Outputs that only the candidate has are ignored. `override` replaces single limits.
    Top-k agreement is taken of the first output (the scores) of classifiers and sequence models.
    Raises ValueError without a reference output, because nothing compared is nothing proven.
    """
    if not reference:
        raise ValueError("parity needs at least one reference output")
    limits = resolve(precision, override)
    found = _matched(reference, candidate)
    outputs = tuple(
        judge_output(name, wanted, found.get(name), limits, task=task if index == 0 else "other")
        for index, (name, wanted) in enumerate(reference)
    )
    return Parity(
        ok=all(output.ok for output in outputs),
        outputs=outputs,
        limits=limits,
        reference=reference_label,
    )


def resolve(precision: Precision, override: ParityLimits | None = None) -> ParityLimits:
    """Limits in force: the precision's defaults where `override` says nothing."""
    default = LIMITS[precision]
    if override is None:
        return default
    return ParityLimits(
        max_rel=default.max_rel if override.max_rel is None else override.max_rel,
        cosine=default.cosine if override.cosine is None else override.cosine,
        snr_db=default.snr_db if override.snr_db is None else override.snr_db,
        top_k=default.top_k if override.top_k is None else override.top_k,
    )


def judge_output(
    name: str, reference: Array, candidate: Array | None, limits: ParityLimits, *, task: Task = "other"
) -> OutputParity:
    """Judge one output; figures are given with a failure too wherever they can be computed."""
    if candidate is None:
        return OutputParity(name=name, ok=False, failure="missing output")
    if candidate.shape != reference.shape:
        failure = f"shape {_shape(candidate)}, reference {_shape(reference)}"
        return OutputParity(name=name, ok=False, failure=failure)
    if reference.dtype.kind not in "fiub" or candidate.dtype.kind not in "fiub":
        return _judge_opaque(name, reference, candidate)
    failures = []
    if candidate.dtype != reference.dtype:
        failures.append(f"dtype {candidate.dtype}, reference {reference.dtype}")
    wanted = reference.astype(np.float64)
    given = candidate.astype(np.float64)
    finite = np.isfinite(wanted)
    broken = finite & ~np.isfinite(given)
    if broken.any():
        failures.append(_non_finite(given[broken], given.size))
        return OutputParity(name=name, ok=False, failure="; ".join(failures))
    if wanted.size and not finite.any():
        failures.append("the reference has no finite value to compare with")
        return OutputParity(name=name, ok=False, failure="; ".join(failures))
    # Where the reference itself is NaN or infinite there is nothing to compare with.
    if _is_constant(given[finite]) and not _may_be_constant(wanted[finite]):
        failures.append(f"constant output ({given[finite][0]:.6g} everywhere)")
    figures = _figures(wanted, given, finite, task)
    failures += _over_limits(figures, limits)
    return OutputParity(name=name, ok=not failures, failure="; ".join(failures), **figures)


def cosine(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    """Cosine similarity of two flat vectors; None when both are zero, 0 when one of them is."""
    scale_a, scale_b = _largest(a), _largest(b)
    if scale_a == 0 and scale_b == 0:
        return None
    if scale_a == 0 or scale_b == 0:
        return 0.0
    # Scaled first, so that squares of very large or small values stay in range.
    a, b = a / scale_a, b / scale_b
    value = float(a @ b) / float(np.sqrt(a @ a) * np.sqrt(b @ b))
    return min(1.0, max(-1.0, value))


def snr_db(reference: npt.NDArray[np.float64], difference: npt.NDArray[np.float64]) -> float | None:
    """Signal to noise, 10 log10(sum ref^2 / sum diff^2), within +-SNR_CAP_DB; None for a zero reference."""
    signal, noise = _norm_db(reference), _norm_db(difference)
    if signal is None:
        return None
    if noise is None:
        return SNR_CAP_DB
    return min(SNR_CAP_DB, max(-SNR_CAP_DB, signal - noise))


def top_1_agreement(reference: npt.NDArray[np.float64], candidate: npt.NDArray[np.float64]) -> float | None:
    """Share of rows (all axes but the last) where the candidate picks one of the reference's best classes.

    A row is an example of a classifier or a time step of a sequence (CTC: [1, T, C]). None where there is
    no choice to make.
    """
    if reference.ndim == 0 or reference.shape[-1] < 2 or reference.size == 0:
        return None
    wanted = reference.reshape(-1, reference.shape[-1])
    given = candidate.reshape(-1, candidate.shape[-1])
    picked = np.take_along_axis(wanted, given.argmax(axis=1)[:, None], axis=1)[:, 0]
    return float(np.mean(picked == wanted.max(axis=1)))


def _figures(
    wanted: npt.NDArray[np.float64],
    given: npt.NDArray[np.float64],
    finite: npt.NDArray[np.bool_],
    task: Task,
) -> dict[str, float | None]:
    reference, candidate = wanted[finite], given[finite]
    with np.errstate(over="ignore"):
        difference = np.clip(candidate - reference, -_FLOAT_MAX, _FLOAT_MAX)
    max_abs = _largest(difference)
    scale = _largest(reference)
    top_k = None
    if task in {"classifier", "sequence"}:
        top_k = top_1_agreement(np.where(finite, wanted, -np.inf), np.where(finite, given, -np.inf))
    return {
        "max_abs": max_abs,
        # A reference of zeros has no scale: the difference is then judged as it is.
        "max_rel": min(max_abs / scale, _FLOAT_MAX) if scale > 0 else max_abs,
        "cosine": cosine(reference, candidate) if scale > 0 else None,
        "snr_db": snr_db(reference, difference),
        "top_k": top_k,
    }


def _over_limits(figures: dict[str, float | None], limits: ParityLimits) -> list[str]:
    failures = []
    value, limit = figures["max_rel"], limits.max_rel
    # Written as "not within", so that a NaN fails.
    if value is not None and limit is not None and not value <= limit:
        failures.append(f"max_rel {value:.3g} > {limit:g}")
    for figure in ("cosine", "snr_db", "top_k"):
        value, limit = figures[figure], getattr(limits, figure)
        if value is not None and limit is not None and not value >= limit:
            failures.append(f"{figure} {value:.6g} < {limit:g}")
    return failures


def _judge_opaque(name: str, reference: Array, candidate: Array) -> OutputParity:
    if candidate.dtype.kind != reference.dtype.kind:
        failure = f"dtype {candidate.dtype}, reference {reference.dtype}"
    else:
        different = int(np.sum(candidate != reference))
        failure = f"{different} of {reference.size} values differ" if different else ""
    return OutputParity(name=name, ok=not failure, failure=failure)


def _matched(
    reference: Sequence[tuple[str, Array]], candidate: Sequence[tuple[str, Array]]
) -> dict[str, Array]:
    given = dict(candidate)
    if any(name in given for name, _ in reference):
        return given
    # Not strict: what one side has more of is missing or ignored.
    return {name: array for (name, _), (_, array) in zip(reference, candidate, strict=False)}


def _non_finite(values: npt.NDArray[np.float64], size: int) -> str:
    nan = int(np.isnan(values).sum())
    kinds = [f"{nan} NaN"] * (nan > 0) + [f"{values.size - nan} infinite"] * (values.size > nan)
    return f"{' and '.join(kinds)} of {size} values where the reference is finite"


def _is_constant(values: npt.NDArray[np.float64]) -> bool:
    return values.size > 1 and bool((values == values[0]).all())


def _may_be_constant(reference: npt.NDArray[np.float64]) -> bool:
    low, high = float(reference.min()), float(reference.max())
    return high - low <= CONSTANT_SPREAD * max(abs(low), abs(high))


def _largest(values: npt.NDArray[np.float64]) -> float:
    return float(np.abs(values).max(initial=0.0))


def _norm_db(values: npt.NDArray[np.float64]) -> float | None:
    scale = _largest(values)
    return 20 * (math.log10(scale) + math.log10(np.linalg.norm(values / scale))) if scale > 0 else None


def _shape(array: Array) -> str:
    return "x".join(map(str, array.shape)) or "scalar"
