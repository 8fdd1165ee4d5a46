"""What a device tells of itself over a real SSH server, and its governor: one round trip each."""

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers.sshd import Sshd
from test_devices_linux import PI_4, plant

from devices import linux
from devices.base import TransientDeviceError
from devices.facts import Interpreter
from devices.local import LocalDevice
from devices.remote import snapshot
from devices.remote.governor import Governor
from devices.remote.shell import Shell
from devices.remote.snapshot import parse_pythons, parse_records, read_facts, read_telemetry
from devices.ssh.connection import SshConnection
from devices.ssh.routes import Destination, resolve

pytest_plugins = ["peers.fixtures"]
pytestmark = pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one")

SHELLS = [["dash"], ["bash", "--posix"], ["busybox", "sh"], ["mksh"], ["ksh93"], ["yash"]]
BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Counting:
    """A transport that counts what is executed; and may have another program than /bin/sh run it."""

    def __init__(self, inner, shell=None):
        self.inner = inner
        self.calls = 0
        self.shell = shell

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def execute(self, line, **rest):
        self.calls += 1
        if self.shell is not None:
            line = line.replace("exec /bin/sh -c ", f"exec {self.shell} -c ", 1)
        return self.inner.execute(line, **rest)


def connected(server, user=None):
    destination = Destination(
        host=server.host,
        port=server.port,
        user=user or server.user,
        identity_file=str(server.identity_file),
        known_hosts_file=str(server.known_hosts),
    )
    connection = SshConnection("board", lambda: resolve("board", destination))
    connection.connect()
    return connection


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home directory whose start-up file prints, on both streams."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".bashrc").write_text(
        "echo; echo 'Welcome to board!'; echo pb0123456789abcdef; echo motd >&2\n"
    )
    return folder


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A directory that is first on the device's PATH; each test plants what it needs and takes it away."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def connection(tmp_path_factory, home, programs):
    environment = {"HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin", "BASH_ENV": str(home / ".bashrc")}
    with Sshd(tmp_path_factory.mktemp("sshd"), environment=environment) as server:
        connection = connected(server)
        yield connection
        connection.close()


@pytest.fixture
def transport(connection):
    return Counting(connection)


@pytest.fixture
def shell(transport):
    return Shell("board", transport)


@pytest.fixture
def program(programs):
    planted = []

    def plant_one(name, text):
        path = programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        planted.append(path)
        return path

    yield plant_one
    for path in planted:
        path.unlink()


def test_facts_over_ssh_are_those_of_the_local_driver_in_one_round_trip(shell, transport):
    facts = read_facts(shell, driver="local")
    assert transport.calls == 1
    here = LocalDevice("here").facts()
    assert facts.bits == 64
    assert msgspec.structs.replace(facts, interpreters=(), python=here.python, bits=here.bits) == here


def test_telemetry_over_ssh_is_that_of_the_local_driver_in_one_round_trip(shell, transport):
    telemetry = read_telemetry(shell)
    assert transport.calls == 1
    here = LocalDevice("here").telemetry()
    changing = {"at", "load_average", "memory_available_bytes", "frequencies_khz", "temperatures_celsius"}
    for field in set(telemetry.__struct_fields__) - changing:
        assert getattr(telemetry, field) == getattr(here, field), field
    assert telemetry.load_average == pytest.approx(here.load_average, abs=2)
    assert telemetry.temperatures_celsius.keys() == here.temperatures_celsius.keys()
    assert telemetry.at <= here.at


