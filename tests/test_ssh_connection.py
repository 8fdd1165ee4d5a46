"""Connecting to real SSH servers: keys, agents, host keys, lines that go dead, nothing left behind."""

import gc
import os
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest
from peers.proxy import Proxy
from peers.sshd import Sshd, free_port, make_key

from devices.base import DeviceError, TransientDeviceError
from devices.remote.transport import NotFinishedError
from devices.ssh import login
from devices.ssh.connection import SshConnection
from devices.ssh.routes import resolve

pytestmark = pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one")

WORDS = ("correct", "horse")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sshd")
    with Sshd(folder, environment={"HOME": str(folder)}) as started:
        yield started


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    folder = tmp_path / "a home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


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


def connection_to(destination, **options):
    return SshConnection("bench", lambda: resolve("bench", destination), **options)


@contextmanager
def connected(destination, **options):
    connection = connection_to(destination, **options)
    connection.connect()
    try:
        yield connection
    finally:
        connection.close()


def refusal(destination, kind=DeviceError, **options):
    connection = connection_to(destination, **options)
    with pytest.raises(DeviceError) as caught:
        connection.connect()
    assert type(caught.value) is kind or kind is DeviceError
    assert isinstance(caught.value, TransientDeviceError) is (kind is TransientDeviceError)
    assert not connection.connected
    return str(caught.value)


def printed_command(message, begin, end):
    return shlex.split(message.partition(begin)[2].partition(end)[0])


def host_fingerprint(key):
    return subprocess.run(
        ["ssh-keygen", "-lf", str(key)], check=True, capture_output=True, text=True
    ).stdout.split()[1]


