"""Files and trees to and from a device behind a real sshd, with a network and disks that fail."""

import os
from pathlib import Path

import pytest
from peers.shells import (
    MIB,
    ODD_NAMES,
    Connected,
    digest,
    left_behind,
    make_tree,
    mounted,
    names_in,
    noise,
    seen,
    store_in,
)
from peers.sshd import Sshd

from devices.base import DeviceError, TransientDeviceError
from devices.remote import files

pytest_plugins = ["peers.shell_fixtures"]
pytestmark = pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing())


@pytest.mark.parametrize("transfer", ["push", "stage"])
def test_a_tree_arrives_as_it_is_whatever_its_names(shell, workdir, odd_tree, transfer):
    if transfer == "push":
        target = f"{workdir}/{ODD_NAMES[2]}/-tree"
        files.push(shell, odd_tree, target)
    else:
        target = store_in(shell, workdir).stage(odd_tree, digest(odd_tree))
    assert seen(target) == seen(odd_tree)
    assert not left_behind(Path(target).parent)


def test_a_tree_comes_back_as_it_is(shell, workdir, odd_tree):
    files.push(shell, odd_tree, f"{workdir}/tree")
    told = []
    files.pull(shell, f"{workdir}/tree", workdir / "back", progress=lambda *numbers: told.append(numbers))
    assert seen(workdir / "back") == seen(odd_tree)
    assert told[-1][0] == told[-1][1]
    assert not left_behind(workdir)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_file_goes_and_comes_back_whatever_its_name(shell, workdir, name):
    source = workdir / "source"
    source.write_bytes(noise(1000))
    source.chmod(0o755)
    files.push(shell, source, f"{workdir}/there/{name}")
    files.pull(shell, f"{workdir}/there/{name}", workdir / "back" / name)
    assert seen(workdir / "there") == seen(workdir / "back") == {name: ("file", noise(1000), True)}


@pytest.mark.parametrize("kind", ["file", "tree"])
def test_what_is_small_is_one_round_trip_each_way(shell, workdir, kind):
    source = make_tree(workdir / "tree", {"job.json": b"{}"})
    source = source if kind == "tree" else source / "job.json"
    files.push(shell, source, f"{workdir}/there/it")
    assert shell.calls == 1
    files.pull(shell, f"{workdir}/there/it", workdir / "back")
    assert shell.calls == 2


def test_a_relative_path_counts_from_where_the_shell_starts(shell, workdir):
    home = Path(shell.checked("pwd", attempted="look").decode().strip())
    name = f".pocketbench-test-{os.getpid()}"
    make_tree(workdir, {"source": b"here"})
    try:
        files.push(shell, workdir / "source", name)
        assert (home / name).read_bytes() == b"here"
        files.pull(shell, f"~/{name}", workdir / "back")
    finally:
        (home / name).unlink()
    assert (workdir / "back").read_bytes() == b"here"


def test_a_file_replaces_a_file_and_a_tree_a_tree_but_neither_the_other(shell, workdir):
    make_tree(workdir, {"old/a": b"a", "new/b": b"b", "file": b"f"})
    target = f"{workdir}/target"
    files.push(shell, workdir / "old", target)
    files.push(shell, workdir / "new", target)
    assert seen(target) == seen(workdir / "new")
    with pytest.raises(DeviceError, match="it is a folder, and a file was to take its place"):
        files.push(shell, workdir / "file", target)
    with pytest.raises(DeviceError, match="it is a file, and a tree was to take its place"):
        files.push(shell, workdir / "new", f"{workdir}/file")
    with pytest.raises(DeviceError, match="it is a file, and a tree was to take its place"):
        files.pull(shell, target, workdir / "file")
    assert seen(target) == seen(workdir / "new")
    assert (workdir / "file").read_bytes() == b"f"
    assert not left_behind(workdir)


def test_a_file_that_is_not_there_is_told(shell, workdir):
    with pytest.raises(
        DeviceError, match=r"board: cannot pull .*: there is no .*/result\.json on the device"
    ):
        files.pull(shell, f"{workdir}/result.json", workdir / "back")
    with pytest.raises(DeviceError, match=r"cannot push .*No such file or directory, on this machine"):
        files.push(shell, workdir / "nothing", f"{workdir}/target")
    os.mkfifo(workdir / "pipe")
    with pytest.raises(DeviceError, match="neither a file nor a folder"):
        files.pull(shell, f"{workdir}/pipe", workdir / "back")
    with pytest.raises(DeviceError, match="is no regular file"):
        files.push(shell, workdir / "pipe", f"{workdir}/target")
    assert names_in(workdir) == ["pipe"]


