"""Which bundle a runtime gets on a platform: the user's own, else wheels, else Python and all."""

from collections.abc import Sequence

import msgspec

from devices.facts import Interpreter
from harness.bundles.base import Bundle
from harness.bundles.portable import MACHINES, portable_bundle
from harness.bundles.wheel import wheel_bundle
from harness.cache import Cache
from harness.errors import UnsupportedError
from harness.platforms import ABIS, HOST, Platform
from harness.runtimes import Runtime

RUNS_32_BIT = {"aarch64": ("armv7l", "armv6l"), "armv7l": ("armv6l",), "x86_64": ("i686",)}
"""Kernel -> what a 32-bit system on it runs besides its own; an armv6l lacks instructions of an armv7l."""

ADVICE = "supply a `binary` bundle with --bundle DIR (docs/runtimes.md says how to write one)"


def bundle_for(
    cache: Cache,
    runtime: Runtime,
    version: str,
    platform: Platform = HOST,
    supplied: Sequence[Bundle] = (),
) -> Bundle:
    """The bundle that runs `runtime` at `version` on `platform`, built when it is not there yet.

    The first of `supplied` (binary bundles) that is of this runtime and version and fits wins. Then packages
    for a Python of the platform, then, on a device, packages with a Python and a C library of their own.
    Raises UnsupportedError with the reason of each, and what to do.
    """
    of_name = [bundle for bundle in supplied if bundle.info.runtime == runtime.name]
    for bundle in of_name:
        if bundle.info.version == version and _fits(bundle, platform):
            return bundle
    try:
        return wheel_bundle(cache, runtime, version, platform)
    except UnsupportedError as error:
        without_wheel = error
    try:
        if not platform.host:
            return portable_bundle(cache, runtime, version, platform)
    except UnsupportedError as error:
        # Nobody expects a phone to have a Python.
        reasons = [error] if platform.abis and not platform.interpreters else [without_wheel, error]
        raise _impossible(cache, runtime, version, platform, of_name, reasons) from error
    if not of_name:
        raise without_wheel
    raise _impossible(cache, runtime, version, platform, of_name, [without_wheel])


def _fits(bundle: Bundle, platform: Platform) -> bool:
    arch = bundle.info.platform.removeprefix("linux-")
    if arch == platform.processor:
        return True
    if platform.host:
        return False
    return platform.runs_32_bit_programs and arch in RUNS_32_BIT.get(platform.arch or "", ())


def _impossible(
    cache: Cache,
    runtime: Runtime,
    version: str,
    platform: Platform,
    supplied: Sequence[Bundle],
    reasons: Sequence[UnsupportedError],
) -> UnsupportedError:
    told = [str(reason) for reason in reasons]
    advice = _build_for(platform) if platform.abis else ADVICE
    if platform.arch in MACHINES and all(i.version != runtime.python for i in platform.interpreters):
        other = _with_preferred_python(cache, runtime, version, platform)
        if other is not None:
            # It says what there is for the processor, where the others speak of their Pythons.
            told = [str(other)]
        elif not platform.abis:
            advice = f"install Python {runtime.python} there, or {ADVICE}"
    told += [f"the binary bundle {b.path} is of {b.info.version} for {_named(b, platform)}" for b in supplied]
    lacks = "has no wheel for" if platform.preferring(runtime.python) else "cannot be brought to"
    return UnsupportedError(
        f"{runtime.name} {version} {lacks} {platform.label}: {'; '.join(told)}. To measure it, {advice}"
    )


def _named(bundle: Bundle, platform: Platform) -> str:
    """What a supplied bundle is for, also in Android's words when `platform` is a phone."""
    arch = bundle.info.platform.removeprefix("linux-")
    abi = next((abi for abi, of_abi in ABIS.items() if of_abi == arch), None)
    return f"{bundle.info.platform} ({abi})" if platform.abis and abi else bundle.info.platform


def _build_for(phone: Platform) -> str:
    """What to do where nothing runs on a phone."""
    abi = next((abi for abi in phone.abis if abi in ABIS), None)
    target = f" for linux-{ABIS[abi]} ({abi})" if abi else ""
    return f"build a `binary` bundle{target} and supply it with --bundle DIR (docs/android.md)"


def _with_preferred_python(
    cache: Cache, runtime: Runtime, version: str, platform: Platform
) -> UnsupportedError | None:
    """Why the runtime would not run either if the device had the Python it prefers; None: it would."""
    family = "musl" if (platform.libc or "").startswith("musl") else "gnu"
    digits = runtime.python.replace(".", "")
    imagined = Interpreter(
        path="if it were there",
        version=runtime.python,
        soabi=f"cpython-{digits}-{platform.arch}-linux-{family}",
    )
    try:
        wheel_bundle(cache, runtime, version, msgspec.structs.replace(platform, interpreters=(imagined,)))
    except UnsupportedError as error:
        return error
    return None
