"""Parsers of /proc and /sys against trees as phones, boards, laptops and servers show them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.config import parse_cpu_list
from devices.facts import INSTALLED_GIB, CpuCluster, Facts, installed_gib
from devices.linux import (
    FACT_FILES,
    celsius,
    is_throttled,
    parse_battery,
    parse_clusters,
    parse_core_names,
    parse_cpu_model,
    parse_facts,
    parse_get_throttled,
    parse_libc,
    parse_os_release,
    parse_telemetry,
    parse_temperatures,
    read_files,
    read_telemetry_files,
)

CPU = "sys/devices/system/cpu"
THERMAL = "sys/class/thermal"
POWER = "sys/class/power_supply"

ARM_CPUINFO = "".join(
    f"processor\t: {core}\nBogoMIPS\t: 48.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n"
    f"CPU architecture: 8\nCPU part\t: {part}\n\n"
    for core, part in enumerate(["0xd05"] * 4 + ["0xd0b"] * 3 + ["0xfff"])
)

PI_4 = {
    "proc/cpuinfo": "".join(
        f"processor\t: {core}\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n" for core in range(4)
    )
    + "Revision\t: c03114\nSerial\t\t: 10000000abcdef01\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
    "proc/meminfo": "MemTotal:        3884360 kB\nMemFree:  100 kB\nMemAvailable:    3390112 kB\n",
    "proc/vmstat": "nr_free_pages 1205\noom_kill 2\nbadoom_kill 7\n",
    "proc/loadavg": "0.52 0.58 0.59 1/389 12345\n",
    "proc/sys/kernel/osrelease": "6.6.31-v8+\n",
    "proc/sys/kernel/random/boot_id": "40d8a29c-1d70-4341-b475-74647fd84f02\n",
    "etc/os-release": 'NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n',
    "sys/firmware/devicetree/base/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "sys/firmware/devicetree/base/compatible": "raspberrypi,4-model-b\0brcm,bcm2711\0",
    "sys/firmware/devicetree/base/serial-number": "10000000abcdef01\0",
    f"{CPU}/present": "0-3\n",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal\n",
    f"{THERMAL}/thermal_zone0/temp": "48686\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
} | {
    f"{CPU}/cpu{core}/cpufreq/{key}": value
    for core in range(4)
    for key, value in {
        "cpuinfo_max_freq": "1800000\n",
        "scaling_cur_freq": "1500000\n",
        "scaling_governor": "ondemand\n",
    }.items()
}


def plant(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def facts_of(files):
    return parse_facts(files, driver="local", arch="aarch64", libc="glibc 2.36", python="3.11.2")


def telemetry_of(files):
    return parse_telemetry(files, at="2026-11-22T18:00:00+00:00")


def test_a_board_s_tree_gives_all_its_facts(tmp_path):
    assert facts_of(read_files(plant(tmp_path, PI_4), FACT_FILES)) == Facts(
        driver="local",
        model="Raspberry Pi 4 Model B Rev 1.4",
        soc="bcm2711",
        arch="aarch64",
        os="Debian GNU/Linux",
        os_version="12",
        kernel="6.6.31-v8+",
        libc="glibc 2.36",
        clusters=(CpuCluster(cores=(0, 1, 2, 3), max_khz=1_800_000, name="Cortex-A72"),),
        cores=4,
        ram_bytes=3_884_360 * 1024,
        python="3.11.2",
        serial="10000000abcdef01",
        boot_id="40d8a29c-1d70-4341-b475-74647fd84f02",
    )


def test_a_board_s_tree_gives_all_its_telemetry(tmp_path):
    telemetry = telemetry_of(read_telemetry_files(plant(tmp_path, PI_4)))
    assert telemetry.temperatures_celsius == {"cpu-thermal": 48.686}
    assert telemetry.hottest_celsius == 48.686
    assert telemetry.frequencies_khz == {f"cpu{core}": 1_500_000 for core in range(4)}
    assert telemetry.governor == "ondemand"
    assert telemetry.throttled is True
    assert telemetry.throttle_flags == (
        "under_voltage",
        "throttled",
        "under_voltage_occurred",
        "throttled_occurred",
    )
    assert telemetry.load_average == 0.52
    assert telemetry.memory_available_bytes == 3_390_112 * 1024
    assert telemetry.oom_kills == 2
    assert (telemetry.battery_percent, telemetry.charging) == (None, None)


def test_an_empty_machine_is_unknown_in_everything_and_no_error(tmp_path):
    facts = facts_of(read_files(tmp_path, FACT_FILES))
    assert facts == Facts(driver="local", arch="aarch64", libc="glibc 2.36", python="3.11.2")
    telemetry = telemetry_of(read_telemetry_files(tmp_path))
    assert telemetry == telemetry_of({})
    assert (telemetry.governor, telemetry.throttled, telemetry.hottest_celsius) == (None, None, None)


@given(st.dictionaries(st.sampled_from(sorted(PI_4)), st.text(max_size=200)))
def test_no_content_of_a_file_makes_a_reading_an_error(spoiled):
    files = {**PI_4, f"{POWER}/b/type": "Battery", **spoiled}
    facts_of(files)
    telemetry_of(files)


def test_a_sensor_that_cannot_be_read_is_left_out(tmp_path):
    plant(tmp_path, PI_4)
    (tmp_path / THERMAL / "thermal_zone1" / "temp").mkdir(
        parents=True
    )  # reading it is an error, even to root
    assert telemetry_of(read_telemetry_files(tmp_path)).temperatures_celsius == {"cpu-thermal": 48.686}


def test_cores_are_grouped_by_maximum_frequency_and_kind_in_their_natural_order(tmp_path):
    files = {"proc/cpuinfo": ARM_CPUINFO, f"{CPU}/present": "0-7"}
    speeds = [1_800_000] * 4 + [2_400_000] * 3 + [2_800_000]
    files |= {f"{CPU}/cpu{core}/cpufreq/cpuinfo_max_freq": f"{khz}\n" for core, khz in enumerate(speeds)}
    assert parse_clusters(read_files(plant(tmp_path, files), FACT_FILES)) == (
        CpuCluster(cores=(0, 1, 2, 3), max_khz=1_800_000, name="Cortex-A55"),
        CpuCluster(cores=(4, 5, 6), max_khz=2_400_000, name="Cortex-A76"),
        CpuCluster(cores=(7,), max_khz=2_800_000, name=None),
    )


def test_cores_that_are_off_line_are_still_counted_as_present():
    files = {"proc/cpuinfo": ARM_CPUINFO.split("processor\t: 4")[0], f"{CPU}/present": "0-7"}
    assert facts_of(files).cores == 8


def test_cores_are_counted_from_cpuinfo_where_sys_does_not_say():
    assert facts_of({"proc/cpuinfo": ARM_CPUINFO}).cores == 8


def test_cpu_names_are_found_on_x86_and_on_old_and_new_arm():
    x86 = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9654\ncpu MHz\t\t: 2596\n"
    assert parse_cpu_model(x86) == "AMD EPYC 9654"
    assert parse_core_names(x86) == {0: "AMD EPYC 9654"}
    assert parse_cpu_model("processor\t: 0\n\nHardware\t: Qualcomm Technologies, Inc SM8150\n") == (
        "Qualcomm Technologies, Inc SM8150"
    )
    assert parse_cpu_model("Hardware\t: \nSerial\t: 1\n") is None
    assert parse_cpu_model(ARM_CPUINFO) is None


def test_the_maker_s_placeholders_are_no_model_name():
    dmi = {"sys/class/dmi/id/sys_vendor": "LENOVO\n", "sys/class/dmi/id/product_name": "21CB\n"}
    assert facts_of(dmi).model == "LENOVO 21CB"
    dmi = {
        "sys/class/dmi/id/sys_vendor": "To Be Filled By O.E.M.\n",
        "sys/class/dmi/id/product_name": "Default string",
    }
    assert facts_of(dmi).model is None


def test_os_release_is_read_with_and_without_quotes_and_from_its_second_place():
    assert parse_os_release("NAME='Alpine'\nVERSION_ID=3.20\n# X=1\n") == {
        "NAME": "Alpine",
        "VERSION_ID": "3.20",
    }
    assert facts_of({"usr/lib/os-release": "NAME=Fedora\n"}).os == "Fedora"


@pytest.mark.parametrize(
    ("printed", "libc"),
    [
        ("glibc 2.36", "glibc 2.36"),
        ("ldd (Debian GLIBC 2.36-9+deb12u13) 2.36\nCopyright", "glibc 2.36"),
        ("musl libc (x86_64)\nVersion 1.2.4\nDynamic Program Loader", "musl 1.2.4"),
        ("", None),
        ("ldd: not found", None),
    ],
)
def test_the_c_library_is_known_from_what_its_tools_print(printed, libc):
    assert parse_libc(printed) == libc


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (48_686, 48.686),  # millidegrees, the kernel's unit
        (412, 41.2),  # tenths
        (41, 41.0),  # degrees
        (-5_000, -5.0),
        (0, None),  # a sensor that is off
        (-40_000, None),
        (-274_000, None),  # no reading, as some drivers say it
        (200_000, None),
        (2_147_483_647, None),
    ],
)
def test_temperatures_come_out_in_degrees_whatever_their_unit(reading, expected):
    assert celsius(reading) == expected


@given(st.integers(min_value=1_501, max_value=149_999))
def test_every_plausible_millidegree_is_read_as_one(reading):
    assert celsius(reading) == reading / 1000


def test_zones_that_share_a_type_are_told_apart():
    files = {}
    for zone, (kind, value) in enumerate([("cpu-1", "40000"), ("cpu-1", "50000"), ("gpu", "45")]):
        files[f"{THERMAL}/thermal_zone{zone}/type"] = f"{kind}\n"
        files[f"{THERMAL}/thermal_zone{zone}/temp"] = f"{value}\n"
    assert parse_temperatures(files) == {"cpu-1 0": 40.0, "cpu-1 1": 50.0, "gpu": 45.0}


def test_only_sensors_in_the_cpu_are_taken_from_hwmon(tmp_path):
    hwmon = "sys/class/hwmon"
    plant(
        tmp_path,
        {
            f"{hwmon}/hwmon0/name": "nvme\n",
            f"{hwmon}/hwmon0/temp1_input": "70850\n",
            f"{hwmon}/hwmon1/name": "k10temp\n",
            f"{hwmon}/hwmon1/temp1_input": "51250\n",
            f"{hwmon}/hwmon1/temp1_label": "Tctl\n",
            f"{hwmon}/hwmon1/temp3_input": "49000\n",
        },
    )
    readings = telemetry_of(read_telemetry_files(tmp_path)).temperatures_celsius
    assert readings == {"k10temp Tctl": 51.25, "k10temp temp3": 49.0}


def test_governors_that_differ_are_all_named():
    files = {
        f"{CPU}/cpu{core}/cpufreq/scaling_governor": f"{governor}\n"
        for core, governor in enumerate(["schedutil", "schedutil", "performance"])
    }
    assert telemetry_of(files).governor == "performance,schedutil"


@pytest.mark.parametrize(
    ("status", "charging"),
    [("Charging", True), ("Discharging", False), ("Not charging", False), ("Full", False), ("Unknown", None)],
)
def test_the_battery_s_level_and_whether_it_charges_are_read(status, charging):
    files = {
        f"{POWER}/AC/type": "Mains\n",
        f"{POWER}/battery/type": "Battery\n",
        f"{POWER}/battery/capacity": "87\n",
        f"{POWER}/battery/status": f"{status}\n",
    }
    assert parse_battery(files) == (87.0, charging)


def test_the_battery_of_a_mouse_is_not_the_device_s():
    mouse = {"type": "Battery\n", "scope": "Device\n", "capacity": "10\n", "status": "Discharging\n"}
    assert parse_battery({f"{POWER}/mouse/{key}": value for key, value in mouse.items()}) == (None, None)


def test_throttle_flags_tell_now_from_the_past():
    assert parse_get_throttled("throttled=0x0\n") == ()
    assert is_throttled(()) is False
    past = parse_get_throttled("throttled=0x20000\n")
    assert past == ("frequency_capped_occurred",)
    assert is_throttled(past) is False
    assert is_throttled(parse_get_throttled("8")) is True
    assert parse_get_throttled("VCHI initialization failed") is None
    assert is_throttled(None) is None


def test_cpu_lists_are_read_as_the_kernel_writes_them():
    assert parse_cpu_list("0-3,6") == (0, 1, 2, 3, 6)
    assert parse_cpu_list(" 2 , 0 - 1 ") == (0, 1, 2)


@given(st.sets(st.integers(min_value=0, max_value=4095), min_size=1, max_size=40))
def test_a_cpu_list_of_single_numbers_is_their_sorted_tuple(numbers):
    assert parse_cpu_list(",".join(map(str, numbers))) == tuple(sorted(numbers))


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-", "-1", "1,,2", "0-99999999", "1.5", "²"])
def test_what_is_no_cpu_list_is_refused(text):
    with pytest.raises(ValueError, match="is no CPU list"):
        parse_cpu_list(text)


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
