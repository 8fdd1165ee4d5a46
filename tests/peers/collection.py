"""A folder of networks that are converted already, laid out as lite.ai.toolkit's hub is.

The network is the zoo's smallest, converted by the project's own converters, so that every engine's file
computes the same and what is measured of it can be judged.
"""

import shutil
from pathlib import Path

import pytest

from harness.cache import Cache
from harness.convert import Format, make_artifact
from harness.convert.param_text import renamed
from harness.models.prepare import prepare
from harness.models.sources import fetch
from harness.models.zoo import load_zoo
from harness.runtimes import RUNTIMES

SUITES = Path(__file__).parent.parent.parent / "suites"
POINTER = """\
version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 12345
"""


class Converted:
    """The files of one network: `file(runtime)` where each lies."""

    def __init__(self):
        self._cache = Cache()
        model = load_zoo(SUITES / "zoo.toml")["ppocr_cls"]
        self._prepared = prepare(self._cache, model, SUITES)
        self.onnx = self._prepared.shaped
        self.open_onnx = fetch(self._cache, model.source, model.sha256, base=SUITES)

    def file(self, runtime, precision="fp32", role=None, *, backend="cpu", arch="x86_64"):
        form = Format(
            runtime=runtime,
            version=RUNTIMES[runtime].default_version,
            precision=precision,
            backend=backend,
            arch=arch,
        )
        made = make_artifact(self._cache, self._prepared, form)
        (name,) = [name for of, name in made.record.files.items() if role in {None, of}]
        return made.path / name


@pytest.fixture(scope="session")
def converted():
    """The smallest network of the zoo as ONNX, .mnn, .param/.bin and .nb."""
    return Converted()


@pytest.fixture(scope="session")
def collection(converted, tmp_path_factory):
    """A collection with one network of four engines, some of one, and files that nobody can measure."""
    root = tmp_path_factory.mktemp("hub")

    def put(source, place):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, root / place)

    def write(place, text):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)

    put(converted.onnx, "ONNXRuntime/ppocr/ppocr-cls-48x192.onnx")
    put(converted.open_onnx, "ONNXRuntime/ppocr/ppocr-cls.onnx")
    put(converted.file("mnn"), "MNN/ppocr/ppocr_cls-48x192.mnn")
    put(converted.file("mnn", "fp16"), "MNN/ppocr/ppocr_cls_48x192_fp16.mnn")
    put(converted.file("mnn"), "MNN/other/lonely.mnn")
    # As caffe2ncnn and ncnnoptimize write them: blobs have the network's own names.
    param = converted.file("ncnn", role="param").read_text()
    write("ncnn/ppocr/PPOCR_cls-48x192.opt.param", renamed(param, {"in0": "data", "out0": "prob"}))
    put(converted.file("ncnn", role="bin"), "ncnn/ppocr/PPOCR_cls-48x192.opt.bin")
    put(converted.file("paddlelite", backend="mobile"), "PaddleLite/ppocr_cls_48x192.nb")
    put(converted.file("paddlelite", backend="mobile", arch="aarch64"), "PaddleLite/phone.nb")

    write("TNN/ppocr/ppocr-cls.opt.tnnproto", "1 1")
    write("TensorFlow/frozen.pb", "graph")
    write("ncnn/alone/weights.bin", "weights")
    write("ncnn/alone/structure.param", "7767517\n1 1\nInput data 0 1 data\n")
    write("MNN/bad/pointer.mnn", POINTER)
    (root / "MNN/bad/cut.mnn").write_bytes((root / "MNN/other/lonely.mnn").read_bytes()[:5000])
    write("ONNXRuntime/bad/page.onnx", "<!doctype html>")
    write("PaddleLite/bad.nb", "there is nothing of Paddle-Lite in here")
    write("README.md", "no model")
    return root
