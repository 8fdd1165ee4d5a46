"""The keys of real SSH servers: known, unknown, changed, revoked, and written down once."""

import shutil
import subprocess

import pytest
from peers.ssh_connections import connected, printed_command, refusal
from peers.sshd import Sshd, make_key

pytest_plugins = ["peers.shell_fixtures"]
pytestmark = [
    pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one"),
    pytest.mark.usefixtures("home"),
]


def host_fingerprint(key):
    return subprocess.run(
        ["ssh-keygen", "-lf", str(key)], check=True, capture_output=True, text=True
    ).stdout.split()[1]


def test_an_unknown_host_is_an_error_and_the_printed_command_accepts_it(sshd, tmp_path):
    known = tmp_path / "it's a folder" / "known hosts"
    known.parent.mkdir()
    destination = sshd.destination(known_hosts_file=str(known))
    told = refusal(destination)
    assert f"ssh-ed25519 key is {host_fingerprint(sshd.host_key)}" in told
    assert not known.exists()
    command = printed_command(told, "accept it with: ", " (or write")
    subprocess.run([*command[:1], "-F", "none", *command[1:]], check=True, capture_output=True, timeout=20)
    with connected(destination):
        pass


def test_a_changed_host_is_an_error_and_the_printed_command_forgets_the_old_key(sshd, tmp_path):
    old = make_key(tmp_path / "old")
    known = tmp_path / "known 'hosts"
    kind, blob, _ = old.with_suffix(".pub").read_text().split()
    known.write_text(f"other ssh-ed25519 {blob}\n[127.0.0.1]:{sshd.port} {kind} {blob}\n")
    destination = sshd.destination(known_hosts_file=str(known))
    for accept_new in (False, True):
        told = refusal(destination, accept_new=accept_new)
        assert f"{host_fingerprint(old)} is known, {host_fingerprint(sshd.host_key)} came" in told
    command = printed_command(told, "installed anew: ", "; if not")
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    assert "is unknown" in refusal(destination)
    assert known.read_text().startswith("other")


def test_accept_new_writes_the_key_once(sshd, tmp_path):
    known = tmp_path / "new" / "known_hosts"
    destination = sshd.destination(known_hosts_file=str(known))
    for _ in range(2):
        with connected(destination, accept_new=True):
            pass
    assert len(known.read_text().splitlines()) == 1
    with connected(destination):
        pass


def test_a_new_key_does_not_spoil_a_last_line_without_an_end(sshd, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text("other ssh-ed25519 AAAA")
    destination = sshd.destination(known_hosts_file=str(known))
    with connected(destination, accept_new=True):
        pass
    assert known.read_text().startswith("other ssh-ed25519 AAAA\n[127.0.0.1]")
    with connected(destination):
        pass


def test_a_known_hosts_file_that_cannot_be_written_is_told(sshd, tmp_path):
    (tmp_path / "file").write_text("")
    told = refusal(sshd.destination(known_hosts_file=str(tmp_path / "file" / "known")), accept_new=True)
    assert "cannot be written" in told


def test_hashed_entries_are_understood(sshd, tmp_path):
    known = tmp_path / "known_hosts"
    shutil.copy(sshd.known_hosts, known)
    subprocess.run(["ssh-keygen", "-H", "-f", str(known)], check=True, capture_output=True)
    assert known.read_text().startswith("|1|")
    with connected(sshd.destination(known_hosts_file=str(known))):
        pass


@pytest.mark.parametrize(
    "line",
    [
        "[127.0.0.?]:* {key}",
        "elsewhere,[127.0.0.1]:{port} {key} a comment",
        "127.0.0.1 {key}",
        "broken line\nhost ssh-rsa !!!\n\n# remark\n|1|bad| ssh-rsa AAAA\n[127.0.0.1]:{port} {key}",
        "*,![127.0.0.1]:{port} {key}",
        "[127.0.0.1]:{port} ssh-ed25519 {old}\n[127.0.0.1]:{port} {key}",
    ],
)
def test_entries_that_openssh_takes_for_the_host_are_taken(sshd, tmp_path, line):
    known = tmp_path / "known_hosts"
    public = " ".join(sshd.host_key.with_suffix(".pub").read_text().split()[:2])
    old = make_key(tmp_path / "old").with_suffix(".pub").read_text().split()[1]
    known.write_text(line.format(key=public, port=sshd.port, old=old) + "\n")
    with connected(sshd.destination(known_hosts_file=str(known))):
        pass
    options = [f"UserKnownHostsFile={known}", "StrictHostKeyChecking=yes", f"Port={sshd.port}"]
    words = [word for option in options for word in ("-o", option)]
    command = ["ssh", "-F", "none", "-i", str(sshd.identity_file), *words, "root@127.0.0.1", "true"]
    subprocess.run(command, check=True, capture_output=True, timeout=20)


@pytest.mark.parametrize("line", ["@revoked * {key}", "*,!127.0.0.1,![127.0.0.1]:{port} {key}"])
def test_a_key_that_is_revoked_or_of_other_hosts_is_not_taken(sshd, tmp_path, line):
    known = tmp_path / "known_hosts"
    public = " ".join(sshd.host_key.with_suffix(".pub").read_text().split()[:2])
    known.write_text(line.format(key=public, port=sshd.port) + "\n")
    told = refusal(sshd.destination(known_hosts_file=str(known)), accept_new="revoked" in line)
    assert "revoked" in told or "is unknown" in told


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_host_known_by_another_key_than_its_first_is_known(tmp_path, kind):
    other = make_key(tmp_path / "other_host_key", kind=kind)
    with Sshd(tmp_path / "sshd", options=[f"HostKey {other}"]) as sshd:
        public = other.with_suffix(".pub").read_text()
        sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {public}")
        with connected(sshd.destination()):
            pass
