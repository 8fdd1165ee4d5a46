"""Finding a Python that really runs: broken ones and shims are passed over, none at all is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UnsupportedError
from harness.interpreters import find_python

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
WANTED = "3.10"


@pytest.fixture(autouse=True)
def found_anew():
    find_python.cache_clear()
    yield
    find_python.cache_clear()


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A user with nothing: PATH is one empty directory, and so is every place where Pythons lie."""
    for variable in ("PATH", "HOME", "PYENV_ROOT", "UV_PYTHON_INSTALL_DIR"):
        folder = tmp_path / variable.lower()
        folder.mkdir()
        monkeypatch.setenv(variable, str(folder))
    return tmp_path


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def works(path, version=WANTED):
    """A program that answers as a Python of `version` does."""
    return script(path, f"#!/bin/sh\necho {version}\n")


def test_no_python_anywhere_is_told_with_the_places_and_a_remedy(bare):
    with pytest.raises(UnsupportedError) as told:
        find_python(WANTED)
    assert f"no Python {WANTED} on this machine" in str(told.value)
    assert "PATH, ~/.pyenv/versions and uv's own: nothing found" in str(told.value)
    assert f"uv python install {WANTED}" in str(told.value)


def test_what_was_not_found_is_looked_for_again(bare):
    with pytest.raises(UnsupportedError):
        find_python(WANTED)
    late = works(bare / "path" / f"python{WANTED}")
    assert find_python(WANTED) == late


def test_the_interpreter_that_runs_this_needs_no_path(bare):
    found = find_python(OWN)
    code = "import sys; print(sys.prefix)"
    done = subprocess.run([found, "-c", code], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == Path(sys.base_prefix), "not the virtual environment's own"


@pytest.mark.parametrize(
    "text",
    [
        '#!/bin/sh\necho "pyenv: python3.10: command not found" >&2\nexit 127\n',
        "#!/no/such/interpreter\n",
        "#!/bin/sh\necho 3.9\n",
        "#!/bin/sh\nkill -SEGV $$\n",
        "\x7fELF\x00 half a download",
        "",
    ],
    ids=["pyenv shim", "no interpreter", "other version", "crashes", "half a file", "empty"],
)
def test_a_python_that_does_not_run_is_passed_over_and_named(bare, text):
    broken = script(bare / "path" / f"python{WANTED}", text)
    with pytest.raises(UnsupportedError) as told:
        find_python(WANTED)
    assert str(broken) in str(told.value)
    good = works(bare / "pyenv_root" / "versions" / f"{WANTED}.13" / "bin" / f"python{WANTED}")
    assert find_python(WANTED) == good


def test_pyenvs_shims_are_not_even_started(bare, monkeypatch):
    started = bare / "started"
    shim = script(bare / "pyenv_root" / "shims" / f"python{WANTED}", f"#!/bin/sh\n: > {started}\necho 3.10\n")
    monkeypatch.setenv("PATH", str(shim.parent))
    with pytest.raises(UnsupportedError):
        find_python(WANTED)
    assert not started.exists()


def test_a_later_directory_of_the_path_is_tried_when_an_earlier_one_is_broken(bare, monkeypatch):
    script(bare / "path" / f"python{WANTED}", "#!/bin/sh\nexit 1\n")
    good = works(bare / "second" / f"python{WANTED}")
    monkeypatch.setenv(
        "PATH", f"{bare / 'path'}{os.pathsep}{os.pathsep}/no/such/dir{os.pathsep}{good.parent}"
    )
    assert find_python(WANTED) == good


def test_a_name_that_only_begins_like_the_version_is_not_taken(bare):
    works(bare / "pyenv_root" / "versions" / "3.11.7" / "bin" / "python3.1", "3.11")
    works(bare / "pyenv_root" / "versions" / "3.10.13" / "bin" / "python3.10")
    with pytest.raises(UnsupportedError):
        find_python("3.1")


def test_a_find_is_remembered(bare):
    good = works(bare / "path" / f"python{WANTED}")
    assert find_python(WANTED) == good
    good.unlink()
    assert find_python(WANTED) == good
