"""Ranges of activations by onnxruntime's percentile and entropy, holding one sample's tensors at a time.

onnxruntime's own calibrators keep every tensor of every sample until the last has run, 2 GB for 32 samples of
a text detector. The samples run twice here instead: for the reach of each tensor, then for the histogram over
that reach. The histograms are the same, and what is chosen from them onnxruntime's own code chooses.
"""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import (
    HistogramCalibrater,
    HistogramCollector,
    create_calibrator,
    save_tensors_data,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]


class Samples(CalibrationDataReader):  # type: ignore[misc]
    """Calibration samples, one at a time."""

    def __init__(self, files: list[str]) -> None:
        self._files = iter(files)

    def get_next(self) -> dict[str, Array] | None:
        """The next sample by input name; None after the last."""
        file = next(self._files, None)
        if file is None:
            return None
        with np.load(file) as stored:
            return {name: stored[name] for name in stored.files}


class Reach(NamedTuple):
    """Smallest and largest value of a tensor in all samples, and the same of its magnitudes."""

    low: Any
    high: Any
    near: Any
    far: Any

    @classmethod
    def of(cls, array: Array) -> Reach:
        """That of one sample's tensor."""
        if not array.size:
            return cls(*np.zeros(4, array.dtype))
        magnitude = np.absolute(array)
        return cls(array.min(), array.max(), magnitude.min(), magnitude.max())

    def __or__(self, other: Reach) -> Reach:  # type: ignore[override]
        """That of both."""
        return Reach(
            min(self.low, other.low),
            max(self.high, other.high),
            min(self.near, other.near),
            max(self.far, other.far),
        )


def write_ranges(
    model: Path, files: list[str], method: CalibrationMethod, options: dict[str, Any], target: Path
) -> None:
    """Write the range of each activation to `target`, as `quantize_static` reads it."""
    extra = {"percentile": options["percentile"]} if method is CalibrationMethod.Percentile else {}
    with TemporaryDirectory(prefix="ort.ranges.", dir=target.parent) as scratch:
        calibrator = create_calibrator(
            model,
            options["operators"],
            augmented_model_path=f"{scratch}/augmented.onnx",
            calibrate_method=method,
            extra_options=extra,
        )
        calibrator.collector = collected(calibrator, files)
        save_tensors_data(calibrator.compute_data(), target)


def collected(calibrator: HistogramCalibrater, files: list[str]) -> HistogramCollector:
    """onnxruntime's collector with the histograms that it would have of all samples at once."""
    collector = HistogramCollector(
        method=calibrator.method,
        symmetric=calibrator.symmetric,
        num_bins=calibrator.num_bins,
        num_quantized_bins=calibrator.num_quantized_bins,
        percentile=calibrator.percentile,
        scenario=calibrator.scenario,
    )
    # As HistogramCollector.collect: magnitudes where percentile is symmetric, which it is, else both signs.
    magnitudes = calibrator.method == "percentile" and calibrator.symmetric
    reaches: dict[str, Reach] = {}
    for name, array in tensors(calibrator, files):
        found = Reach.of(array)
        reaches[name] = reaches[name] | found if name in reaches else found
    counts: dict[str, Array] = {}
    for name, array in tensors(calibrator, files):
        reach = reaches[name]
        span = (reach.near, reach.far) if magnitudes else (-reach.far, reach.far)
        values = np.absolute(array) if magnitudes else array
        seen, edges = np.histogram(values, bins=calibrator.num_bins, range=span)
        counts[name] = counts[name] + seen if name in counts else seen
        more = () if magnitudes else (np.array(reach.far, array.dtype),)
        histogram = (counts[name], edges.astype(array.dtype), reach.low, reach.high, *more)
        collector.histogram_dict[name] = histogram
    return collector


def tensors(calibrator: HistogramCalibrater, files: list[str]) -> Iterator[tuple[str, Array]]:
    """What flows in every sample: name and values of each tensor whose range is wanted."""
    session, samples = calibrator.infer_session, Samples(files)
    names = [output.name for output in session.get_outputs()]
    while (sample := samples.get_next()) is not None:
        for name, array in zip(names, session.run(None, sample), strict=True):
            if name in calibrator.tensors_to_calibrate:
                yield name, array


if __name__ == "__main__":
    raise SystemExit("a part of quantize_onnx.py")
