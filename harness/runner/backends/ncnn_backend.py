"""ncnn: one extractor per inference, as its users run it."""

from __future__ import annotations

from typing import Any

import ncnn
import numpy as np

from .errors import RunnerError
from .shapes import as_expected


class Backend:
    """CPU; every storage and arithmetic switch is set by the precision, none is left at its default."""

    version = ncnn.__version__
    obtained = "cpu"

    def load(self, job: dict[str, Any]) -> None:
        """Load `files["param"]` and `files["bin"]`; `options["batch_axes"]`: the batch axis of each input."""
        self.net = ncnn.Net()
        option = self.net.opt
        option.num_threads = job["threads"]
        option.use_vulkan_compute = False
        half, brain = job["precision"] == "fp16", job["precision"] == "bf16"
        option.use_fp16_packed = option.use_fp16_storage = option.use_fp16_arithmetic = half
        option.use_bf16_storage = brain
        if hasattr(option, "use_bf16_packed"):
            option.use_bf16_packed = brain
        for name, load in (("param", self.net.load_param), ("bin", self.net.load_model)):
            code = load(job["files"][name])
            if code != 0:
                raise RunnerError("ncnn cannot load the %s file (code %d)" % (name, code))
        axes = job["options"].get("batch_axes", [])
        # An index per input that drops its batch axis: cheaper in the timed span than a function.
        self.views = [_without_axis(axis) for axis in axes + [None] * (len(job["inputs"]) - len(axes))]
        self.inputs = ["in%d" % index for index in range(len(job["inputs"]))]
        self.outputs = [
            ("out%d" % index, tuple(spec["shape"]), np.dtype(spec["dtype"]))
            for index, spec in enumerate(job["outputs"])
        ]
        self._check_blobs()

    def infer(self, feeds: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Copy in, extract every output, copy out."""
        kept = []
        with self.net.create_extractor() as extractor:
            for name, view, feed in zip(self.inputs, self.views, feeds):
                array = feed[view]
                # The Mat borrows the array's memory: both live until the extractor is done.
                mat = ncnn.Mat(array).clone()
                kept.append((array, mat))
                code = extractor.input(name, mat)
                if code != 0:
                    raise RunnerError(
                        "ncnn refuses input %s of shape %s (code %d)" % (name, array.shape, code)
                    )
            return [self._extract(extractor, *output) for output in self.outputs]

    def _extract(self, extractor: Any, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
        code, mat = extractor.extract(name)
        if code != 0:
            raise RunnerError("ncnn cannot compute %s (code %d)" % (name, code))
        array = np.array(mat)
        if array.dtype != dtype:
            array = array.astype(dtype)
        return as_expected(array, shape)

    def _check_blobs(self) -> None:
        present = set(self.net.input_names()) | set(self.net.output_names())
        missing = [n for n in self.inputs + [o[0] for o in self.outputs] if n not in present]
        if missing:
            raise RunnerError(
                "the converted model has no %s; it has %s" % (", ".join(missing), sorted(present))
            )


def _without_axis(axis: int | None) -> tuple[Any, ...]:
    return (Ellipsis,) if axis is None else (slice(None),) * axis + (0,)
