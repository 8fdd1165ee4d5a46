"""What an index does not have is asked once, and what cannot be reached is asked again."""

import msgspec
import pytest
from bundle_samples import (
    NCNN,
    ONNXRUNTIME,
    PADDLELITE,
    board,
    interpreter,
)

from harness.bundles import pip, wheel, wheel_bundle
from harness.cache import Cache
from harness.errors import PocketbenchError, UnsupportedError


def counted(monkeypatch):
    """Names of what was asked of the index, as it is."""
    asked = []
    for module in (wheel, pip):
        run = module.__dict__.get("install") or module.__dict__["run_installer"]

        def noting(*arguments, _run=run, **options):
            asked.append(arguments)
            return _run(*arguments, **options)

        monkeypatch.setattr(module, "install" if module is wheel else "run_installer", noting)
    return asked


def test_an_index_without_a_wheel_is_asked_once(tmp_path, monkeypatch):
    asked = counted(monkeypatch)
    arm = board(*(interpreter(version) for version in ("3.11", "3.9")))
    told = []
    for _ in range(2):
        with pytest.raises(UnsupportedError) as refused:
            wheel_bundle(Cache(tmp_path), PADDLELITE, PADDLELITE.default_version, arm)
        told.append(str(refused.value))
        assert type(refused.value) is UnsupportedError, "the platform's lack, not a model's"
    assert told[0] == told[1]
    assert len(asked) == 2, "once for each interpreter"
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    with pytest.raises(UnsupportedError):
        wheel_bundle(Cache(tmp_path), PADDLELITE, PADDLELITE.default_version, arm)
    assert len(asked) == 4, "another place may have it"
    with pytest.raises(UnsupportedError):
        wheel_bundle(Cache(tmp_path, ask_again=True), PADDLELITE, PADDLELITE.default_version, arm)
    assert len(asked) == 6, "as `pocketbench bundles build` does"


def test_an_index_for_32_bit_arm_without_a_wheel_is_asked_once(tmp_path, monkeypatch):
    asked = counted(monkeypatch)
    arm = board(interpreter("3.11", "arm-linux-gnueabihf"), arch="armv7l")
    for _ in range(2):
        with pytest.raises(UnsupportedError, match="onnxruntime=="):
            wheel_bundle(Cache(tmp_path), ONNXRUNTIME, ONNXRUNTIME.default_version, arm)
    assert len(asked) == 1


def test_what_the_host_itself_cannot_have_is_its_own_lack_also_when_remembered(tmp_path):
    missing = msgspec.structs.replace(ONNXRUNTIME, requirements=("paddlelite==2.13rc0",))
    for _ in range(2):
        with pytest.raises(UnsupportedError, match="we only found wheels for") as refused:
            wheel_bundle(Cache(tmp_path), missing, "2.13rc0")
        assert type(refused.value) is UnsupportedError
    assert list(tmp_path.glob("bundles/*.failure.json"))


def test_an_index_that_cannot_be_reached_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    with pytest.raises(PocketbenchError, match="cannot be reached"):
        wheel_bundle(Cache(tmp_path), NCNN, NCNN.default_version, board(interpreter("3.11")))
    assert not list(tmp_path.glob("bundles/*.failure.json"))


def test_without_a_network_the_bundle_of_a_later_interpreter_is_taken_if_it_is_there(
    tmp_path, monkeypatch, caplog
):
    cache, both = Cache(tmp_path / "cache"), board(interpreter("3.11"), interpreter("3.9"))
    there = wheel_bundle(cache, NCNN, NCNN.default_version, board(interpreter("3.9")))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    assert wheel_bundle(cache, NCNN, NCNN.default_version, both) == there
    assert "the bundle for Python 3.9 is taken instead" in caplog.text
    with pytest.raises(PocketbenchError, match="cannot be reached"):
        wheel_bundle(Cache(tmp_path / "other"), NCNN, NCNN.default_version, both)
