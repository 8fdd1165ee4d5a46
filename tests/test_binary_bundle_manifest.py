"""What a binary bundle says of itself is checked, and told with file and key when it is wrong."""

import shutil
import subprocess
import sys

import pytest
from peers.binary_bundles import rewrite, sha256

from harness.bundles import binary_bundle
from harness.errors import PocketbenchError

pytest_plugins = ["peers.c_runner_fixtures"]


def test_the_same_files_in_another_place_are_the_same_bundle(bundle_folder, tmp_path):
    shutil.copytree(bundle_folder, tmp_path / "copy")
    one, other = binary_bundle(bundle_folder), binary_bundle(tmp_path / "copy")
    assert (one.digest, one.info) == (other.digest, other.info)


def test_a_helper_that_is_made_executable_makes_another_bundle(bundle_folder):
    (bundle_folder / "helper").write_text("#!/bin/sh\n")
    rewrite(bundle_folder, files={name: sha256(bundle_folder / name) for name in ("runner", "helper")})
    before = binary_bundle(bundle_folder)
    (bundle_folder / "helper").chmod(0o755)
    after = binary_bundle(bundle_folder)
    assert before.digest != after.digest, "else a device keeps the one that cannot be executed"
    assert before.info.key != after.info.key


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"files": {"runner": "0" * 64}}, "files: runner has sha256 .*, not 000.*changed or damaged"),
        ({"files": {}}, "files is empty: name every file"),
        ({"files": {"runner": "0" * 64, "lib/a.so": "0" * 64}}, "files: (runner has|lib/a.so is not there)"),
        ({"files": {"../runner": "0" * 64}}, "'../runner' is no plain path"),
        ({"files": {"/etc/passwd": "0" * 64}}, "'/etc/passwd' is no plain path"),
        ({"files": ["runner"]}, "files: Expected object, got array"),
        ({"entry": ...}, "entry missing .docs/runtimes.md has an example"),
        ({"entry": [], "files": None}, "files: Expected object, got null"),
        ({"entry": []}, "entry is empty"),
        ({"entry": ["{bundle}/runer"]}, "entry: 'runer' is not in files. Did you mean runner"),
        ({"entry": ["sh", "-c", "x"]}, "has to begin with {bundle}/"),
        ({"entry": ["{bundle}/runner", "{python}"]}, "entry: unknown placeholder {python}"),
        ({"env": {"A": "{bundel}"}}, "env: unknown placeholder {bundel}"),
        ({"env": {"A": 1}}, "env.*: Expected str, got int"),
        ({"enviroment": {}}, "unknown key 'enviroment'.*Valid keys: .*env"),
        ({"platfrom": "x"}, "unknown key 'platfrom'. Did you mean 'platform'"),
        ({"platform": "aarch64"}, "unknown platform 'aarch64'.*Did you mean linux-aarch64"),
        ({"platform": "windows-x86_64"}, "unknown platform 'windows-x86_64'"),
        ({"platform": "linux-aarch64"}, "runner is built for x86_64, platform says linux-aarch64"),
        ({"runtime": "ncn"}, "unknown runtime 'ncn' in .*Did you mean ncnn"),
        ({"version": ""}, "version is empty"),
        ({"schema": 2}, "schema is 2, this pocketbench reads 1"),
        ({"schema": ..., "version": ...}, "schema, version missing"),
        ({"kind": "wheel"}, "kind: Invalid enum value 'wheel'"),
    ],
)
def test_a_wrong_manifest_is_told_with_file_and_key(bundle_folder, changes, told):
    rewrite(bundle_folder, **changes)
    with pytest.raises(PocketbenchError, match=told) as raised:
        binary_bundle(bundle_folder)
    assert str(bundle_folder / "bundle.json") in str(raised.value)


def test_a_file_that_is_not_named_is_told(bundle_folder):
    (bundle_folder / "lib").mkdir()
    (bundle_folder / "lib" / "libextra.so").touch()
    with pytest.raises(PocketbenchError, match=r"lib/libextra\.so in the directory and not in files"):
        binary_bundle(bundle_folder)


def test_a_link_is_told(bundle_folder, tmp_path):
    shutil.move(bundle_folder / "runner", tmp_path / "elsewhere")
    (bundle_folder / "runner").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PocketbenchError, match="runner is a link"):
        binary_bundle(bundle_folder)


def test_a_program_that_cannot_be_executed_is_told_with_what_to_do(bundle_folder):
    (bundle_folder / "runner").chmod(0o644)
    with pytest.raises(PocketbenchError, match=r"runner is not executable: chmod \+x it"):
        binary_bundle(bundle_folder)


@pytest.mark.parametrize("written", ["", "{", "[]", "null", "\ud800"])
def test_a_manifest_that_is_no_json_object_is_told(bundle_folder, written):
    (bundle_folder / "bundle.json").write_bytes(written.encode(errors="surrogatepass"))
    with pytest.raises(PocketbenchError, match=r"bundle\.json (is no JSON|must hold one JSON object)"):
        binary_bundle(bundle_folder)


@pytest.mark.parametrize("spoiled", [False, True])
def test_the_command_line_checks_a_bundle(bundle_folder, spoiled):
    if spoiled:
        (bundle_folder / "runner").write_bytes(b"")
    command = [
        sys.executable,
        "-c",
        "from harness.cli import main; main()",
        "bundles",
        "check",
        bundle_folder,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if spoiled:
        assert (done.returncode, done.stdout) == (2, "")
        assert "files: runner has sha256" in done.stderr
    else:
        assert done.stdout == f"{bundle_folder}  ncnn@1.0.20261020 for linux-x86_64  ok\n", done.stderr


def test_a_directory_without_a_manifest_is_no_bundle(tmp_path):
    with pytest.raises(PocketbenchError, match=r"is no binary bundle: it has no bundle\.json"):
        binary_bundle(tmp_path)
