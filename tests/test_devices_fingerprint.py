"""What makes a device the same one tomorrow: serial number, memory as installed, machine-id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linux_trees import PI_4, facts_of, plant

from devices.facts import INSTALLED_GIB, installed_gib
from devices.linux import FACT_FILES, parse_facts, read_files


def test_the_fingerprint_outlives_a_reboot_and_a_kernel_but_not_another_device():
    before = facts_of(PI_4)
    rebooted = {
        **PI_4,
        "proc/sys/kernel/random/boot_id": "other\n",
        "proc/sys/kernel/osrelease": "6.12.1\n",
        "proc/meminfo": "MemTotal:        3884120 kB\n",
    }
    assert facts_of(rebooted).fingerprint == before.fingerprint
    other = {**PI_4, "sys/firmware/devicetree/base/serial-number": "10000000abcdef02\0"}
    assert facts_of(other).fingerprint != before.fingerprint


def test_another_kernel_s_share_of_the_memory_is_no_other_device_but_other_memory_is():
    one, other, smaller = (
        facts_of({**PI_4, "proc/meminfo": f"MemTotal:  {kb} kB\n"}).fingerprint
        for kb in (7_998_784, 7_990_000, 3_990_000)
    )
    assert one == other
    assert one != smaller


@given(st.sampled_from(INSTALLED_GIB), st.floats(0.85, 1.0))
def test_what_kernel_and_firmware_keep_for_themselves_does_not_change_the_memory(size, share):
    assert installed_gib(int(size * 2**30 * share)) == size


@pytest.mark.parametrize(
    ("mem_total_kb", "gib"),
    [
        (7_998_784, 8),  # one board of 8 GB with two kernels
        (7_990_000, 8),
        (3_884_360, 4),
        (948_304, 1),  # a Raspberry Pi 3, less what its graphics keep
        (440_784, 0.5),
        (24_684_084, 24),
        (2**33, 4096),
    ],
)
def test_memory_is_what_is_installed_not_what_the_kernel_left(mem_total_kb, gib):
    assert installed_gib(mem_total_kb * 1024) == gib


MACHINE_ID = "0123456789abcdef0123456789abcdef"


def test_boards_of_one_make_without_a_serial_number_are_told_apart_by_their_system():
    def fingerprint(driver, machine_id, serial=None):
        files = {name: text for name, text in PI_4.items() if not name.endswith("serial-number")}
        if serial:
            files["sys/firmware/devicetree/base/serial-number"] = serial
        files["etc/machine-id"] = machine_id
        return parse_facts(files, driver=driver, arch="aarch64", libc=None, python=None).fingerprint

    one, other = f"{MACHINE_ID}\n", f"{MACHINE_ID[::-1]}\n"
    assert fingerprint("ssh", one) == fingerprint("ssh", one)
    assert fingerprint("ssh", one) != fingerprint("ssh", other)
    assert fingerprint("ssh", one, "10000000abcdef01") == fingerprint("ssh", other, "10000000abcdef01")
    assert fingerprint("local", one) == fingerprint("local", other), "this machine is itself"
    assert fingerprint("ssh", "") == fingerprint("ssh", "uninitialized\n")


def test_a_machine_id_is_never_told(tmp_path):
    files = {**PI_4, "etc/machine-id": f"{MACHINE_ID}\n"}
    facts = facts_of(read_files(plant(tmp_path, files), FACT_FILES))
    assert len(facts.machine) == 32
    assert MACHINE_ID not in repr(facts)


@pytest.mark.parametrize("text", ["", "\n", "uninitialized\n", "0" * 32, MACHINE_ID[:31], f"{MACHINE_ID}0"])
def test_a_system_without_a_machine_id_has_none(text):
    assert facts_of({"etc/machine-id": text}).machine is None
