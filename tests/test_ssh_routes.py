"""Ways to a device: ~/.ssh/config as OpenSSH's own client reads it, and hops through real servers."""

import subprocess
from pathlib import Path

import pytest
from peers.sshd import Sshd

from devices.base import DeviceError, TransientDeviceError
from devices.ssh.connection import SshConnection
from devices.ssh.routes import Destination, resolve


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


@pytest.fixture
def way(home):
    """Writes ~/.ssh/config and resolves a destination with it."""

    def resolved(config, host="board", **said):
        (home / ".ssh/config").write_text(config)
        return resolve("bench", Destination(host=host, **said))

    return resolved


def complaint(way, config, **said):
    with pytest.raises(DeviceError) as caught:
        way(config, **said)
    return str(caught.value)


def hops(route):
    return [*(hops(route.jump) if route.jump else []), str(route)]


def openssh(home, host="board"):
    """What OpenSSH's client makes of the same file."""
    command = ["ssh", "-G", "-F", str(home / ".ssh/config"), host]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(line.partition(" ")[::2] for line in printed.splitlines())


@pytest.mark.parametrize(
    "config",
    [
        "Host board\n HostName 192.0.2.7\n Port 2222\n User pi\n",
        "Host=board\n hostname=192.0.2.7\n PORT 2022\n\n# a remark\nHost *\n Port 1\n User everyone\n",
        "Host b*d !bread\n HostName %h.example.org\n User pi\nHost board\n User late\n",
        "Match host board\n User matched\nHost other\n User other\n",
        "Host Other\n Port 5\n",
        "Include extra\nHost board\n User last\n Port 7\n",
        "Host other\n Include extra\nHost board\n Port 8\n",
        "User first\nInclude missing extra\n",
        "Host board\n Include extra\n",
        'Match exec "test %h = board"\n User yes\nMatch host board exec false\n User no\n Port 5\n',
        "Match !exec true\n User no\nMatch !exec false\n User yes\n",
        "Host board\n HostName Board.EXAMPLE.org\n User pi\n",
    ],
)
def test_host_port_and_user_are_those_that_openssh_finds_in_the_same_file(home, way, config):
    (home / ".ssh/extra").write_text("Host board\n User included\nHost elsewhere\n Port 99\n")
    # OpenSSH looks for its includes where /etc/passwd says the home is.
    (home / ".ssh/config").write_text(config.replace("extra", str(home / ".ssh/extra")))
    said = openssh(home)
    route = way(config, user=None)
    assert (route.host, str(route.port), route.user) == (said["hostname"], said["port"], said["user"])


def test_without_a_config_file_the_defaults_hold(home):
    route = resolve("bench", Destination(host="board", user="pi"))
    assert (str(route), route.key_name, route.identity_files, route.jump) == (
        "pi@board:22",
        "board",
        (),
        None,
    )
    assert route.known_hosts_files[0] == home / ".ssh/known_hosts"


def test_what_the_device_file_says_comes_before_the_config(home, way):
    key = home / "key"
    key.write_text("")
    route = way(
        "Host board\n HostName there\n Port 5\n User pi\n IdentityFile ~/other\n UserKnownHostsFile ~/k\n",
        port=6,
        user="me",
        identity_file="~/key",
        known_hosts_file="~/mine",
    )
    assert (route.host, route.port, route.user) == ("there", 6, "me")
    assert route.identity_files == (str(key),)
    assert route.known_hosts_files == (home / "mine",)


def test_identity_files_of_the_config_are_those_that_exist_and_may_keep_the_agent_s_out(home, way):
    (home / "key").write_text("")
    config = "Host board\n IdentityFile ~/key\n IdentityFile ~/missing\n"
    assert way(config).identity_files == (str(home / "key"),)
    assert not way(config).identities_only
    assert way(f"{config} IdentitiesOnly yes\n").identities_only


def test_an_identity_file_of_the_device_file_that_is_missing_is_an_error(way):
    assert "no key at ~/nowhere: correct `identity_file`" in complaint(way, "", identity_file="~/nowhere")


def test_known_hosts_files_of_the_config_are_used_and_none_means_none(home, way):
    files = way("Host board\n UserKnownHostsFile ~/a ~/b\n GlobalKnownHostsFile none\n").known_hosts_files
    assert files == (home / "a", home / "b")
    assert way("UserKnownHostsFile none\nGlobalKnownHostsFile none\n").known_hosts_files == ()


def test_a_host_is_known_by_name_and_port_and_by_its_alias_alone(way):
    assert way("").key_name == "board"
    assert way("", port=2222).key_name == "[board]:2222"
    assert way("Host board\n HostName 192.0.2.7\n Port 2222\n HostKeyAlias pi\n").key_name == "pi"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("gate", ["me@gate:22"]),
        ("pi@gate:2222", ["pi@gate:2222"]),
        ("[2001:db8::7]:2222", ["me@[2001:db8::7]:2222"]),
        ("pi@[::1]", ["pi@[::1]:22"]),
        ("::1", ["me@[::1]:22"]),
        ("ssh://pi@gate:2222", ["pi@gate:2222"]),
        ("pi@one:1, pi@two:2,pi@three:3", ["pi@one:1", "pi@two:2", "pi@three:3"]),
        ("none", []),
    ],
)
def test_a_jump_names_its_hops_in_the_order_they_are_taken(way, monkeypatch, said, expected):
    monkeypatch.setattr("getpass.getuser", lambda: "me")
    assert hops(way(f"Host board\n ProxyJump {said}\n", user="pi")) == [*expected, "pi@board:22"]


