"""The emulated machine: what the board cannot show, a kernel of its own, memory that ends, a reboot."""

import pytest

pytest_plugins = ["peers.fixtures"]
pytestmark = pytest.mark.machine

EAT_MEMORY = "eaten = []\nwhile True: eaten.append(b'x' * (16 << 20))"


def test_ssh_reaches_a_machine_with_its_own_kernel(machine):
    assert machine.run("uname", "-m", user="bench").stdout == "aarch64\n"
    assert machine.run("sh", "-c", "ls /proc/device-tree/model; nproc").stdout.endswith("2\n")


def test_too_much_memory_is_ended_by_the_kernel_and_the_machine_lives(machine):
    done = machine.run("sh", "-c", f'python3 -c "{EAT_MEMORY}"; echo $?', user="bench", timeout_s=120)
    assert done.stdout == "137\n"
    assert "Out of memory: Killed process" in machine.run("dmesg").stdout


def test_a_reboot_is_a_new_boot_with_the_same_files_and_port(machine):
    port, boot = machine.port, machine.boot_id()
    machine.run("sh", "-c", "echo kept > kept", user="bench")
    machine.reboot()
    assert machine.port == port
    assert machine.boot_id() != boot
    assert machine.run("cat", "kept", user="bench").stdout == "kept\n"
