"""Which operators lose most in 8 bits: each is quantized alone, and the model run on some samples.

Errors of operators add up nearly as noise does: the noise of the whole model is about the sum of what each
does alone. So the worst are left in fp32 until the sum of the rest is small enough. In centerface one
convolution of 46 does half of the harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.generic]

SAMPLES = 4
"""How many to look at: the noise of an operator is much the same in all."""

MOST_LEFT = 0.5
"""Share of the operators that may be left in fp32: what asks for more is no int8 model."""


LOST = 1e6
"""The noise of an output that is not finite where it should be, and the most that counts as noise."""


class Judge:
    """The float model's outputs for some samples, to hold others against."""

    def __init__(self, model: Path, samples: Sequence[Mapping[str, Array]]) -> None:
        self._samples = samples
        session = _session(model)
        self._names = [output.name for output in session.get_outputs()]
        self._wanted = [self._run(session, sample) for sample in self._samples]

    def noise(self, model: Path) -> NDArray[np.float64]:
        """Noise power over signal power of each output of `model`, on average of the samples."""
        session = _session(model)
        runs = zip(self._samples, self._wanted, strict=True)
        ratios = [
            [noise_of(*pair) for pair in zip(wanted, self._run(session, sample), strict=True)]
            for sample, wanted in runs
        ]
        return np.mean(ratios, axis=0)

    def _run(self, session: onnxruntime.InferenceSession, sample: Mapping[str, Array]) -> list[Array]:
        outputs: list[Array] = session.run(self._names, sample)
        return outputs


def is_over(noise: NDArray[np.float64], target_db: float) -> bool:
    """Whether an output has less than `target_db`."""
    return not (noise <= 10 ** (-target_db / 10)).all()


def sensitive(alone: Mapping[str, NDArray[np.float64]], target_db: float) -> list[str]:
    """As few operators as leave every output `target_db`, worst first; at most half of them.

    `alone` is the noise at each output when that operator alone is quantized.
    """
    ranked = sorted(alone, key=lambda name: -float(alone[name].max()))
    rest = np.sum(list(alone.values()), axis=0)
    left: list[str] = []
    for name in ranked[: int(MOST_LEFT * len(ranked))]:
        if not is_over(rest, target_db):
            break
        left.append(name)
        rest = rest - alone[name]
    return left


def decibel(noise: float) -> float:
    """Signal to noise in dB, at most 200."""
    return round(-10 * float(np.log10(max(noise, 1e-20))), 1)


def noise_of(wanted: Array, given: Array) -> float:
    """Noise power over signal power where `wanted` is finite (a mask is not); always finite, at most LOST."""
    if wanted.dtype.kind != "f":
        return 0.0
    finite = np.isfinite(wanted)
    signal, other = wanted[finite].astype(np.float64), given[finite].astype(np.float64)
    if not np.isfinite(other).all():
        return LOST
    # Numbers of 64 bits may have squares that are not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        # Where the signal is zero the noise counts as it is.
        ratio = float(np.square(other - signal).sum() / (np.square(signal).sum() or 1.0))
    return min(ratio, LOST) if np.isfinite(ratio) else LOST


def _session(model: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    raise SystemExit("a part of quantize_onnx.py")
