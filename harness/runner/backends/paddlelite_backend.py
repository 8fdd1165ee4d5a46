"""Paddle-Lite: the full predictor (`cpu`) on a Paddle model, or the light one (`mobile`) on an .nb file."""

from __future__ import annotations

from typing import Any

import numpy as np
from paddlelite import lite

from .errors import RunnerError
from .shapes import as_expected


class Backend:
    """x86 CPU; errors abort the process, which the launch reports as a crash with its last words."""

    obtained: str | None = None
    version: str | None = None

    def load(self, job: dict[str, Any]) -> None:
        """Create the predictor from `files["pdmodel"]` + `files["pdiparams"]`, or from `files["nb"]`."""
        if job["backend"] == "mobile":
            config = lite.MobileConfig()
            config.set_model_from_file(job["files"]["nb"])
        else:
            config = lite.CxxConfig()
            config.set_model_file(job["files"]["pdmodel"])
            config.set_param_file(job["files"]["pdiparams"])
            config.set_threads(job["threads"])
            fp32 = lite.PrecisionType.FP32
            config.set_valid_places(
                [lite.Place(lite.TargetType.X86, fp32), lite.Place(lite.TargetType.Host, fp32)]
            )
        self.predictor = lite.create_paddle_predictor(config)
        self.version = self.predictor.get_version()
        self.obtained = job["backend"]
        names = list(self.predictor.get_input_names())
        renamed = job["options"].get("input_names", {})
        asked = [renamed.get(item["name"], item["name"]) for item in job["inputs"]]
        self.inputs = [self._input_index(names, name) for name in asked]
        indices = job["options"].get("output_indices") or range(len(job["outputs"]))
        self.outputs = [(index, tuple(spec["shape"])) for index, spec in zip(indices, job["outputs"])]

    def infer(self, feeds: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Copy in, run, copy out."""
        for index, feed in zip(self.inputs, feeds):
            self.predictor.get_input(index).from_numpy(feed)
        self.predictor.run()
        return [as_expected(self.predictor.get_output(index).numpy(), shape) for index, shape in self.outputs]

    @staticmethod
    def _input_index(names: list[str], name: str) -> int:
        if name not in names:
            raise RunnerError("the model's inputs are %s, the job feeds %r" % (names, name))
        return names.index(name)
