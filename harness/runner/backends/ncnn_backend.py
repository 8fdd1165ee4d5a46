"""ncnn: one extractor per inference, as its users run it."""

from __future__ import annotations

import atexit
from typing import Any

import ncnn
import numpy as np

from .errors import RunnerError
from .shapes import as_expected

NARROWED = {"int64": "int32"}


class Backend:
    """CPU, or a GPU through Vulkan; every switch of storage and arithmetic is set by the precision."""

    version = ncnn.__version__
    obtained = "cpu"

    def load(self, job: dict[str, Any]) -> None:
        """Load `files["param"]` and `files["bin"]`; `options["batch_axes"]`: the batch axis of each input."""
        self.net = ncnn.Net()
        on_gpu = job["backend"] == "vulkan"
        if on_gpu:
            self._open_gpu()
        self._set_options(job)
        for name, load in (("param", self.net.load_param), ("bin", self.net.load_model)):
            code = load(job["files"][name])
            if code != 0:
                raise RunnerError("ncnn cannot load the %s file (code %d)" % (name, code))
        if on_gpu:
            self._check_precision(job["precision"])
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
                # ncnn's whole numbers have 32 bits.
                array = feed[view].astype(NARROWED.get(feed.dtype.name, feed.dtype), copy=False)
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

    def _open_gpu(self) -> None:
        # What is left to the interpreter's end is let go in no order, and drivers crash.
        atexit.register(self._close_gpu)
        if ncnn.get_gpu_count() == 0:
            raise RunnerError(
                "ncnn finds no GPU with a Vulkan driver here; install the driver and Vulkan's loader "
                "(Debian: mesa-vulkan-drivers, libvulkan1). On an Android phone Python cannot load the "
                "phone's driver: docs/android.md says how to build a bundle that can"
            )
        self.obtained = "vulkan, %s" % ncnn.get_gpu_info(ncnn.get_default_gpu_index()).device_name()

    def _close_gpu(self) -> None:
        self.net.clear()
        ncnn.destroy_gpu_instance()

    def _set_options(self, job: dict[str, Any]) -> None:
        option = self.net.opt
        option.num_threads = job["threads"]
        option.use_vulkan_compute = job["backend"] == "vulkan"
        half, brain = job["precision"] == "fp16", job["precision"] == "bf16"
        option.use_fp16_packed = option.use_fp16_storage = option.use_fp16_arithmetic = half
        option.use_bf16_storage = brain
        if hasattr(option, "use_bf16_packed"):
            option.use_bf16_packed = brain

    def _check_precision(self, precision: str) -> None:
        # While it loads, ncnn turns off what the GPU lacks, without a word: it would be another precision.
        option = self.net.opt
        if not option.use_vulkan_compute:
            raise RunnerError("ncnn cannot use the GPU that it found (%s)" % self.obtained)
        kept = {
            "fp32": True,
            "fp16": option.use_fp16_packed or option.use_fp16_storage,
            "bf16": option.use_bf16_storage or getattr(option, "use_bf16_packed", False),
            "int8": option.use_int8_inference,
        }
        if not kept[precision]:
            raise RunnerError("the GPU's driver has no %s (%s)" % (precision, self.obtained))

    def _check_blobs(self) -> None:
        present = set(self.net.input_names()) | set(self.net.output_names())
        missing = [n for n in self.inputs + [o[0] for o in self.outputs] if n not in present]
        if missing:
            raise RunnerError(
                "the converted model has no %s; it has %s" % (", ".join(missing), sorted(present))
            )


def _without_axis(axis: int | None) -> tuple[Any, ...]:
    return (Ellipsis,) if axis is None else (slice(None),) * axis + (0,)
