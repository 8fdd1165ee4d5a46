"""Facts from /proc and /sys against trees as phones, boards, laptops and servers show them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linux_trees import ARM_CPUINFO, CPU, PI_4, POWER, facts_of, plant, telemetry_of

from devices.config import parse_cpu_list
from devices.facts import CpuCluster, Facts
from devices.linux import (
    FACT_FILES,
    parse_clusters,
    parse_core_names,
    parse_cpu_model,
    parse_libc,
    parse_os_release,
    read_files,
    read_telemetry_files,
)


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
