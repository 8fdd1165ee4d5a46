"""Logging in to real SSH servers: keys of every kind, agents, and what is told when none is taken."""

import gc
import os
import shutil
import socket
import subprocess
import time

import pytest
from peers.ssh_connections import connected, printed_command, refusal
from peers.sshd import Sshd, make_key

pytest_plugins = ["peers.shell_fixtures"]
pytestmark = [
    pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one"),
    pytest.mark.usefixtures("home"),
]

WORDS = ("correct", "horse")


@pytest.fixture
def agent(tmp_path, monkeypatch):
    address = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(address)], stdout=subprocess.DEVNULL)
    while not address.exists():
        assert process.poll() is None
        time.sleep(0.01)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(address))
    yield process
    process.terminate()
    process.wait(10)


def unlocking(tmp_path, key, passphrase):
    """ssh-add as a person would, typing the passphrase."""
    asks = tmp_path / "askpass"
    asks.write_text(f"#!/bin/sh\necho {passphrase}\n")
    asks.chmod(0o755)
    environment = {**os.environ, "SSH_ASKPASS": str(asks), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-q", str(key)], check=True, env=environment, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_key_of_every_kind_that_the_server_knows_logs_in(sshd, tmp_path, kind):
    key = make_key(tmp_path / "key", kind=kind)
    sshd.authorize(key)
    with connected(sshd.destination(identity_file=str(key))) as connection:
        assert connection.execute("echo here", timeout_s=20).stdout == b"here\n"
        assert connection.address == f"root@127.0.0.1:{sshd.port}"


def test_without_an_identity_file_the_usual_keys_in_the_home_are_tried(sshd, home):
    (home / ".ssh").mkdir()
    make_key(home / ".ssh/id_rsa", kind="rsa")
    shutil.copy(sshd.identity_file, home / ".ssh/id_ed25519")
    with connected(sshd.destination(identity_file=None)):
        pass


def test_a_wrong_key_is_an_error_with_the_command_that_adds_it(sshd, tmp_path):
    wrong = make_key(tmp_path / "the wrong key")
    told = refusal(sshd.destination(identity_file=str(wrong)))
    assert f"does not take any of our keys ({wrong} and the agent's; 1 tried)" in told
    command = printed_command(told, "add one with ", ", or correct")
    assert command[0] == "ssh-copy-id"
    assert command[-5:] == ["-i", str(wrong), "-p", str(sshd.port), "root@127.0.0.1"]


def test_no_key_at_all_is_an_error_with_the_command_that_makes_one(sshd):
    told = refusal(sshd.destination(identity_file=None))
    assert "there is no key" in told
    assert "ssh-keygen -t ed25519, then ssh-copy-id" in told


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_key_with_a_passphrase_is_told_with_ssh_add_and_works_through_an_agent(sshd, tmp_path, agent, kind):
    key = make_key(tmp_path / "a locked key", kind=kind, passphrase=" ".join(WORDS))
    sshd.authorize(key)
    told = refusal(sshd.destination(identity_file=str(key)))
    assert f"has a passphrase: load it into your agent with ssh-add '{key}'" in told
    unlocking(tmp_path, key, " ".join(WORDS))
    with connected(sshd.destination(identity_file=str(key))):
        pass


def test_an_agent_serves_the_named_key_also_when_the_config_keeps_its_other_keys_out(
    sshd, tmp_path, home, agent
):
    key = make_key(tmp_path / "locked", passphrase=WORDS[0])
    sshd.authorize(key)
    unlocking(tmp_path, key, WORDS[0])
    other = make_key(tmp_path / "other")
    (home / ".ssh").mkdir()
    (home / ".ssh/config").write_text("IdentitiesOnly yes\n")
    with connected(sshd.destination(identity_file=str(key))):
        pass
    assert "1 tried" in refusal(sshd.destination(identity_file=str(other)))


def test_an_agent_full_of_other_keys_does_not_keep_the_named_one_from_its_turn(sshd, tmp_path, agent):
    for number in range(8):
        key = make_key(tmp_path / f"key{number}")
        subprocess.run(["ssh-add", "-q", str(key)], check=True)
    with connected(sshd.destination()):
        pass
    told = refusal(sshd.destination(identity_file=None))
    assert "does not take any of our keys" in told


def test_an_agent_that_is_gone_is_no_agent(sshd, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left"))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "left"))
    with connected(sshd.destination()):
        pass
    gc.collect()


def test_a_key_file_that_is_no_key_is_told(sshd, tmp_path):
    (tmp_path / "key").write_text("not a key\n")
    assert "is no private key that can be read" in refusal(
        sshd.destination(identity_file=str(tmp_path / "key"))
    )


def test_a_server_that_takes_no_keys_is_told(tmp_path):
    with Sshd(tmp_path / "sshd", options=["PubkeyAuthentication no"]) as keyless:
        assert "takes no keys" in refusal(keyless.destination())
