"""What makes a phone of the test phone: Android's programs, root and answers."""

import shutil

import pytest
from peers.adb_clients import MIB, TMP, digest, needs_a_phone, noise_file
from peers.adbd.arm_phone import ArmPhone
from peers.adbd.phone import Phone
from peers.adbd.wire import VERSION_CHECKSUMS

pytest_plugins = ["peers.adb_peer_fixtures"]

pytestmark = needs_a_phone


def test_adb_on_android_14_reads_what_the_phone_is_and_how_it_feels(adb):
    def shell(command):
        return adb("shell", command).stdout.decode()

    assert shell("getprop ro.product.model; getprop ro.build.version.sdk; getprop none") == "Pixel 7\n34\n\n"
    assert "[ro.soc.model]: [GS201]\n" in shell("getprop")
    assert "  level: 84\n" in shell("dumpsys battery")
    assert "HAL Ready: true\n" in shell("dumpsys thermalservice")
    assert shell("cat /sys/class/thermal/thermal_zone0/type") == "BIG\n"
    assert "Permission denied" in shell("cat /sys/class/thermal/thermal_zone5/temp 2>&1")
    assert shell("cat /sys/devices/system/cpu/cpu7/cpufreq/cpuinfo_max_freq") == "2850000\n"
    assert shell("grep -c 0xd05 /proc/cpuinfo") == "4\n"
    assert "load average" in shell("uptime")


def test_adb_keeps_the_screen_on_and_puts_it_back(adb):
    def shell(command):
        return adb("shell", command).stdout.decode()

    setting = "settings get global stay_on_while_plugged_in"
    assert shell(setting) == "0\n"
    assert shell(f"input keyevent KEYCODE_SLEEP; svc power stayon true; {setting}") == "15\n"
    power = shell("dumpsys power")
    assert "mWakefulness=Awake\n" in power
    assert "mStayOn=true\n" in power
    assert shell(f"settings put global stay_on_while_plugged_in 0; {setting}") == "0\n"


def test_adb_on_android_9_has_no_thermalservice_and_lists_by_the_first_protocol(peer_server, own, tmp_path):
    phone = own(Phone("android9"))
    done = peer_server.run(
        "-s", phone.serial, "shell", "getprop ro.build.version.sdk; dumpsys thermalservice"
    )
    assert (done.returncode, done.stdout) == (0, b"28\n")
    assert done.stderr == b"Can't find service: thermalservice\n"
    (tmp_path / "tree").mkdir()
    noise_file(tmp_path / "tree/file", 70_000)
    assert peer_server.run("-s", phone.serial, "push", str(tmp_path / "tree"), TMP).returncode == 0
    assert peer_server.run("-s", phone.serial, "pull", f"{TMP}/tree", str(tmp_path / "back")).returncode == 0
    assert digest(tmp_path / "back/file") == digest(tmp_path / "tree/file")


def test_adb_on_an_old_adbd_goes_without_the_shell_protocol_and_with_checksums(peer_server, own, tmp_path):
    phone = own(features=(), version=VERSION_CHECKSUMS, max_payload=4096)
    done = peer_server.run("-s", phone.serial, "shell", "echo out; exit 7")
    assert (done.returncode, done.stdout) == (0, b"out\n")
    some = noise_file(tmp_path / "some", MIB)
    assert peer_server.run("-s", phone.serial, "push", str(some), f"{TMP}/some").returncode == 0
    assert peer_server.run("-s", phone.serial, "pull", f"{TMP}/some", str(tmp_path / "back")).returncode == 0
    assert digest(tmp_path / "back") == digest(some)


def test_adb_pins_only_to_cores_the_phone_has(adb):
    assert adb("shell", "taskset c0 echo pinned").stdout == b"pinned\n"
    refused = adb("shell", "taskset 100 echo pinned")
    assert refused.returncode == 1
    assert b"Invalid argument" in refused.stderr


def test_adb_misses_commands_that_are_hidden(peer_server, own):
    phone = own(Phone(hidden={"taskset", "sha256sum"}))
    for command in ("taskset", "sha256sum", "toybox sha256sum"):
        assert peer_server.run("-s", phone.serial, "shell", command).returncode == 127


@pytest.mark.parametrize(("release", "lacks"), [("android14", "brctl"), ("android9", "nproc")])
def test_adb_finds_android_s_shell_and_the_release_s_toybox(peer_server, own, release, lacks):
    phone = own(Phone(release))

    def shell(command):
        return peer_server.run("-s", phone.serial, "shell", command)

    assert b"MIRBSD KSH" in shell("echo $KSH_VERSION").stdout
    assert shell("readlink /system/bin/tar").stdout == b"/system/libexec/toybox\n"
    assert shell("toybox xxd </dev/null").returncode == 0
    assert shell(f"toybox {lacks}").returncode == 127
    assert shell(lacks).returncode == 127


def test_adb_meets_no_program_but_the_phone_s(peer_server, own):
    phone = own()

    def shell(command):
        return peer_server.run("-s", phone.serial, "shell", command).stdout.decode()

    assert shell("ls -d /usr /sbin /tmp /run 2>/dev/null") == ""
    assert shell("readlink /bin; echo $TMPDIR") == "/system/bin\n/data/local/tmp\n"
    shutil.copy("/bin/true", phone.phone.path(f"{TMP}/debian"))
    assert "No such file" in shell(f"chmod 755 {TMP}/debian; {TMP}/debian 2>&1")


def test_adb_on_a_phone_before_android_9_has_no_bin(peer_server, own):
    phone = own(Phone("android9", has_bin=False))
    assert peer_server.run("-s", phone.serial, "shell", "ls /bin").returncode == 1
    assert peer_server.run("-s", phone.serial, "shell", "sh -c 'exit 7'").returncode == 7


def test_adb_can_run_programs_from_data_and_not_from_the_sdcard(adb):
    assert (
        adb("shell", f"cp /system/bin/true {TMP}/true && chmod 755 {TMP}/true && {TMP}/true").returncode == 0
    )
    denied = adb("shell", "cp /system/bin/true /sdcard/true && /sdcard/true")
    assert denied.returncode == 126
    assert b"Permission denied" in denied.stderr


def test_adb_runs_aarch64_programs_on_the_arm_phone(peer_server, own, tmp_path):
    if lacking := ArmPhone.missing():
        pytest.skip(f"the arm phone needs {lacking} (see tests/setup.sh)")
    phone = own(ArmPhone())
    said = peer_server.run("-s", phone.serial, "shell", "uname -m; id -u; getprop ro.product.model; exit 7")
    assert (said.returncode, said.stdout) == (7, b"aarch64\n2000\nPixel 7\n")
    some = noise_file(tmp_path / "some", MIB)
    assert peer_server.run("-s", phone.serial, "push", str(some), f"{TMP}/some").returncode == 0
    assert digest(phone.phone.path(f"{TMP}/some")) == digest(some)
