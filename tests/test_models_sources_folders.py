"""Folders as sources: from disk, out of wheels, filtered, and laid over each other."""

import pytest

from harness.cache import Cache
from harness.errors import PocketbenchError
from harness.models.sources import content_sha256, fetch

pytest_plugins = ["peers.hub_fixtures"]

CONFIG = {"config.json": b"{}", "modeling_net.py": b"code", "pytorch_model.bin": b"not these"}
WEIGHTS = {
    "pytorch_model.bin": b"weights",
    "config.json": b"{ }",
    ".git/config": b"",
    "__pycache__/a.pyc": b"",
}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def written(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def said_sha256(cache, source, base):
    """The sha256 that a source without one is refused with."""
    with pytest.raises(PocketbenchError, match="has no sha256") as error:
        fetch(cache, source, None, base=base)
    return str(error.value).rpartition("sha256 = ")[2].strip('"')


def test_a_local_folder_is_used_where_it_lies_and_held_to_its_digest(cache, tmp_path):
    folder = written(tmp_path / "net", WEIGHTS)
    sha256 = said_sha256(cache, "file:net", tmp_path)

    assert fetch(cache, "file:net", sha256, base=tmp_path) == folder
    assert not cache.built
    written(folder, {"pytorch_model.bin": b"other"})
    with pytest.raises(PocketbenchError, match="is not the folder it should be"):
        fetch(cache, "file:net", sha256, base=tmp_path)


def test_what_git_and_python_leave_in_a_folder_is_no_part_of_it(tmp_path):
    plain = {name: content for name, content in WEIGHTS.items() if "/" not in name}
    one, other = written(tmp_path / "one", WEIGHTS), written(tmp_path / "other", plain)
    assert content_sha256(one) == content_sha256(other)


def test_a_filtered_folder_holds_what_is_chosen_without_copying_it(cache, tmp_path):
    folder = written(tmp_path / "net", WEIGHTS)
    source = "file:net without=*.json"
    sha256 = said_sha256(cache, source, tmp_path)

    chosen = fetch(cache, source, sha256, base=tmp_path)

    assert contents(chosen) == {"pytorch_model.bin": b"weights"}
    assert (chosen / "pytorch_model.bin").samefile(folder / "pytorch_model.bin")


def test_filters_that_leave_nothing_or_stand_beside_a_file_are_told(cache, tmp_path):
    written(tmp_path / "net", WEIGHTS)
    with pytest.raises(PocketbenchError, match=r"no file of the folder is taken; it holds config\.json, pyt"):
        fetch(cache, "file:net only=*.onnx", None, base=tmp_path)
    with pytest.raises(PocketbenchError, match=r"choose files of a folder; .*/config\.json is a file"):
        fetch(cache, "file:net/config.json only=*.onnx", None, base=tmp_path)


def test_an_empty_folder_is_told(cache, tmp_path):
    (tmp_path / "net").mkdir()
    with pytest.raises(PocketbenchError, match="no file of the folder is taken; it is empty"):
        fetch(cache, "file:net", None, base=tmp_path)


def test_a_pointer_in_a_folder_is_named_before_any_digest(cache, tmp_path):
    written(tmp_path / "net", {**CONFIG, "pytorch_model.bin": POINTER})
    with pytest.raises(PocketbenchError, match=r"pytorch_model\.bin is a git-lfs pointer.*git lfs pull"):
        fetch(cache, "file:net", "0" * 64, base=tmp_path)


def test_weights_from_the_disk_are_laid_over_the_configuration_of_a_hub(hub, cache, tmp_path):
    commit = hub.add("org/net", CONFIG)
    local = written(tmp_path / "weights", WEIGHTS)
    source = f"overlay:hf:org/net@{commit} without=*.bin + file:weights only=*.bin"
    sha256 = said_sha256(cache, source, tmp_path)

    folder = fetch(cache, source, sha256, base=tmp_path)

    assert contents(folder) == {**CONFIG, "pytorch_model.bin": b"weights"}
    assert hub.bytes_sent("pytorch_model.bin") == 0
    assert (folder / "pytorch_model.bin").samefile(local / "pytorch_model.bin")
    assert contents(local) == WEIGHTS
    asked = len(hub.asked)
    assert fetch(cache, source, sha256, base=tmp_path) == folder
    assert len(hub.asked) == asked


def test_of_files_with_one_name_the_later_place_wins(cache, tmp_path):
    written(tmp_path / "a", CONFIG)
    written(tmp_path / "b", WEIGHTS)
    written(tmp_path, {"config.json": b"third"})
    source = "overlay:file:a + file:b + file:config.json"

    folder = fetch(cache, source, said_sha256(cache, source, tmp_path), base=tmp_path)

    assert contents(folder) == {
        "config.json": b"third",
        "modeling_net.py": b"code",
        "pytorch_model.bin": b"weights",
    }
    assert contents(tmp_path / "a") == CONFIG


def test_an_overlay_of_commits_needs_no_sha256_and_one_of_branches_is_told_them(hub, cache, tmp_path):
    first, second = hub.add("org/net", CONFIG), hub.add("org/weights", {"pytorch_model.bin": b"tuned"})
    pinned = f"overlay:hf:org/net@{first} + hf:org/weights@{second}"

    assert contents(fetch(cache, pinned, None, base=tmp_path))["pytorch_model.bin"] == b"tuned"
    with pytest.raises(PocketbenchError) as error:
        fetch(cache, f"overlay:hf:org/net@{first} + hf:org/weights@main", None, base=tmp_path)
    assert f'source = "{pinned}"' in str(error.value)


def test_a_file_over_a_folder_is_told_and_nothing_is_left(cache, tmp_path):
    written(tmp_path / "a", {"net/config.json": b""})
    written(tmp_path / "b", {"net": b""})
    with pytest.raises(PocketbenchError, match="net is a file in one and a folder in another"):
        fetch(cache, "overlay:file:a + file:b", "0" * 64, base=tmp_path)
    assert not [path for path in (cache.root / "sources").iterdir() if path.is_dir()]


def test_a_changed_part_of_an_overlay_is_noticed(cache, tmp_path):
    written(tmp_path / "a", CONFIG)
    written(tmp_path / "b", WEIGHTS)
    source = "overlay:file:a + file:b"
    sha256 = said_sha256(cache, source, tmp_path)
    fetch(cache, source, sha256, base=tmp_path)

    written(tmp_path / "b", {"pytorch_model.bin": b"retrained"})

    with pytest.raises(PocketbenchError, match="is not the folder it should be"):
        fetch(cache, source, sha256, base=tmp_path)


def test_a_folder_of_a_wheel(cache, tmp_path):
    source = "pypi:iniconfig==2.1.0:iniconfig/ without=*.py"
    sha256 = said_sha256(cache, source, tmp_path)

    folder = fetch(cache, source, sha256, base=tmp_path)

    assert folder.name == "iniconfig"
    assert contents(folder) == {"py.typed": b""}
    with pytest.raises(PocketbenchError, match=r"holds no inconfig/\. Nearest of its folders: iniconfig/"):
        fetch(cache, "pypi:iniconfig==2.1.0:inconfig/", sha256, base=tmp_path)
