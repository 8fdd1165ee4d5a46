"""Files to and from the test phone, by Google's adb, adb-shell and adbutils."""

import os

import adbutils
import pytest
from adb_shell.exceptions import AdbCommandFailureException, PushFailedError
from peers.adb_clients import MIB, TMP, adb_shell_on, adbutils_on, digest, needs_a_phone, noise_file, said_by

pytest_plugins = ["peers.adb_peer_fixtures"]

pytestmark = needs_a_phone


def test_adb_pushes_and_pulls_50_mb(adb, tmp_path):
    big = noise_file(tmp_path / "big", 50 * MIB)
    assert adb("push", str(big), f"{TMP}/big").returncode == 0
    assert adb("shell", f"sha256sum <{TMP}/big").stdout.split()[0].decode() == digest(big)
    assert adb("pull", f"{TMP}/big", str(tmp_path / "back")).returncode == 0
    assert digest(tmp_path / "back") == digest(big)
    assert adb("shell", f"rm {TMP}/big").returncode == 0


def test_adb_shell_pushes_and_pulls_50_mb(shared_phone, tmp_path):
    big = noise_file(tmp_path / "big", 50 * MIB)
    with adb_shell_on(shared_phone) as client:
        client.push(str(big), f"{TMP}/big")
        assert digest(shared_phone.phone.path(f"{TMP}/big")) == digest(big)
        client.pull(f"{TMP}/big", str(tmp_path / "back"))
        client.shell(f"rm {TMP}/big")
    assert digest(tmp_path / "back") == digest(big)


def test_adbutils_pushes_and_pulls_50_mb(peer_server, shared_phone, tmp_path):
    big = noise_file(tmp_path / "big", 50 * MIB)
    phone = adbutils_on(peer_server, shared_phone)
    phone.sync.push(big, f"{TMP}/big")
    assert digest(shared_phone.phone.path(f"{TMP}/big")) == digest(big)
    phone.sync.pull(f"{TMP}/big", tmp_path / "back")
    assert digest(tmp_path / "back") == digest(big)
    phone.shell(f"rm {TMP}/big")


def test_adb_pushes_and_pulls_directories(adb, tmp_path):
    names = ["plain", "a b", 'it\'s "quoted"', "ünï ☃", "$HOME", "sub/deep/file", "empty"]
    for name in names:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise_file(path, 0 if name == "empty" else 100_000)
    assert adb("push", str(tmp_path / "tree"), f"{TMP}/tree here").returncode == 0
    assert adb("pull", f"{TMP}/tree here", str(tmp_path / "back")).returncode == 0
    for name in names:
        assert digest(tmp_path / "back" / name) == digest(tmp_path / "tree" / name)
    assert adb("shell", f"rm -r '{TMP}/tree here'").returncode == 0


def test_adb_keeps_times_and_gives_everybody_the_owners_rights(adb, shared_phone, tmp_path):
    for mode, wanted in ((0o640, 0o666), (0o700, 0o777), (0o444, 0o444)):
        path = noise_file(tmp_path / f"{mode:o}", 10)
        path.chmod(mode)
        os.utime(path, (1_000_000_000, 1_500_000_000))
        adb("push", str(path), f"{TMP}/{mode:o}")
        found = shared_phone.phone.path(f"{TMP}/{mode:o}").stat()
        assert (found.st_mode & 0o777, found.st_mtime, found.st_uid) == (wanted, 1_500_000_000, 2000)


def test_adb_says_why_a_file_cannot_be_moved(adb, tmp_path):
    small = noise_file(tmp_path / "small", 10)
    missing = adb("pull", f"{TMP}/missing", str(tmp_path / "missing"))
    assert b"No such file or directory" in said_by(missing)
    assert not (tmp_path / "missing").exists()
    for target, reason in (
        ("/system/small", b"remote couldn't create file: Read-only file system"),
        ("/data/small", b"remote couldn't create file: Permission denied"),
        ("/data/new/small", b"remote secure_mkdirs failed: Permission denied"),
    ):
        refused = adb("push", str(small), target)
        assert refused.returncode == 1
        assert reason in said_by(refused)
    assert adb("push", str(small), f"{TMP}/made/on/the/way").returncode == 0


def test_adb_shell_and_adbutils_meet_the_same_errors_by_the_first_protocol(
    peer_server, shared_phone, tmp_path
):
    small = noise_file(tmp_path / "small", 10)
    with adb_shell_on(shared_phone) as client:
        with pytest.raises(AdbCommandFailureException, match="open failed: No such file or directory"):
            client.pull(f"{TMP}/missing", str(tmp_path / "missing"))
        with pytest.raises(PushFailedError, match="Read-only file system"):
            client.push(str(small), "/system/small")
        assert client.stat(f"{TMP}/missing") == (0, 0, 0)
    phone = adbutils_on(peer_server, shared_phone)
    with pytest.raises(adbutils.AdbError, match="open failed: No such file"):
        phone.sync.read_bytes(f"{TMP}/missing")
    assert phone.sync.stat("/data/local").mode == 0o40751


def test_adb_shell_and_adbutils_list_directories(peer_server, shared_phone):
    folder = shared_phone.phone.path(f"{TMP}/listed")
    folder.mkdir(exist_ok=True)
    (folder / "a").write_text("12345")
    with adb_shell_on(shared_phone) as client:
        found = {entry.filename.decode(): entry.size for entry in client.list(f"{TMP}/listed")}
    assert found.keys() == {".", "..", "a"}
    assert found["a"] == 5
    names = [entry.path for entry in adbutils_on(peer_server, shared_phone).sync.list(f"{TMP}/listed")]
    assert sorted(names) == [".", "..", "a"]
