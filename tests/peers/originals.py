"""The files in tests/data/originals: how a zoo names them, and what their network computes."""

import importlib.util
import zipfile
from pathlib import Path

from harness.reference import ONE_ITERATION, ONE_WARMUP
from harness.runtimes import RUNTIMES
from harness.schedule import Effort
from harness.spec import Case

FILES = Path(__file__).parent.parent / "data" / "originals"
HASH = "a" * 64
FIRST, LAST = [1, 3, 8, 6], [1, 8, 6, 3]
ONCE = Effort(name="once", launches=1, pairs=0, pair_s=0.0, warmup=ONE_WARMUP, timing=ONE_ITERATION)

TFLITE = 'mnn = "file:network.tflite"'
TENSORFLOW = 'mnn = "file:network.pb"'
CAFFE = 'mnn = { prototxt = "file:network.prototxt", caffemodel = "file:network.caffemodel" }'
TORCHSCRIPT = 'ncnn = "file:network.pt"'
COMBINED = 'paddlelite = { pdmodel = "file:network.pdmodel", pdiparams = "file:network.pdiparams" }'
UNCOMBINED = 'paddlelite = { paddle = "file:uncombined" }'


def network():
    """The module beside the files, which computes what they should."""
    spec = importlib.util.spec_from_file_location("network", FILES / "network.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rewrite_code(path, change):
    """Put other code into a TorchScript file: `change` gets the outer module's as bytes."""
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    place = next(name for name in kept if name.endswith("/code/__torch__.py"))
    kept[place] = change(kept[place])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in kept.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def case(runtime, precision="fp32", backend="cpu"):
    version = RUNTIMES[runtime].default_version
    return Case(
        model="net", runtime=runtime, runtime_version=version, precision=precision, threads=1, backend=backend
    )
