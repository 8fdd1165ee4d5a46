"""Which wheels fit a device: what its interpreters say of themselves, and what uv knows."""

import re
import subprocess

import msgspec
import pytest
import uv

from devices.facts import Facts, Interpreter
from harness.bundles.pip import platform_tags
from harness.errors import UnsupportedError
from harness.platforms import GLIBC_MINORS, HOST, Platform, platform_of, wheel_platform


def interpreter(version="3.11", triplet="aarch64-linux-gnu", soabi=None):
    return Interpreter(
        path=f"/usr/bin/python{version}",
        version=version,
        soabi=soabi or f"cpython-{version.replace('.', '')}-{triplet}",
    )


def board(arch="aarch64", libc="glibc 2.36", *interpreters):
    return Platform(arch=arch, libc=libc, interpreters=interpreters)


def test_the_local_driver_is_this_machine_whatever_its_facts_say():
    assert platform_of(Facts(driver="local", arch="aarch64", interpreters=(interpreter(),))) is HOST
    assert HOST.label == "this machine"


def test_another_driver_is_a_platform_of_what_its_facts_say():
    facts = Facts(driver="ssh", arch="aarch64", libc="glibc 2.36", interpreters=(interpreter(),), serial="7")
    assert platform_of(facts) == board("aarch64", "glibc 2.36", interpreter())
    assert platform_of(msgspec.structs.replace(facts, bits=32)).bits == 32
    assert platform_of(facts).label == "aarch64 with glibc 2.36"


def test_two_boards_of_one_make_are_one_platform():
    facts = [Facts(driver="ssh", arch="arm64", libc="glibc 2.31", serial=serial) for serial in "ab"]
    assert len({platform_of(one) for one in facts}) == 1
    assert platform_of(facts[0]).arch == "aarch64", "however the kernel calls it"


@pytest.mark.parametrize(
    ("libc", "expected"),
    [
        ("glibc 2.17", "2_17"),
        ("glibc 2.27", "2_17"),
        ("glibc 2.28", "2_28"),
        ("glibc 2.30", "2_28"),
        ("glibc 2.36", "2_36"),
        ("glibc 2.40", "2_40"),
        ("glibc 2.99", "2_40"),
        ("glibc 3.0", "2_40"),
        (None, "2_17"),
    ],
)
@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_wheels_are_for_the_newest_glibc_that_uv_knows_and_the_device_has(arch, libc, expected):
    python = interpreter(triplet=f"{arch}-linux-gnu")
    assert wheel_platform(board(arch, libc), python) == f"{arch}-manylinux_{expected}"


def test_uv_knows_every_platform_that_it_is_asked_for():
    printed = subprocess.run(
        [uv.find_uv_bin(), "pip", "install", "--help"], capture_output=True, text=True, check=True
    ).stdout
    known = set(re.findall(r"[\w-]+-[\w-]+", printed))
    for arch in ("aarch64", "x86_64"):
        assert {f"{arch}-manylinux_2_{minor}" for minor in GLIBC_MINORS} <= known
        assert f"{arch}-unknown-linux-musl" in known


def test_a_32_bit_system_under_a_64_bit_kernel_is_what_its_programs_are():
    python = interpreter(triplet="arm-linux-gnueabihf")
    assert wheel_platform(board("aarch64", "glibc 2.36"), python) == "armv7l-manylinux_2_36"
    assert wheel_platform(board("armv7l", "glibc 2.31"), python) == "armv7l-manylinux_2_31"


def test_the_first_raspberry_pis_get_no_wheels_of_their_successors():
    python = interpreter(triplet="arm-linux-gnueabihf")
    assert wheel_platform(board("armv6l", "glibc 2.36"), python) == "armv6l-manylinux_2_36"
    assert platform_tags("armv6l-manylinux_2_36") == ("linux_armv6l",)


def test_a_32_bit_arm_takes_wheels_of_every_older_glibc_the_best_first():
    tags = platform_tags("armv7l-manylinux_2_31")
    assert tags[0] == "manylinux_2_31_armv7l"
    assert "manylinux_2_17_armv7l" in tags
    assert "manylinux_2_36_armv7l" not in tags
    assert tags[-2:] == ("linux_armv7l", "linux_armv6l")


@pytest.mark.parametrize("triplet", ["aarch64-linux-musl", "aarch64-linux-gnu"])
def test_on_musl_wheels_are_for_musl_whatever_an_older_python_calls_itself(triplet):
    assert wheel_platform(board("aarch64", "musl 1.2.4"), interpreter("3.9", triplet)) == (
        "aarch64-unknown-linux-musl"
    )


@pytest.mark.parametrize(
    ("libc", "soabi", "told"),
    [
        ("glibc 2.12", "cpython-38-x86_64-linux-gnu", "glibc 2.12 is older than any wheel's"),
        ("musl 1.1.24", "cpython-311-aarch64-linux-musl", "uses musl 1.1; wheels need musl 1.2"),
        ("musl 1.2.4", "cpython-311-arm-linux-musleabihf", "no ordinary CPython|no wheels are made"),
        ("glibc 2.39", "cpython-312-riscv64-linux-gnu", "is built for riscv64: no wheels are made for it"),
        ("glibc 2.36", "cpython-39-arm-linux-gnueabi", "is built for arm: no wheels are made for it"),
        ("glibc 2.36", "cpython-313t-aarch64-linux-gnu", "is no ordinary CPython"),
        ("glibc 2.36", "pypy39-pp73-aarch64-linux-gnu", "is no ordinary CPython"),
        ("bionic", "cpython-311-aarch64-linux-gnu", "no wheels are made for bionic"),
    ],
)
def test_an_interpreter_that_no_wheel_fits_is_told_with_the_reason(libc, soabi, told):
    with pytest.raises(UnsupportedError, match=told):
        wheel_platform(board("aarch64", libc), interpreter(soabi=soabi))


def test_interpreters_are_tried_preferred_first_then_newest_and_none_before_3_8():
    found = [interpreter(version) for version in ("3.7", "3.9", "3.13", "3.11", "3.10")]
    ordered = [i.version for i in board("aarch64", None, *found).preferring("3.11")]
    assert ordered == ["3.11", "3.13", "3.10", "3.9"]
