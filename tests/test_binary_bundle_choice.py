"""Which binary bundle is taken: of what is supplied, the one that fits runtime, version and processor."""

from pathlib import Path

import pytest
from peers.binary_bundles import rewrite, sha256

from devices.facts import Interpreter
from harness.bundles import binary_bundle, bundle_for
from harness.bundles.choice import _fits
from harness.cache import Cache
from harness.errors import UnsupportedError
from harness.models.zoo import load_zoo
from harness.platforms import HOST, Platform
from harness.preparation import make_ready
from harness.runtimes import RUNTIMES
from harness.spec import Case

pytest_plugins = ["peers.c_runner_fixtures"]

PROJECT = Path(__file__).parent.parent


def for_platform(bundle_folder, platform, **changes):
    """The bundle with a script in place of its program: one for any platform."""
    (bundle_folder / "runner").write_text("#!/bin/sh\n")
    files = {"runner": sha256(bundle_folder / "runner")}
    rewrite(bundle_folder, platform=platform, files=files, **changes)
    return binary_bundle(bundle_folder)


def test_a_supplied_bundle_wins_where_runtime_version_and_processor_fit(bundle_folder):
    supplied, ncnn = binary_bundle(bundle_folder), RUNTIMES["ncnn"]
    version = supplied.info.version
    assert bundle_for(Cache(), ncnn, version, HOST, [supplied]) == supplied
    assert bundle_for(Cache(), ncnn, version, Platform(arch="x86_64"), [supplied]) == supplied
    assert bundle_for(Cache(), ncnn, "1.0.20260526", HOST, [supplied]).info.kind == "wheel"
    onnxruntime = RUNTIMES["onnxruntime"]
    assert (
        bundle_for(Cache(), onnxruntime, onnxruntime.default_version, HOST, [supplied]).info.kind == "wheel"
    )


def test_a_32_bit_bundle_fits_a_32_bit_system_under_a_64_bit_kernel(bundle_folder):
    supplied = for_platform(bundle_folder, "linux-armv7l")
    soabi = "cpython-311-arm-linux-gnueabihf"
    found = Interpreter(path="/usr/bin/python3", version="3.11", soabi=soabi)
    board = Platform(arch="aarch64", libc="glibc 2.36", interpreters=(found,))
    assert bundle_for(Cache(), RUNTIMES["ncnn"], supplied.info.version, board, [supplied]) == supplied


@pytest.mark.parametrize(
    ("built_for", "kernel", "bits", "fits"),
    [
        ("linux-armv7l", "aarch64", 32, True),
        ("linux-armv6l", "aarch64", 32, True),
        ("linux-armv6l", "armv7l", 32, True),
        ("linux-i686", "x86_64", 32, True),
        ("linux-armv7l", "armv7l", None, True),
        ("linux-aarch64", "aarch64", 32, True),
        ("linux-armv7l", "aarch64", 64, False),
        ("linux-armv7l", "aarch64", None, False),
        ("linux-armv7l", "armv6l", 32, False),
        ("linux-aarch64", "armv7l", 32, False),
    ],
)
def test_a_bundle_fits_what_the_system_s_programs_are_also_without_a_python_there(
    bundle_folder, built_for, kernel, bits, fits
):
    supplied = for_platform(bundle_folder, built_for)
    assert _fits(supplied, Platform(arch=kernel, libc="glibc 2.36", bits=bits)) is fits


def test_a_first_raspberry_pi_gets_no_bundle_of_its_successors(bundle_folder):
    supplied = for_platform(bundle_folder, "linux-armv7l")
    python = Interpreter(path="/usr/bin/python3", version="3.11", soabi="cpython-311-arm-linux-gnueabihf")
    zero = Platform(arch="armv6l", libc="glibc 2.36", interpreters=(python,))
    assert not _fits(supplied, zero)


@pytest.mark.parametrize(("arch", "kernels"), [("aarch64", "arm"), ("x86_64", "x86")])
def test_a_supplied_bundle_gets_a_mobile_file_for_its_own_processor(bundle_folder, arch, kernels):
    supplied = for_platform(bundle_folder, f"linux-{arch}", runtime="paddlelite", version="2.13rc0")
    zoo = PROJECT / "suites" / "zoo.toml"
    case = Case(
        model="ppocr_cls",
        runtime="paddlelite",
        runtime_version="2.13rc0",
        precision="fp32",
        threads=1,
        backend="mobile",
    )
    made = make_ready(Cache(), load_zoo(zoo)[case.model], zoo.parent, case, Platform(arch=arch), [supplied])
    assert made.bundle == supplied
    assert made.artifact.record.options["valid_targets"] == kernels
    assert list(made.artifact.record.files) == ["nb"]


def test_a_supplied_bundle_for_another_processor_is_named_when_nothing_else_is_left(bundle_folder):
    rewrite(bundle_folder, runtime="paddlelite", version="2.13rc0")
    supplied, paddlelite = binary_bundle(bundle_folder), RUNTIMES["paddlelite"]
    with pytest.raises(UnsupportedError) as told:
        bundle_for(Cache(), paddlelite, "2.13rc0", Platform(arch="riscv64"), [supplied])
    assert f"the binary bundle {bundle_folder} is of 2.13rc0 for linux-x86_64" in str(told.value)