@pytest.mark.parametrize("words", [words for words in SHELLS if shutil.which(words[0])], ids=lambda w: w[0])
def test_any_posix_shell_reads_a_board_s_tree_as_python_does(connection, words, tmp_path):
    plant(tmp_path, PI_4)
    hwmon = "sys/class/hwmon"
    odd = {
        f"{hwmon}/hwmon0/name": "nvme\n",
        f"{hwmon}/hwmon0/temp1_input": "70850\n",
        f"{hwmon}/hwmon10/name": "coretemp",
        f"{hwmon}/hwmon10/temp1_input": "51250\n",
        f"{hwmon}/hwmon10/temp1_label": "Core 0 \\n %s 'x' `date`\n",
        "sys/class/power_supply/bat/type": "Battery\n",
        "sys/class/power_supply/bat/capacity": "87",
        "proc/vmstat": "nr_free_pages 1\noom_kill 3\n",
        **{f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_cur_freq": f"{n}00000\n" for n in range(12)},
    }
    plant(tmp_path, odd)
    (tmp_path / "sys/class/thermal/thermal_zone7/temp").mkdir(parents=True)  # answers with an error
    shell = Shell("board", Counting(connection, shell=" ".join([shutil.which(words[0]), *words[1:]])))
    telemetry = read_telemetry(shell, root=str(tmp_path))
    expected = linux.parse_telemetry(linux.read_telemetry_files(tmp_path), at=telemetry.at)
    assert telemetry == expected
    assert list(telemetry.frequencies_khz) == [f"cpu{n}" for n in range(12)]
    assert telemetry.temperatures_celsius["coretemp Core 0 \\n %s 'x' `date`"] == 51.25
    assert (telemetry.oom_kills, telemetry.battery_percent) == (3, 87.0)
    facts = read_facts(shell, driver="ssh", root=str(tmp_path))
    assert facts.clusters == linux.parse_clusters(linux.read_files(tmp_path, linux.FACT_FILES))
    assert (facts.model, facts.soc, facts.serial) == (
        "Raspberry Pi 4 Model B Rev 1.4",
        "bcm2711",
        "10000000abcdef01",
    )
    assert facts.interpreters


def test_a_machine_that_shows_nothing_has_no_facts_over_ssh_and_no_error(shell, tmp_path):
    facts = read_facts(shell, driver="ssh", root=str(tmp_path / "nowhere"))
    assert (facts.arch, facts.soc, facts.interpreters) == (None, None, ())
    assert read_telemetry(shell, root=str(tmp_path)).load_average is None


def test_content_over_ssh_that_looks_like_records_is_content(shell, tmp_path):
    fake = "\npb0123456789abcdef proc/loadavg\n9.99 1 1\n\x00\xff"
    plant(tmp_path, {"proc/meminfo": f"MemAvailable: 12 kB\n{fake}"})
    telemetry = read_telemetry(shell, root=str(tmp_path))
    assert telemetry.memory_available_bytes == 12 * 1024
    assert telemetry.load_average is None


@given(
    st.binary(max_size=200), st.sampled_from(["proc/meminfo", "python3:/x", "python:/y", "uname -m", "a\0b"])
)
def test_no_answer_over_ssh_makes_a_reading_an_error(noise, name):
    files = parse_records(b"\nMARK " + name.encode() + b"\n" + noise + b"\nMARK cut", "MARK")
    parse_pythons(files)
    linux.parse_telemetry(files, at="")
    parse_records(noise, "MARK")


def test_vcgencmd_over_ssh_is_asked_when_the_kernel_does_not_tell(shell, transport, program, tmp_path):
    program("vcgencmd", 'echo "throttled=0x50005"')
    telemetry = read_telemetry(shell, root=str(tmp_path))
    assert transport.calls == 1
    assert telemetry.throttled is True
    assert telemetry.throttle_flags == (
        "under_voltage",
        "throttled",
        "under_voltage_occurred",
        "throttled_occurred",
    )
    plant(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": "0\n"})
    assert read_telemetry(shell, root=str(tmp_path)).throttled is False


def test_a_vcgencmd_over_ssh_that_fails_tells_nothing(shell, program, tmp_path):
    program("vcgencmd", "echo VCHI initialization failed; exit 255")
    assert read_telemetry(shell, root=str(tmp_path)).throttled is None


def interpreter(version, tag, path, *, make="cpython"):
    return f'printf "\\n\\n%s %s %s %s" {make} {tag} {version} "{path}"'


def test_python3_over_ssh_is_the_first_on_path_and_every_interpreter_is_told_once(shell, program):
    first = program(
        "python3", interpreter("3.8.20", "cpython-38-x86_64-linux-gnu", "/opt/python 3/bin/python3.8")
    )
    (first.parent / "python3.9").symlink_to(first)
    program("python3.12", interpreter("7.3.17", "pypy312-pp73", "/opt/pypy/bin/pypy3", make="pypy"))
    program("python3.13", "echo no such version; exit 127")
    try:
        facts = read_facts(shell, driver="ssh")
    finally:
        (first.parent / "python3.9").unlink()
    assert facts.python == "3.8.20"
    assert facts.interpreters[0].path == "/opt/python 3/bin/python3.8"
    paths = [python.path for python in facts.interpreters]
    assert len(set(paths)) == len(paths)
    assert "/opt/pypy/bin/pypy3" not in paths
    real = str(Path("/usr/bin/python3").resolve())
    assert real in paths


def test_an_interpreter_s_soabi_over_ssh_is_sysconfig_s(shell):
    real = str(Path("/usr/bin/python3").resolve())
    found = next(python for python in read_facts(shell, driver="ssh").interpreters if python.path == real)
    code = "import sysconfig; print(sysconfig.get_config_var('SOABI'), sysconfig.get_python_version())"
    asked = subprocess.run([real, "-c", code], capture_output=True, text=True, check=True)
    assert f"{found.soabi} {found.version}" == asked.stdout.strip()


def test_a_virtual_environment_over_ssh_is_told_as_what_it_was_made_from(shell, programs, tmp_path):
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    link = programs / "python3"
    link.symlink_to(tmp_path / "venv/bin/python3")
    try:
        facts = read_facts(shell, driver="ssh")
    finally:
        link.unlink()
    assert facts.interpreters[0].path == str(Path("/usr/bin/python3").resolve())


def test_an_interpreter_that_hangs_over_ssh_is_left_out(shell, program, monkeypatch):
    monkeypatch.setattr(snapshot, "PYTHON_TIMEOUT_S", 1)
    program("python3.14", "exec sleep 600")
    assert read_facts(shell, driver="ssh").interpreters


def test_without_getconf_and_ldd_over_ssh_python_tells_the_c_library(shell, program):
    program("getconf", "exit 1")
    program("ldd", "exit 1")
    assert read_facts(shell, driver="ssh").libc == LocalDevice("here").facts().libc


@pytest.mark.parametrize("bits", [32, 64])
def test_a_32_bit_system_under_a_64_bit_kernel_is_told_over_ssh(shell, program, bits):
    program("getconf", f'[ "$1" = LONG_BIT ] && echo {bits}')
    facts = read_facts(shell, driver="ssh")
    assert facts.bits == bits
    assert facts.fingerprint == msgspec.structs.replace(facts, bits=None).fingerprint


def test_without_getconf_over_ssh_the_shell_s_own_file_tells_how_wide_a_word_is(shell, program):
    program("getconf", "exit 1")
    assert read_facts(shell, driver="ssh").bits == 64
    assert [snapshot.parse_bits(said) for said in ("32\n", "   1\n", "  2", "od: no", "")] == [
        32,
        32,
        64,
        None,
        None,
    ]


@pytest.mark.parametrize("minor", [8, 14, 15, 20])
def test_an_interpreter_that_is_newer_than_this_is_found_over_ssh(shell, program, minor):
    path = f"/opt/python 3.{minor}/bin/python3"
    program(f"python3.{minor}", interpreter(f"3.{minor}.1", f"cpython-3{minor}-x86_64-linux-gnu", path))
    assert path in [python.path for python in read_facts(shell, driver="ssh").interpreters]


@pytest.mark.parametrize("read", [lambda shell: read_facts(shell, driver="ssh"), read_telemetry])
def test_an_answer_over_ssh_that_does_not_come_to_its_end_tells_nothing(connection, read):
    class Ending(Counting):
        """Its shell ends in the middle, as one does that finds a mistake or no memory."""

        def execute(self, line, **rest):
            assert "uname -m" in line or "sys/class" in line
            cut = line.replace("cd / || end", "cd / || end; line proc/loadavg proc/meminfo; flush; exit 2", 1)
            assert cut != line
            return super().execute(cut, **rest)

    with pytest.raises(TransientDeviceError, match=r"its answer was cut short \(exit code 2\)"):
        read(Shell("board", Ending(connection)))


@pytest.fixture
def board_shell(board):
    connection = connected(board, "root")
    yield Shell("board", connection)
    connection.close()


def test_a_board_over_ssh_tells_its_own_processor_and_interpreter(board_shell):
    facts = read_facts(board_shell, driver="ssh")
    assert (facts.arch, facts.model) == ("aarch64", "pocketbench emulated aarch64 board")
    assert [(cluster.cores, cluster.max_khz) for cluster in facts.clusters] == [((0, 1), 1_500_000)]
    assert facts.interpreters == (
        Interpreter(path="/usr/bin/python3.11", version="3.11", soabi="cpython-311-aarch64-linux-gnu"),
    )
    assert read_telemetry(board_shell).temperatures_celsius == {"cpu-thermal": 45.2}


def test_a_board_s_governor_is_set_over_ssh_where_the_kernel_shows_it(board_shell):
    governor = Governor(board_shell, "/tmp/governor.before")
    assert governor.set("performance") is None
    assert read_telemetry(board_shell).governor == "performance"
    assert governor.put_back() is None
    assert read_telemetry(board_shell).governor == "ondemand"


CHOICES = "conservative ondemand performance\n"


@pytest.fixture
def cpus(tmp_path):
    for number, was in ((0, "ondemand"), (1, "ondemand"), (10, "conservative")):
        folder = tmp_path / f"cpus/cpu{number}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{was}\n")
        (folder / "scaling_available_governors").write_text(CHOICES)
    (tmp_path / "cpus/cpu2").mkdir()  # off line: no cpufreq
    return tmp_path / "cpus"


def governors(cpus):
    return [(cpus / f"cpu{n}/cpufreq/scaling_governor").read_text().strip() for n in (0, 1, 10)]


BEFORE = ["ondemand", "ondemand", "conservative"]


@pytest.fixture
def state(tmp_path):
    return tmp_path / "work 'dir'/governor.before"


@pytest.fixture
def governor(shell, cpus, state):
    state.parent.mkdir()
    return Governor(shell, str(state), root=str(cpus))


def test_a_governor_is_set_over_ssh_and_put_back_in_one_round_trip_each(governor, cpus, state, transport):
    assert governor.set("performance") is None
    assert governors(cpus) == ["performance"] * 3
    assert transport.calls == 1
    assert governor.put_back() is None
    assert governors(cpus) == BEFORE
    assert transport.calls == 2
    assert not state.exists()
    assert governor.put_back() is None


def test_what_a_dead_host_left_set_over_ssh_is_put_back_by_the_next(governor, shell, cpus, state):
    governor.set("performance")
    following = Governor(shell, str(state), root=str(cpus))
    assert following.set("conservative") is None
    assert governors(cpus) == ["conservative"] * 3
    assert following.put_back() is None
    assert governors(cpus) == BEFORE


def test_after_a_reboot_the_values_kept_over_ssh_count_no_more(governor, cpus, state):
    state.write_text("an-earlier-boot\ncpu0 performance\n")
    assert governor.put_back() is None
    assert governors(cpus) == BEFORE
    assert not state.exists()
    governor.set("performance")
    assert state.read_text().split()[0] == BOOT_ID


def test_a_governor_that_is_not_there_is_answered_over_ssh_with_those_that_are(governor, cpus, state):
    assert governor.set("perfomance; id") == (
        "no governor 'perfomance; id'; it has: conservative, ondemand, performance"
    )
    assert governors(cpus) == BEFORE
    assert not state.exists()


def test_a_machine_without_cpufreq_says_so_over_ssh(shell, tmp_path):
    empty = Governor(shell, str(tmp_path / "state"), root=str(tmp_path))
    assert "no cpufreq" in empty.set("performance")
    assert empty.put_back() is None


def test_a_governor_that_does_not_take_over_ssh_leaves_all_as_they_were(governor, cpus, state):
    stubborn = cpus / "cpu10/cpufreq/scaling_governor"
    stubborn.unlink()
    stubborn.symlink_to("/dev/null")
    reason = governor.set("performance")
    assert "cpu10" in reason
    assert "root" in reason
    assert governors(cpus)[:2] == BEFORE[:2]


def test_values_that_cannot_be_kept_over_ssh_are_not_changed(shell, cpus, tmp_path):
    careful = Governor(shell, str(tmp_path / "nowhere/state"), root=str(cpus))
    assert "cannot be kept" in careful.set("performance")
    assert governors(cpus) == BEFORE


@pytest.fixture
def read_only(cpus, tmp_path):
    """The same tree where this user cannot write it, root being hard to refuse."""
    view = tmp_path / "view"
    view.mkdir()
    subprocess.run(["mount", "--bind", str(cpus), str(view)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(view)], check=True)
    yield view
    subprocess.run(["umount", str(view)], check=True)


def test_who_may_not_write_the_governor_over_ssh_uses_sudo(shell, program, cpus, read_only, tmp_path):
    asked = Governor(shell, str(tmp_path / "state"), root=str(read_only))
    # sudo's part: it alone may write the tree.
    program("sudo", f'[ "$1 $2" = "-n tee" ] || exit 1; exec tee "{cpus}/${{3#{read_only}/}}"')
    assert asked.set("performance") is None
    assert governors(cpus) == ["performance"] * 3
    assert asked.put_back() is None
    assert governors(cpus) == BEFORE


def test_who_may_not_use_sudo_either_is_told_over_ssh(shell, program, cpus, read_only, tmp_path):
    program("sudo", "echo 'sudo: a password is required' >&2; exit 1")
    asked = Governor(shell, str(tmp_path / "state"), root=str(read_only))
    reason = asked.set("performance")
    assert "cpu0 stays at ondemand" in reason
    assert "a password is required" in reason
    assert "sudoers" in reason
    assert not (tmp_path / "state").exists()
