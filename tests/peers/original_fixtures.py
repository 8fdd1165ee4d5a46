"""A zoo of the files in tests/data/originals, in a cache of its own, made ready and launched.

`pytest_plugins = ["peers.original_fixtures"]` in a test module makes the fixtures its own.
"""

import shutil

import numpy as np
import pytest

from devices.local import LocalDevice
from harness.arm import make_arm
from harness.cache import Cache
from harness.launch import launch, load_outputs
from harness.models.zoo import load_zoo
from harness.preparation import make_ready

from .originals import FILES, FIRST, ONCE


@pytest.fixture(scope="session")
def originals_cache(tmp_path_factory):
    """A cache of its own, with the environments and bundles that the user's has."""
    root = tmp_path_factory.mktemp("cache")
    for kind in ("environments", "bundles"):
        shared = Cache().root / kind
        shared.mkdir(parents=True, exist_ok=True)
        (root / kind).symlink_to(shared)
    return Cache(root)


@pytest.fixture
def originals_folder(tmp_path):
    """The files, to be broken."""
    return shutil.copytree(FILES, tmp_path / "files")


@pytest.fixture
def originals_zoo(originals_folder):
    """Reads a zoo with one model: its originals, the shape of its input, lines before and after."""

    def read(originals, shape=FIRST, more="", after=""):
        path = originals_folder / "zoo.toml"
        head = f'[models.net]\ninputs = [{{ name = "image", shape = {shape} }}]\nfeed = "stand_in"\n'
        path.write_text(f"{head}{more}[models.net.originals]\n{originals}\n{after}")
        return load_zoo(path)["net"]

    return read


@pytest.fixture
def original_ready(originals_cache, originals_folder, originals_zoo):
    """Makes a case of the model with these originals ready."""

    def make(case, originals, shape=FIRST, **rest):
        model = originals_zoo(originals, shape, **rest)
        return make_ready(originals_cache, model, originals_folder, case)

    return make


@pytest.fixture
def original_computed(originals_cache, tmp_path):
    """What a case that is ready computes when it is launched, by output, and what it is fed."""

    def launched(ready):
        with LocalDevice("host", str(tmp_path / "device"), exclusive=False) as host:
            arm = make_arm(host, ready, ONCE, originals_cache)
            done = launch(host, arm.staged, arm.job, outputs=tmp_path / "outputs")
        assert done.result is not None, done.reason
        arrays = [array for _, array in load_outputs(tmp_path / "outputs", done.result.outputs)]
        return arrays, [np.load(ready.feed.path / name) for name in ready.feed.files]

    return launched