def unlocking(tmp_path, key, passphrase):
    """ssh-add as a person would, typing the passphrase."""
    asks = tmp_path / "askpass"
    asks.write_text(f"#!/bin/sh\necho {passphrase}\n")
    asks.chmod(0o755)
    environment = {**os.environ, "SSH_ASKPASS": str(asks), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-q", str(key)], check=True, env=environment, stdin=subprocess.DEVNULL)


# Our keys.


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_key_of_every_kind_that_the_server_knows_logs_in(server, tmp_path, kind):
    key = make_key(tmp_path / "key", kind=kind)
    server.authorize(key)
    with connected(server.destination(identity_file=str(key))) as connection:
        assert connection.execute("echo here", timeout_s=20).stdout == b"here\n"
        assert connection.address == f"root@127.0.0.1:{server.port}"


def test_without_an_identity_file_the_usual_keys_in_the_home_are_tried(server, home):
    (home / ".ssh").mkdir()
    make_key(home / ".ssh/id_rsa", kind="rsa")
    shutil.copy(server.identity_file, home / ".ssh/id_ed25519")
    with connected(server.destination(identity_file=None)):
        pass


def test_a_wrong_key_is_an_error_with_the_command_that_adds_it(server, tmp_path):
    wrong = make_key(tmp_path / "the wrong key")
    told = refusal(server.destination(identity_file=str(wrong)))
    assert f"does not take any of our keys ({wrong} and the agent's; 1 tried)" in told
    command = printed_command(told, "add one with ", ", or correct")
    assert command[0] == "ssh-copy-id"
    assert command[-5:] == ["-i", str(wrong), "-p", str(server.port), "root@127.0.0.1"]


def test_no_key_at_all_is_an_error_with_the_command_that_makes_one(server):
    told = refusal(server.destination(identity_file=None))
    assert "there is no key" in told
    assert "ssh-keygen -t ed25519, then ssh-copy-id" in told


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_key_with_a_passphrase_is_told_with_ssh_add_and_works_through_an_agent(
    server, tmp_path, agent, kind
):
    key = make_key(tmp_path / "a locked key", kind=kind, passphrase=" ".join(WORDS))
    server.authorize(key)
    told = refusal(server.destination(identity_file=str(key)))
    assert f"has a passphrase: load it into your agent with ssh-add '{key}'" in told
    unlocking(tmp_path, key, " ".join(WORDS))
    with connected(server.destination(identity_file=str(key))):
        pass


def test_an_agent_serves_the_named_key_also_when_the_config_keeps_its_other_keys_out(
    server, tmp_path, home, agent
):
    key = make_key(tmp_path / "locked", passphrase=WORDS[0])
    server.authorize(key)
    unlocking(tmp_path, key, WORDS[0])
    other = make_key(tmp_path / "other")
    (home / ".ssh").mkdir()
    (home / ".ssh/config").write_text("IdentitiesOnly yes\n")
    with connected(server.destination(identity_file=str(key))):
        pass
    assert "1 tried" in refusal(server.destination(identity_file=str(other)))


def test_an_agent_full_of_other_keys_does_not_keep_the_named_one_from_its_turn(server, tmp_path, agent):
    for number in range(8):
        key = make_key(tmp_path / f"key{number}")
        subprocess.run(["ssh-add", "-q", str(key)], check=True)
    with connected(server.destination()):
        pass
    told = refusal(server.destination(identity_file=None))
    assert "does not take any of our keys" in told


def test_an_agent_that_is_gone_is_no_agent(server, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left"))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "left"))
    with connected(server.destination()):
        pass
    gc.collect()


def test_a_key_file_that_is_no_key_is_told(server, tmp_path):
    (tmp_path / "key").write_text("not a key\n")
    assert "is no private key that can be read" in refusal(
        server.destination(identity_file=str(tmp_path / "key"))
    )


def test_a_server_that_takes_no_keys_is_told(tmp_path):
    with Sshd(tmp_path / "sshd", options=["PubkeyAuthentication no"]) as keyless:
        assert "takes no keys" in refusal(keyless.destination())


# The host's key.


def test_an_unknown_host_is_an_error_and_the_printed_command_accepts_it(server, tmp_path):
    known = tmp_path / "it's a folder" / "known hosts"
    known.parent.mkdir()
    destination = server.destination(known_hosts_file=str(known))
    told = refusal(destination)
    assert f"ssh-ed25519 key is {host_fingerprint(server.host_key)}" in told
    assert not known.exists()
    command = printed_command(told, "accept it with: ", " (or write")
    subprocess.run([*command[:1], "-F", "none", *command[1:]], check=True, capture_output=True, timeout=20)
    with connected(destination):
        pass


def test_a_changed_host_is_an_error_and_the_printed_command_forgets_the_old_key(server, tmp_path):
    old = make_key(tmp_path / "old")
    known = tmp_path / "known 'hosts"
    kind, blob, _ = old.with_suffix(".pub").read_text().split()
    known.write_text(f"other ssh-ed25519 {blob}\n[127.0.0.1]:{server.port} {kind} {blob}\n")
    destination = server.destination(known_hosts_file=str(known))
    for accept_new in (False, True):
        told = refusal(destination, accept_new=accept_new)
        assert f"{host_fingerprint(old)} is known, {host_fingerprint(server.host_key)} came" in told
    command = printed_command(told, "installed anew: ", "; if not")
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    assert "is unknown" in refusal(destination)
    assert known.read_text().startswith("other")


def test_accept_new_writes_the_key_once(server, tmp_path):
    known = tmp_path / "new" / "known_hosts"
    destination = server.destination(known_hosts_file=str(known))
    for _ in range(2):
        with connected(destination, accept_new=True):
            pass
    assert len(known.read_text().splitlines()) == 1
    with connected(destination):
        pass


def test_a_new_key_does_not_spoil_a_last_line_without_an_end(server, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text("other ssh-ed25519 AAAA")
    destination = server.destination(known_hosts_file=str(known))
    with connected(destination, accept_new=True):
        pass
    assert known.read_text().startswith("other ssh-ed25519 AAAA\n[127.0.0.1]")
    with connected(destination):
        pass


def test_a_known_hosts_file_that_cannot_be_written_is_told(server, tmp_path):
    (tmp_path / "file").write_text("")
    told = refusal(server.destination(known_hosts_file=str(tmp_path / "file" / "known")), accept_new=True)
    assert "cannot be written" in told


def test_hashed_entries_are_understood(server, tmp_path):
    known = tmp_path / "known_hosts"
    shutil.copy(server.known_hosts, known)
    subprocess.run(["ssh-keygen", "-H", "-f", str(known)], check=True, capture_output=True)
    assert known.read_text().startswith("|1|")
    with connected(server.destination(known_hosts_file=str(known))):
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
def test_entries_that_openssh_takes_for_the_host_are_taken(server, tmp_path, line):
    known = tmp_path / "known_hosts"
    public = " ".join(server.host_key.with_suffix(".pub").read_text().split()[:2])
    old = make_key(tmp_path / "old").with_suffix(".pub").read_text().split()[1]
    known.write_text(line.format(key=public, port=server.port, old=old) + "\n")
    with connected(server.destination(known_hosts_file=str(known))):
        pass
    options = [f"UserKnownHostsFile={known}", "StrictHostKeyChecking=yes", f"Port={server.port}"]
    words = [word for option in options for word in ("-o", option)]
    command = ["ssh", "-F", "none", "-i", str(server.identity_file), *words, "root@127.0.0.1", "true"]
    subprocess.run(command, check=True, capture_output=True, timeout=20)


@pytest.mark.parametrize("line", ["@revoked * {key}", "*,!127.0.0.1,![127.0.0.1]:{port} {key}"])
def test_a_key_that_is_revoked_or_of_other_hosts_is_not_taken(server, tmp_path, line):
    known = tmp_path / "known_hosts"
    public = " ".join(server.host_key.with_suffix(".pub").read_text().split()[:2])
    known.write_text(line.format(key=public, port=server.port) + "\n")
    told = refusal(server.destination(known_hosts_file=str(known)), accept_new="revoked" in line)
    assert "revoked" in told or "is unknown" in told


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_host_known_by_another_key_than_its_first_is_known(tmp_path, kind):
    other = make_key(tmp_path / "other_host_key", kind=kind)
    with Sshd(tmp_path / "sshd", options=[f"HostKey {other}"]) as server:
        public = other.with_suffix(".pub").read_text()
        server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {public}")
        with connected(server.destination()):
            pass


# Who does not answer.


def test_no_such_host_is_an_error_that_lasts_unless_it_was_there_before(server, monkeypatch):
    told = refusal(server.destination(host="no-such-host.invalid"), kind=login.UnknownHostError)
    assert "no such host 'no-such-host.invalid'" in told
    connection = connection_to(server.destination(host="localhost"), accept_new=True)
    connection.connect()
    connection.close()

    def gone(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", gone)
    with pytest.raises(TransientDeviceError, match="no such host"):
        connection.connect()


def test_a_closed_port_is_transient(server):
    told = refusal(server.destination(port=free_port()), kind=TransientDeviceError)
    assert "Connection refused" in told
    assert "is sshd running" in told


@contextmanager
def service(answer):
    """A port that does `answer(connection)` with whoever comes, and keeps the connection open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept = []

        def serve():
            try:
                while True:
                    kept.append(listener.accept()[0])
                    answer(kept[-1])
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for one in kept:
                one.close()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda line: None, id="says nothing"),
        pytest.param(lambda line: line.close(), id="hangs up"),
        pytest.param(lambda line: line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), id="is a web server"),
        pytest.param(lambda line: line.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), id="greets and stops"),
        pytest.param(lambda line: line.sendall(b"SSH-1.5-old\r\n"), id="is of the last century"),
        pytest.param(lambda line: line.sendall(os.urandom(4096)), id="says anything"),
    ],
)
def test_a_service_that_is_not_ssh_is_transient_and_told(server, monkeypatch, answer):
    monkeypatch.setattr(login, "CONNECT_TIMEOUT_S", 0.5)
    with service(answer) as port:
        told = refusal(server.destination(port=port), kind=TransientDeviceError)
    assert f"127.0.0.1:{port} answers, but not as an SSH server should (" in told
    gc.collect()


# A line that goes dead.


@pytest.fixture
def proxy(server):
    with Proxy(server.host, server.port) as started:
        yield started


@pytest.fixture
def through_proxy(server, proxy):
    destination = server.destination(port=proxy.port)
    with connected(destination, accept_new=True, keepalive_s=0.2, silence_s=1.0) as connection:
        yield connection
        proxy.resume()


@pytest.fixture
def stalled_soon(proxy):
    timer = threading.Timer(0.5, proxy.stall)
    timer.start()
    yield
    timer.join()


@pytest.mark.usefixtures("stalled_soon")
@pytest.mark.parametrize("sent", [b"", b"x" * 50_000_000], ids=["waiting", "sending"])
def test_a_line_that_goes_silent_is_noticed(through_proxy, sent):
    with pytest.raises(TransientDeviceError, match="is lost"):
        through_proxy.execute("cat >/dev/null; sleep 30", stdin=[sent] * 10, timeout_s=30)
    assert not through_proxy.connected


@pytest.mark.usefixtures("stalled_soon")
def test_a_line_that_goes_silent_while_nothing_runs_is_noticed(through_proxy):
    deadline = time.monotonic() + 20
    while through_proxy.connected and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(TransientDeviceError, match="is lost"):
        through_proxy.execute("true", timeout_s=20)


def test_a_long_silent_command_is_not_taken_for_a_dead_line(through_proxy):
    assert through_proxy.execute("sleep 2.5; echo done", timeout_s=20).stdout == b"done\n"


def test_a_transfer_that_takes_longer_than_silence_may_is_not_taken_for_a_dead_line(server, proxy):
    proxy.limit(1_500_000)
    destination = server.destination(port=proxy.port)
    with connected(destination, accept_new=True, keepalive_s=0.2, silence_s=2.5) as connection:
        done = connection.execute("wc -c", stdin=[b"x" * 4_500_000], timeout_s=30)
    assert done.stdout == b"4500000\n"


def test_a_connection_that_is_cut_can_be_made_again(through_proxy, proxy):
    threading.Timer(0.3, proxy.cut).start()
    with pytest.raises(TransientDeviceError, match="is lost"):
        through_proxy.execute("sleep 20", timeout_s=20)
    through_proxy.connect()
    assert through_proxy.execute("echo again", timeout_s=20).stdout == b"again\n"


# Nothing is left.


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def ours():
    return [thread for thread in threading.enumerate() if thread is not threading.main_thread()]


def test_closing_leaves_no_thread_and_no_socket_and_may_be_done_twice(server):
    threads, descriptors = ours(), open_descriptors()
    connection = connection_to(server.destination())
    connection.close()
    for _ in range(2):
        connection.connect()
        connection.execute("echo", timeout_s=20)
        held, _ = connection.hold("echo ready; cat", until=b"ready", timeout_s=20)
        connection.connect()
        held.close()
        with pytest.raises(NotFinishedError):
            connection.execute("sleep 30", timeout_s=0.1)
        connection.close()
        connection.close()
        assert ours() == threads
    gc.collect()
    assert open_descriptors() == descriptors
    with pytest.raises(TransientDeviceError, match="is lost"):
        connection.execute("true", timeout_s=20)


def test_a_login_that_fails_leaves_no_thread_and_no_socket(server, tmp_path):
    threads, descriptors = ours(), open_descriptors()
    refusal(server.destination(identity_file=str(make_key(tmp_path / "wrong"))))
    refusal(server.destination(known_hosts_file=str(tmp_path / "nowhere")))
    gc.collect()
    assert (ours(), open_descriptors()) == (threads, descriptors)


def test_an_interrupted_command_is_let_go_of(server):
    with connected(server.destination()) as connection:
        threads = ours()
        previous = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        try:
            with pytest.raises(KeyboardInterrupt):
                connection.execute("sleep 30", timeout_s=30)
        finally:
            signal.signal(signal.SIGALRM, previous)
        deadline = time.monotonic() + 10
        while ours() != threads and time.monotonic() < deadline:
            time.sleep(0.01)  # an interrupted join() says too early that it is done
        assert ours() == threads
        assert connection.execute("echo on", timeout_s=20).stdout == b"on\n"
