"""The freezing script and its judge, in environments of their own: `pytest_plugins = ["peers.freezing"]`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import uv

from harness.cache import Cache
from harness.toolchains import ONNX, TOOLS

# Runs request["model"] on each of the feeds in an .npz of (name, number) arrays; writes the outputs likewise.
RUN = """
import sys, numpy as np, onnxruntime
_, model, feeds, results = sys.argv
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
session = onnxruntime.InferenceSession(model, options)
outputs = session.run(None, dict(np.load(feeds)))
np.savez(results, **{o.name: array for o, array in zip(session.get_outputs(), outputs)})
"""

PARSE = """
import sys, onnx
onnx.save(onnx.parser.parse_model(sys.stdin.read()), sys.argv[1])
"""


class Frozen(NamedTuple):
    """What one freezing gave."""

    shaped: Path
    frozen: Path
    report: dict


class Tools(NamedTuple):
    """The environments of the script and of its judge, and things to do in them."""

    onnx: Path
    onnxruntime: Path

    def python(self, *argv, path=None, stdin=None):
        env = {**os.environ, "PYTHONPATH": str(path or self.onnx), "ORT_DISABLE_TELEMETRY": "1"}
        command = [sys.executable, *map(str, argv)]
        return subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, check=False)

    def parsed(self, text, path, domains=()):
        opsets = ", ".join(['"" : 17', *(f'"{domain}" : 1' for domain in domains)])
        done = self.python("-c", PARSE, path, stdin=f"<ir_version: 8, opset_import: [{opsets}]>\n{text}")
        assert done.returncode == 0, done.stderr
        return path

    def freeze(self, model, inputs, constants=None, *, alone=False, largest_file_bytes=2_000_000_000):
        """The finished process and the request's directory."""
        out = model.parent / "out"
        out.mkdir(exist_ok=True)
        request = {
            "model": str(model),
            "alone": alone,
            "inputs": [{"name": n, "shape": s, "dtype": d} for n, s, d in inputs],
            "constants": constants or {},
            "shaped": str(out / "shaped.onnx"),
            "frozen": str(out / "frozen.onnx"),
            "report": str(out / "report.json"),
            "largest_file_bytes": largest_file_bytes,
        }
        (out / "request.json").write_text(json.dumps(request))
        return self.python(TOOLS / "freeze_onnx.py", out / "request.json"), out

    def frozen(self, model, inputs, constants=None, **options):
        done, out = self.freeze(model, inputs, constants, **options)
        assert done.returncode == 0, done.stderr
        report = json.loads((out / "report.json").read_text())
        return Frozen(out / "shaped.onnx", out / "frozen.onnx", report)

    def run(self, model, feed):
        """Outputs of onnxruntime, by name in the graph's order."""
        feeds, results = model.with_suffix(".feed.npz"), model.with_suffix(".results.npz")
        np.savez(feeds, **feed)
        done = self.python("-c", RUN, model, feeds, results, path=self.onnxruntime)
        assert done.returncode == 0, done.stderr
        with np.load(results) as stored:
            return {name: stored[name] for name in stored.files}

    def run_both(self, frozen, feed):
        """Pairs of outputs, shaped and frozen, of one feed under its original names."""
        renamed = {tensor["name"]: feed[tensor["original"]] for tensor in frozen.report["inputs"]}
        shaped, small = self.run(frozen.shaped, feed), self.run(frozen.frozen, renamed)
        return [(shaped[o["original"]], small[o["name"]]) for o in frozen.report["outputs"]]


@pytest.fixture(scope="session")
def tools(tmp_path_factory):
    def installed(name, *requirements):
        path = tmp_path_factory.mktemp(name)
        command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
        subprocess.run([*command, "--target", path, *requirements], cwd=path.anchor, check=True)
        return path

    judge = ("onnxruntime==1.32.0", "flatbuffers==25.12.19")
    shared = [one for one in ONNX.requirements if one.startswith(("numpy", "protobuf", "packaging"))]
    return Tools(installed("onnx", *ONNX.requirements), installed("onnxruntime", *judge, *shared))


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """A cache of their own for the models' sources."""
    return Cache(tmp_path_factory.mktemp("cache"))
