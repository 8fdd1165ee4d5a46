"""Disks that fill up while something is made: told with the directory and the way out, and only then.

The disk is a real one, too small for what a tool writes; then it is made larger and the same is asked for
again. Downloads are in test_models_sources_resume.py and test_models_sources_hub.py, environments in
test_environments.py, results in test_results.py.
"""

import re

import numpy as np
import pytest
from peers.tiny_models import linked_cache

from harness.convert import Format, make_artifact
from harness.errors import PocketbenchError, UnsupportedError
from harness.models import export
from harness.models.prepare import prepare, prepare_feed
from harness.models.sources import content_sha256
from harness.reference import make_reference
from harness.runtimes import RUNTIMES
from harness.spec import Model, TensorSpec

pytest_plugins = ["networks", "peers.disk_fixtures", "peers.tiny_model_fixtures"]

WIDTH = 512
"""A layer of as many by as many weights takes a megabyte."""


def told_once_and_cured(mounted, cache, work):
    """`work` on the full disk, and on the same one made larger; gives what it then returns."""
    with pytest.raises(PocketbenchError) as refused:
        work()
    assert not isinstance(refused.value, UnsupportedError), "it is not the model's fault"
    assert re.fullmatch(
        rf"no space left in the cache {cache.root} \(\d+ MiB free\): make room there, "
        "or set POCKETBENCH_CACHE to a larger disk",
        str(refused.value),
    )
    assert not list(cache.root.glob("*/.*")), "nothing half made is left"
    assert not list(cache.root.glob("*/*.failure.json")), "the next run is to try again"
    mounted("size=64m")
    return work()


@pytest.fixture(scope="module")
def layer(network):
    weight = np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    text = "net (float[1, 512] x) => (float[1, 512] y) { y = MatMul(x, w) }"
    return network(text, {"x": (1, WIDTH)}, weights={"w": weight})


@pytest.fixture
def model(layer):
    return Model(
        name="layer",
        source=f"file:{layer.frozen}",
        sha256=content_sha256(layer.frozen),
        feed="stand_in",
        inputs=(TensorSpec(name="x", shape=(1, WIDTH)),),
    )


@pytest.mark.parametrize("size", ["600k", "1500k", "2500k"], ids=["the store", "shaped", "frozen"])
def test_a_disk_that_fills_up_while_freezing(mounted, model, tmp_path, size):
    cache = linked_cache(mounted(f"size={size}"))
    prepared = told_once_and_cured(mounted, cache, lambda: prepare(cache, model, tmp_path))
    assert prepared.frozen.stat().st_size > WIDTH**2 * 4


def test_a_disk_that_fills_up_while_exporting(mounted, tiny_folders, monkeypatch):
    # What else fills the disk does so after the room was looked at.
    monkeypatch.setattr(export, "LARGEST_COPIES", 0)
    cache = linked_cache(mounted("size=128k"))
    made = told_once_and_cured(mounted, cache, lambda: export.export_onnx(cache, tiny_folders / "bert"))
    assert export.read_export(made).class_name == "BertModel"


@pytest.mark.parametrize(
    ("runtime", "precision"),
    [
        ("onnxruntime", "fp32"),
        ("onnxruntime", "fp16"),
        ("mnn", "fp32"),
        ("ncnn", "fp32"),
        ("paddlelite", "fp32"),
    ],
)
def test_a_disk_that_fills_up_while_converting(mounted, layer, runtime, precision):
    cache = linked_cache(mounted("size=500k"))
    version = RUNTIMES[runtime].default_version
    form = Format(runtime=runtime, version=version, precision=precision)
    made = told_once_and_cured(mounted, cache, lambda: make_artifact(cache, layer, form))
    assert made.record.size_bytes > WIDTH**2 * 2


def test_a_disk_that_fills_up_while_the_reference_is_computed(cache, mounted, model, tmp_path):
    prepared = prepare(cache, model, tmp_path)
    feed = prepare_feed(cache, model, prepared, tmp_path)
    make_reference(cache, prepared, feed)
    small = linked_cache(mounted("size=1m"))
    for kind in ("bundles", "runner"):
        (small.root / kind).symlink_to(cache.root / kind)
    # Four blocks are left: the job fits, and not all that the runner writes.
    (small.root / "other").write_bytes(b"x" * (2**20 - 4 * 4096))
    reference = told_once_and_cured(mounted, small, lambda: make_reference(small, prepared, feed))
    assert reference.outputs[0].shape == (1, WIDTH)
