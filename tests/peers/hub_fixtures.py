"""The loopback hub as fixtures: `pytest_plugins = ["peers.hub_fixtures"]` in a test module."""

import pytest

from .hub import Hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub without repositories, the one that is asked; its cache is empty and nobody is logged in."""
    for name in (
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_TOKEN_PATH",
        "TRANSFORMERS_OFFLINE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Hub(tmp_path / "repositories") as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running