@pytest.mark.parametrize("listed", ["", "-rw-r--r-- 1 0 0 many", "-rw-r--r-- 1 0 0 3x" + "x" * 100_000])
def test_an_answer_to_a_pull_that_cannot_be_read_is_worth_another_try(tmp_path, workdir, listed):
    script = f"#!/bin/sh\necho '{listed}'\n"
    commands = make_tree(tmp_path / "commands", {"ls": script.encode()})
    (commands / "ls").chmod(0o755)
    make_tree(workdir, {"small": b"abc", "back": b"before"})
    environment = {"PATH": f"{commands}:/usr/bin:/bin", "HOME": str(tmp_path)}
    with (
        Sshd(tmp_path / "sshd", environment=environment) as server,
        Connected(server) as shell,
        pytest.raises(TransientDeviceError, match=r"board: cannot pull .*: its answer cannot be read"),
    ):
        files.pull(shell, f"{workdir}/small", workdir / "back")
    assert (workdir / "back").read_bytes() == b"before"
    assert not left_behind(workdir)


@pytest.mark.parametrize("remote", ["", "/", "~", ".", "some/.."])
def test_a_path_that_names_nothing_to_replace_is_refused(shell, workdir, remote):
    with pytest.raises(DeviceError, match="that is no name for a file or tree"):
        files.push(shell, workdir, remote)


def test_a_pull_through_links_that_lead_out_of_the_tree_is_refused(shell, workdir):
    make_tree(workdir, {"tree/a": b"a"})
    (workdir / "tree" / "out").symlink_to("../..")
    with pytest.raises(DeviceError, match=r"the link 'out' leads to '\.\./\.\.', outside of the tree"):
        files.pull(shell, f"{workdir}/tree", workdir / "back")
    assert names_in(workdir) == ["tree"]


def test_start_up_files_that_print_do_no_harm(tmp_path, workdir):
    loud = tmp_path / "loud.sh"
    loud.write_text("echo 'Welcome!'; printf '\\0\\1noise without end of line'; echo mail >&2\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".bashrc").write_text(loud.read_text())
    environment = {"BASH_ENV": str(loud), "HOME": str(tmp_path / "home")}
    tree = make_tree(workdir / "tree", {"a": noise(5000), "b": noise(9 * MIB)})
    with Sshd(tmp_path / "sshd", environment=environment) as server, Connected(server) as shell:
        assert b"mail" in shell.transport.execute("true", timeout_s=10).stderr
        files.push(shell, tree, f"{workdir}/pushed")
        files.push(shell, tree / "b", f"{workdir}/alone")
        files.pull(shell, f"{workdir}/pushed", workdir / "pulled")
        files.pull(shell, f"{workdir}/alone", workdir / "back")
        staged = store_in(shell, workdir).stage(tree, digest(tree))
    assert seen(workdir / "pulled") == seen(staged) == seen(tree)
    assert (workdir / "back").read_bytes() == noise(9 * MIB)


@pytest.mark.parametrize("sizes", [[9 * MIB], [4 * MIB, 4 * MIB], [MIB] * 9])
def test_a_disk_that_fills_up_under_a_push_is_told_and_nothing_is_left(shell, workdir, small_disk, sizes):
    contents = {f"{number}": noise(size, number) for number, size in enumerate(sizes)}
    tree = make_tree(workdir / "tree", contents)
    source = tree / "0" if len(sizes) == 1 else tree
    with pytest.raises(DeviceError, match=r"no space left \([89]\.0 MiB needed, [56]\.\d MiB free in /"):
        files.push(shell, source, f"{small_disk}/it")
    assert not names_in(small_disk)


def test_a_directory_that_cannot_be_written_is_told(shell, tmp_path, workdir):
    source = make_tree(workdir, {"tree/a": b"a"}) / "tree"
    for path in mounted(tmp_path / "read only", "ro,size=1m"):
        with pytest.raises(DeviceError, match=r"cannot push .*Read-only file system"):
            files.push(shell, source, f"{path}/there/it")
        with pytest.raises(DeviceError, match=r"cannot push .*Read-only file system"):
            files.push(shell, source / "a", f"{path}/it")
        with pytest.raises(DeviceError, match=r"Read-only file system.*`workdir` in the device's file"):
            store_in(shell, path).stage(source, digest(source))


def test_a_device_with_nothing_to_make_a_hash_with_is_told(tmp_path, workdir):
    commands = tmp_path / "commands"
    commands.mkdir()
    for name in ("sh", "bash", "mkdir", "ls", "cat", "rm", "mv", "tar", "df", "find", "sed", "touch"):
        (commands / name).symlink_to(f"/bin/{name}")
    source = make_tree(workdir, {"small": b"a", "big": noise(8 * MIB)})
    environment = {"PATH": str(commands), "HOME": str(tmp_path)}
    with Sshd(tmp_path / "sshd", environment=environment) as server, Connected(server) as shell:
        for name in ("small", "big"):
            with pytest.raises(DeviceError, match="install one of sha256sum"):
                files.push(shell, source / name, f"{workdir}/there")
        with pytest.raises(DeviceError, match="install one of sha256sum"):
            files.pull(shell, f"{workdir}/big", workdir / "back")
    assert names_in(workdir) == ["big", "small"]
