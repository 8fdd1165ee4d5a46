"""Big files to and from a device behind a real sshd: checked while they go, never sent twice."""

import hashlib
import os
from pathlib import Path

import pytest
from peers.shells import MIB, Connected, left_behind, make_tree, names_in, noise, store_in
from peers.sshd import Sshd

from devices.base import DeviceError, TransientDeviceError
from devices.remote import files, large_push

pytest_plugins = ["peers.shell_fixtures"]
pytestmark = pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing())


def test_a_10_mb_binary_comes_back_and_is_left_alone_when_it_changes_on_the_way(shell, workdir):
    content = noise(10 * MIB)
    make_tree(workdir, {"big": content})
    files.pull(shell, f"{workdir}/big", workdir / "back")
    assert (workdir / "back").read_bytes() == content

    def write(done, total):
        if done:
            with (workdir / "big").open("r+b") as stream:
                stream.seek(-8, os.SEEK_END)
                stream.write(b"changed!")

    (workdir / "back").write_bytes(b"before")
    with pytest.raises(TransientDeviceError, match="is something writing to it"):
        files.pull(shell, f"{workdir}/big", workdir / "back", progress=write)
    assert (workdir / "back").read_bytes() == b"before"
    assert not left_behind(workdir)


@pytest.mark.parametrize("transfer", ["push", "stage"])
def test_a_big_file_goes_on_where_the_connection_was_cut(shaky, proxy, workdir, transfer):
    size = 20 * MIB
    source = make_tree(workdir, {"big": noise(size)}) / "big"
    store = store_in(shaky, workdir)
    target = workdir / "there" / "big"

    def send():
        if transfer == "push":
            files.push(shaky, source, str(target))
            return target
        return store.stage(source, "b16")

    proxy.cut_after(12 * MIB)
    with pytest.raises(TransientDeviceError, match="lost"):
        send()
    assert not target.exists()
    shaky.again()
    store.forget()
    before = proxy.bytes_to_server
    arrived = send()
    assert Path(arrived).read_bytes() == noise(size)
    assert proxy.bytes_to_server - before < size - 9 * MIB
    assert not left_behind(Path(arrived).parent)
    assert transfer == "push" or not names_in(workdir / "store" / "part")


@pytest.mark.parametrize("wrong", [b"x" * MIB, b"x" * 9 * MIB, b"x" * 10 * MIB])
def test_a_wrong_partial_is_thrown_away_and_the_file_sent_anew(shell, workdir, wrong):
    content = noise(9 * MIB)
    source = make_tree(workdir, {"big": content}) / "big"
    name = hashlib.sha256(content).hexdigest()
    partial = large_push.partial_name(source, "big")
    make_tree(workdir, {f"there/{partial}": wrong, f"store/part/{name}": wrong})
    files.push(shell, source, f"{workdir}/there/big")
    path = store_in(shell, workdir).stage(source, "b16")
    assert (workdir / "there" / "big").read_bytes() == content == Path(path).read_bytes()
    assert not left_behind(workdir / "there")


def test_a_big_file_goes_and_comes_back_whatever_its_name(shell, workdir):
    content = noise(9 * MIB)
    name = "back\\name\\\\and\ttab"
    source = make_tree(workdir, {name: content}) / name
    files.push(shell, source, f"{workdir}/there/{name}")
    files.pull(shell, f"{workdir}/there/{name}", workdir / "back")
    assert (workdir / "there" / name).read_bytes() == (workdir / "back").read_bytes() == content


def test_a_server_with_few_sessions_sends_and_takes_big_files(tmp_path, workdir):
    content = noise(20 * MIB)
    source = make_tree(workdir, {"big": content}) / "big"
    with Sshd(tmp_path / "sshd", options=["MaxSessions 1"]) as server, Connected(server) as shell:
        files.push(shell, source, f"{workdir}/there/big")
        files.pull(shell, f"{workdir}/there/big", workdir / "back")
    assert (workdir / "back").read_bytes() == content


def test_what_was_begun_of_an_older_content_is_removed(shell, workdir):
    source = make_tree(workdir, {"big": noise(9 * MIB), "there/other": b"stays"}) / "big"
    older = large_push.partial_name(source, "big")
    make_tree(workdir, {f"there/{older}": b"begun"})
    source.write_bytes(noise(10 * MIB, 1))
    files.push(shell, source, f"{workdir}/there/big")
    assert names_in(workdir / "there") == ["big", "other"]


def test_a_file_that_is_rewritten_while_it_is_sent_is_not_taken(shell, workdir):
    source = make_tree(workdir, {"big": noise(20 * MIB)}) / "big"

    def rewrite(done, total):
        if done:
            with source.open("r+b") as stream:
                stream.write(b"changed!")

    with pytest.raises(DeviceError, match="changed while it was sent, on this machine"):
        files.push(shell, source, f"{workdir}/there/big", progress=rewrite)
    assert not (workdir / "there" / "big").exists()
