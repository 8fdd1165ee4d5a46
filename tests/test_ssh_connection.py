"""Connecting to real SSH servers: who does not answer, lines that go dead, nothing left behind."""

import gc
import os
import signal
import socket
import threading
import time

import pytest
from peers.answering import answering
from peers.processes import open_descriptors
from peers.ssh_connections import connected, connection_to, refusal
from peers.sshd import Sshd, free_port, make_key

from devices.base import TransientDeviceError
from devices.remote.transport import NotFinishedError
from devices.ssh import login

pytest_plugins = ["peers.shell_fixtures"]
pytestmark = [
    pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one"),
    pytest.mark.usefixtures("home"),
]


# Who does not answer.


def test_no_such_host_is_an_error_that_lasts_unless_it_was_there_before(sshd, monkeypatch):
    told = refusal(sshd.destination(host="no-such-host.invalid"), kind=login.UnknownHostError)
    assert "no such host 'no-such-host.invalid'" in told
    connection = connection_to(sshd.destination(host="localhost"), accept_new=True)
    connection.connect()
    connection.close()

    def gone(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", gone)
    with pytest.raises(TransientDeviceError, match="no such host"):
        connection.connect()


def test_a_closed_port_is_transient(sshd):
    told = refusal(sshd.destination(port=free_port()), kind=TransientDeviceError)
    assert "Connection refused" in told
    assert "is sshd running" in told


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
def test_a_service_that_is_not_ssh_is_transient_and_told(sshd, monkeypatch, answer):
    monkeypatch.setattr(login, "CONNECT_TIMEOUT_S", 0.5)
    with answering(answer) as port:
        told = refusal(sshd.destination(port=port), kind=TransientDeviceError)
    assert f"127.0.0.1:{port} answers, but not as an SSH server should (" in told
    gc.collect()


@pytest.fixture
def through_proxy(sshd, proxy):
    destination = sshd.destination(port=proxy.port)
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


def test_a_transfer_that_takes_longer_than_silence_may_is_not_taken_for_a_dead_line(sshd, proxy):
    proxy.limit(1_500_000)
    destination = sshd.destination(port=proxy.port)
    with connected(destination, accept_new=True, keepalive_s=0.2, silence_s=2.5) as connection:
        done = connection.execute("wc -c", stdin=[b"x" * 4_500_000], timeout_s=30)
    assert done.stdout == b"4500000\n"


def test_a_connection_that_is_cut_can_be_made_again(through_proxy, proxy):
    threading.Timer(0.3, proxy.cut).start()
    with pytest.raises(TransientDeviceError, match="is lost"):
        through_proxy.execute("sleep 20", timeout_s=20)
    through_proxy.connect()
    assert through_proxy.execute("echo again", timeout_s=20).stdout == b"again\n"


def ours():
    return [thread for thread in threading.enumerate() if thread is not threading.main_thread()]


def test_closing_leaves_no_thread_and_no_socket_and_may_be_done_twice(sshd):
    threads, descriptors = ours(), open_descriptors()
    connection = connection_to(sshd.destination())
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


def test_a_login_that_fails_leaves_no_thread_and_no_socket(sshd, tmp_path):
    threads, descriptors = ours(), open_descriptors()
    refusal(sshd.destination(identity_file=str(make_key(tmp_path / "wrong"))))
    refusal(sshd.destination(known_hosts_file=str(tmp_path / "nowhere")))
    gc.collect()
    assert (ours(), open_descriptors()) == (threads, descriptors)


def test_an_interrupted_command_is_let_go_of(sshd):
    with connected(sshd.destination()) as connection:
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
