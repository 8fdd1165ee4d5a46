"""Tiny folders of weights as fixtures: `pytest_plugins = ["peers.tiny_model_fixtures"]` in a test module."""

import shutil

import pytest

from harness.cache import Cache
from harness.models.export import export_onnx
from harness.models.export.environment import export_environment

from .tiny_models import MAKE, linked_cache, run_in


@pytest.fixture(scope="session")
def export_tools():
    """The environment that folders are exported in."""
    return export_environment(Cache())


@pytest.fixture(scope="session")
def tiny_folders(export_tools, tmp_path_factory):
    """Directory of the folders bert, llama, glm, and multi_head, a llama with as many keys as heads."""
    root = tmp_path_factory.mktemp("folders")
    run_in(export_tools, MAKE, root)
    return root


@pytest.fixture(scope="session")
def export_cache(tmp_path_factory):
    """A cache of their own for what is exported."""
    return linked_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def exported(export_cache, tiny_folders):
    """The ONNX file of the folder bert."""
    return export_onnx(export_cache, tiny_folders / "bert")


@pytest.fixture
def bert(tiny_folders, tmp_path):
    """A copy to break."""
    return shutil.copytree(tiny_folders / "bert", tmp_path / "bert")
