"""`pocketbench doctor` and `pocketbench devices`, as they are typed."""

import re

from peers.doctor import STEPS, pocketbench, with_sshd
from peers.sshd import free_port, make_key

pytest_plugins = ["peers.doctor_fixtures"]


@with_sshd
def test_the_doctor_command_prints_a_line_per_step_over_ssh_and_the_advice_below(
    described, inventory, mounted_tmpfs
):
    described("fine")
    done = pocketbench("doctor", "fine", "--device-dir", inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^[✓!–] (\w+)", done.stdout, re.MULTILINE) == STEPS  # noqa: RUF001
    assert "\x1b" not in done.stdout
    described("broken", workdir=str(mounted_tmpfs("noexec")))
    done = pocketbench("doctor", "broken", "--device-dir", inventory)
    assert done.returncode == 1
    assert re.search(r"^✗ execute .*noexec.*\n {15}set `workdir`", done.stdout, re.MULTILINE)


def test_the_doctor_of_a_device_that_is_not_there_names_the_nearest():
    done = pocketbench("doctor", "locl")
    assert done.returncode == 2
    assert "Did you mean 'local'?" in done.stderr


def rows(printed):
    return {line.split()[0]: line for line in printed.splitlines()}


@with_sshd
def test_the_devices_command_tells_which_answer_over_ssh_and_why_others_do_not(
    described, inventory, tmp_path
):
    port = free_port()
    described("board", description="The [bold]board")
    described("asleep", port=port)
    described("locked", identity_file=str(make_key(tmp_path / "id_wrong")))
    done = pocketbench("devices", "--device-dir", inventory)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert found["local"].split() == ["local", "local", "this", "machine", "This", "machine", "reachable"]
    assert found["board"].rstrip().endswith("reachable")
    assert "The [bold]board" in found["board"]
    assert f"root@127.0.0.1:{port}" in found["asleep"]
    assert "cannot reach" in found["asleep"]
    assert "does not take any of our keys" in found["locked"]


def test_a_wrong_device_file_is_told_in_its_row_and_hides_no_other(inventory):
    (inventory / "bad.toml").write_text('driver = "local"\nworkdri = "/tmp"\n')
    done = pocketbench("devices", "--no-probe", "--device-dir", inventory)
    assert done.returncode == 1
    assert "Did you mean 'workdir'?" in rows(done.stdout)["bad"]
    assert "this machine" in rows(done.stdout)["local"]


@with_sshd
def test_devices_are_listed_without_being_asked_over_ssh(described, inventory):
    described("asleep", port=free_port())
    done = pocketbench("devices", "--no-probe", "--device-dir", inventory)
    assert done.returncode == 0
    assert "asleep" in done.stdout
    assert "cannot reach" not in done.stdout
    assert "reachable" not in done.stdout
