"""onnxruntime: InferenceSession.run with arrays in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from .errors import RunnerError


class Backend:
    """CPU execution provider; spinning off, because it burns the cores that other threads need."""

    version = onnxruntime.__version__
    obtained: str | None = None

    def load(self, job: dict[str, Any]) -> None:
        """Create the session from `files["onnx"]`."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job["threads"]
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(
                job["files"]["onnx"], options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise RunnerError("onnxruntime cannot load the model: %s" % error) from error
        self.obtained = ",".join(self.session.get_providers())
        present = [item.name for item in self.session.get_inputs()]
        asked = [item["name"] for item in job["inputs"]]
        if sorted(present) != sorted(asked):
            raise RunnerError("the model's inputs are %s, the job feeds %s" % (present, asked))
        self.inputs = asked
        self.outputs = [item["name"] for item in job["outputs"]] or None

    def infer(self, feeds: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Outputs in the job's order; all of the model's when the job names none."""
        outputs: list[np.ndarray[Any, Any]] = self.session.run(self.outputs, dict(zip(self.inputs, feeds)))
        return outputs
