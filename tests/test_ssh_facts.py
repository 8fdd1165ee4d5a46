"""What a device tells of itself over a real SSH server: one round trip each."""

import shutil

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from linux_trees import PI_4, plant
from peers.ssh_connections import Counting
from peers.sshd import Sshd

from devices import linux
from devices.base import TransientDeviceError
from devices.facts import Interpreter
from devices.local import LocalDevice
from devices.remote import snapshot
from devices.remote.shell import Shell
from devices.remote.snapshot import parse_pythons, parse_records, read_facts, read_telemetry

pytest_plugins = ["peers.fixtures", "peers.noisy_fixtures"]
pytestmark = pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one")

SHELLS = [["dash"], ["bash", "--posix"], ["busybox", "sh"], ["mksh"], ["ksh93"], ["yash"]]


def test_facts_over_ssh_are_those_of_the_local_driver_in_one_round_trip(noisy_shell, counted_transport):
    facts = read_facts(noisy_shell, driver="local")
    assert counted_transport.calls == 1
    here = LocalDevice("here").facts()
    assert facts.bits == 64
    assert msgspec.structs.replace(facts, interpreters=(), python=here.python, bits=here.bits) == here


def test_telemetry_over_ssh_is_that_of_the_local_driver_in_one_round_trip(noisy_shell, counted_transport):
    telemetry = read_telemetry(noisy_shell)
    assert counted_transport.calls == 1
    here = LocalDevice("here").telemetry()
    changing = {"at", "load_average", "memory_available_bytes", "frequencies_khz", "temperatures_celsius"}
    for field in set(telemetry.__struct_fields__) - changing:
        assert getattr(telemetry, field) == getattr(here, field), field
    assert telemetry.load_average == pytest.approx(here.load_average, abs=2)
    assert telemetry.temperatures_celsius.keys() == here.temperatures_celsius.keys()
    assert telemetry.at <= here.at


@pytest.mark.parametrize("words", [words for words in SHELLS if shutil.which(words[0])], ids=lambda w: w[0])
def test_any_posix_shell_reads_a_board_s_tree_as_python_does(noisy_connection, words, tmp_path):
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
    shell = Shell("board", Counting(noisy_connection, shell=" ".join([shutil.which(words[0]), *words[1:]])))
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


def test_a_machine_that_shows_nothing_has_no_facts_over_ssh_and_no_error(noisy_shell, tmp_path):
    facts = read_facts(noisy_shell, driver="ssh", root=str(tmp_path / "nowhere"))
    assert (facts.arch, facts.soc, facts.interpreters) == (None, None, ())
    assert read_telemetry(noisy_shell, root=str(tmp_path)).load_average is None


def test_content_over_ssh_that_looks_like_records_is_content(noisy_shell, tmp_path):
    fake = "\npb0123456789abcdef proc/loadavg\n9.99 1 1\n\x00\xff"
    plant(tmp_path, {"proc/meminfo": f"MemAvailable: 12 kB\n{fake}"})
    telemetry = read_telemetry(noisy_shell, root=str(tmp_path))
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


def test_vcgencmd_over_ssh_is_asked_when_the_kernel_does_not_tell(
    noisy_shell, counted_transport, program, tmp_path
):
    program("vcgencmd", 'echo "throttled=0x50005"')
    telemetry = read_telemetry(noisy_shell, root=str(tmp_path))
    assert counted_transport.calls == 1
    assert telemetry.throttled is True
    assert telemetry.throttle_flags == (
        "under_voltage",
        "throttled",
        "under_voltage_occurred",
        "throttled_occurred",
    )
    plant(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": "0\n"})
    assert read_telemetry(noisy_shell, root=str(tmp_path)).throttled is False


def test_a_vcgencmd_over_ssh_that_fails_tells_nothing(noisy_shell, program, tmp_path):
    program("vcgencmd", "echo VCHI initialization failed; exit 255")
    assert read_telemetry(noisy_shell, root=str(tmp_path)).throttled is None


def test_without_getconf_and_ldd_over_ssh_python_tells_the_c_library(noisy_shell, program):
    program("getconf", "exit 1")
    program("ldd", "exit 1")
    assert read_facts(noisy_shell, driver="ssh").libc == LocalDevice("here").facts().libc


@pytest.mark.parametrize("bits", [32, 64])
def test_a_32_bit_system_under_a_64_bit_kernel_is_told_over_ssh(noisy_shell, program, bits):
    program("getconf", f'[ "$1" = LONG_BIT ] && echo {bits}')
    facts = read_facts(noisy_shell, driver="ssh")
    assert facts.bits == bits
    assert facts.fingerprint == msgspec.structs.replace(facts, bits=None).fingerprint


def test_without_getconf_over_ssh_the_shell_s_own_file_tells_how_wide_a_word_is(noisy_shell, program):
    program("getconf", "exit 1")
    assert read_facts(noisy_shell, driver="ssh").bits == 64
    assert [snapshot.parse_bits(said) for said in ("32\n", "   1\n", "  2", "od: no", "")] == [
        32,
        32,
        64,
        None,
        None,
    ]


@pytest.mark.parametrize("read", [lambda shell: read_facts(shell, driver="ssh"), read_telemetry])
def test_an_answer_over_ssh_that_does_not_come_to_its_end_tells_nothing(noisy_connection, read):
    class Ending(Counting):
        """Its shell ends in the middle, as one does that finds a mistake or no memory."""

        def execute(self, line, **rest):
            assert "uname -m" in line or "sys/class" in line
            cut = line.replace("cd / || end", "cd / || end; line proc/loadavg proc/meminfo; flush; exit 2", 1)
            assert cut != line
            return super().execute(cut, **rest)

    with pytest.raises(TransientDeviceError, match=r"its answer was cut short \(exit code 2\)"):
        read(Shell("board", Ending(noisy_connection)))


def test_a_board_over_ssh_tells_its_own_processor_and_interpreter(board_shell):
    facts = read_facts(board_shell, driver="ssh")
    assert (facts.arch, facts.model) == ("aarch64", "pocketbench emulated aarch64 board")
    assert [(cluster.cores, cluster.max_khz) for cluster in facts.clusters] == [((0, 1), 1_500_000)]
    assert facts.interpreters == (
        Interpreter(path="/usr/bin/python3.11", version="3.11", soabi="cpython-311-aarch64-linux-gnu"),
    )
    assert read_telemetry(board_shell).temperatures_celsius == {"cpu-thermal": 45.2}