def test_a_hop_has_its_own_part_of_the_config_and_its_own_jump(way):
    config = (
        "Host board\n ProxyJump gate\n User b\n"
        "Host gate\n HostName 192.0.2.1\n Port 2201\n User g\n ProxyJump outer\n"
        "Host outer\n User o\n"
    )
    assert hops(way(config)) == ["o@outer:22", "g@192.0.2.1:2201", "b@board:22"]


def test_hops_before_a_hop_that_are_named_come_in_place_of_its_own(way):
    config = "Host board\n ProxyJump first,gate\nHost gate\n ProxyJump board\nHost *\n User u\n"
    assert hops(way(config)) == ["u@first:22", "u@gate:22", "u@board:22"]


@pytest.mark.parametrize(
    "config", ["ProxyJump gate\n", "Host board\n ProxyJump a\nHost a\n ProxyJump board\n"]
)
def test_jumps_in_a_circle_are_an_error(way, config):
    assert "do they lead in a circle?" in complaint(way, config)


def test_a_jump_that_is_no_place_is_an_error(way):
    assert "ProxyJump 'gate:port', which is no user@host:port" in complaint(way, "ProxyJump gate:port\n")


def test_a_proxy_command_is_refused_with_advice_unless_it_is_none(way):
    told = complaint(way, "Host board\n ProxyCommand nc %h %p\n")
    assert "ProxyCommand, which is not supported: write it as ProxyJump" in told
    assert way("Host board\n ProxyCommand none\n").jump is None


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("Host board\n Port\n", "cannot be read"),
        ("nonsense\n", "cannot be read"),
        ('Host "board\n', "cannot be read"),
        ("Include config\n", "include each other"),
        ("Host board\n Port many\n", "Port 'many', which is no port"),
        ("Match host\n User pi\n", "cannot be read"),
    ],
)
def test_a_broken_config_is_told_with_what_is_wrong(way, config, told):
    message = complaint(way, config)
    assert message.startswith("bench: ")
    assert told in message


def test_a_config_that_is_no_text_is_told(home, way):
    (home / ".ssh/other").write_bytes(b"Host \xff\xfe\n")
    assert "cannot be read" in complaint(way, "Include other\n")


# Through real servers.


@pytest.fixture
def gate(tmp_path):
    if Sshd.missing():
        pytest.skip(Sshd.missing())
    with Sshd(tmp_path / "gate") as server:
        yield server


@pytest.fixture
def inner(tmp_path, gate):
    with Sshd(tmp_path / "inner") as server:
        yield server


@pytest.fixture
def through_gate(home, gate, inner):
    """A connection to the inner server by a config that knows the way; what `gate_says` is added."""

    def made(gate_says="", *, known=True, **options):
        (home / ".ssh/config").write_text(
            f"Host gate\n HostName {gate.host}\n Port {gate.port}\n User {gate.user}\n"
            f" IdentityFile {gate.identity_file}\n UserKnownHostsFile {gate.known_hosts}\n {gate_says}\n"
            f"Host board\n HostName {inner.host}\n Port {inner.port}\n User {inner.user}\n"
            f" IdentityFile {inner.identity_file}\n UserKnownHostsFile {inner.known_hosts}\n"
            " ProxyJump gate\n"
        )
        return SshConnection("bench", lambda: resolve("bench", Destination(host="board")), **options)

    return made


def test_commands_run_behind_a_jump_and_nothing_is_left_open(through_gate, inner):
    connection = through_gate()
    connection.connect()
    assert connection.execute("echo $SSH_CONNECTION", timeout_s=20).stdout.split()[-1] == b"%d" % inner.port
    connection.close()
    assert not connection.connected


@pytest.mark.parametrize("stranger", ["gate", "inner"])
def test_the_host_key_of_every_hop_is_checked_and_the_printed_command_accepts_it(
    request, through_gate, home, stranger
):
    server = request.getfixturevalue(stranger)
    server.known_hosts.unlink()
    connection = through_gate()
    with pytest.raises(DeviceError, match="is unknown") as caught:
        connection.connect()
    command = str(caught.value).partition("accept it with: ")[2].partition(" (or write")[0]
    # OpenSSH finds its configuration by /etc/passwd, not by HOME.
    command = command.replace("ssh ", f"ssh -F {home / '.ssh/config'} ", 1)
    subprocess.run(command, shell=True, check=True, capture_output=True, timeout=20)  # noqa: S602
    connection.connect()
    connection.close()


def test_a_device_that_the_jump_cannot_reach_is_transient(through_gate, inner):
    inner.stop()
    with pytest.raises(TransientDeviceError, match="from the host it is reached through"):
        through_gate().connect()


def test_a_jump_that_goes_down_takes_the_connection_with_it(through_gate, gate):
    connection = through_gate()
    connection.connect()
    gate.stop()
    with pytest.raises(TransientDeviceError, match=r"is lost|starts no more"):
        connection.execute("sleep 20", timeout_s=20)
    connection.close()


def test_two_jumps_are_taken_in_order(home, gate, inner, tmp_path):
    with Sshd(tmp_path / "middle") as middle:
        blocks = [
            f"Host {name}\n HostName {server.host}\n Port {server.port}\n User {server.user}\n"
            f" IdentityFile {server.identity_file}\n UserKnownHostsFile {server.known_hosts}\n"
            for name, server in {"gate": gate, "middle": middle, "board": inner}.items()
        ]
        Path(home / ".ssh/config").write_text("".join(blocks) + " ProxyJump gate,middle\n")
        connection = SshConnection("bench", lambda: resolve("bench", Destination(host="board")))
        connection.connect()
        assert connection.execute("echo $SSH_CONNECTION", timeout_s=20).exit_code == 0
        connection.close()
