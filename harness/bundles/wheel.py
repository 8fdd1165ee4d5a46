"""`wheel` bundles: packages for a Python that is there already, this machine's or the device's."""

import logging
from pathlib import Path
from typing import Any

from devices.facts import Interpreter
from harness.bundles.base import SCHEMA, Bundle, read_bundle, write_manifest
from harness.bundles.bytecode import NO_BYTECODE, can_compile, compile_packages
from harness.bundles.pip import needs_pip, pip_install
from harness.cache import Cache
from harness.environments import (
    ISOLATED,
    NoWheelError,
    Packages,
    install,
    installed_versions,
)
from harness.errors import PocketbenchError, UnsupportedError
from harness.interpreters import find_python
from harness.package_index import index_settings
from harness.platforms import HOST, Platform, wheel_platform
from harness.runtimes import Runtime
from harness.spec import BundleInfo

_log = logging.getLogger(__name__)

ENTRY = ("{python}", *ISOLATED, "-m", "runner")


def wheel_bundle(cache: Cache, runtime: Runtime, version: str, platform: Platform = HOST) -> Bundle:
    """The `wheel` bundle of `runtime` at `version` for `platform`.

    A device's interpreters are tried one after the other, the runtime's preferred version first. When the
    packages for one cannot be fetched, a bundle that is there already for a later one is taken. Raises
    UnsupportedError when none can be built, saying why for each.
    """
    if platform.host:
        # Also when everything is cached: what is to be measured has to run.
        python = find_python(runtime.python)
        try:
            return read_bundle(_built(cache, runtime, version, runtime.python, None), str(python))
        except NoWheelError as error:
            raise UnsupportedError(str(error)) from error
    candidates = platform.preferring(runtime.python)
    if not candidates:
        found = ", ".join(f"{i.version} ({i.path})" for i in platform.interpreters)
        raise UnsupportedError(f"it has no Python 3.8 or newer{f', only {found}' if found else ''}")
    reasons: dict[str, None] = {}
    for position, interpreter in enumerate(candidates, start=1):
        try:
            return _for_interpreter(cache, runtime, version, platform, interpreter)
        except UnsupportedError as error:
            reasons[str(error)] = None
        except PocketbenchError as error:
            for later in candidates[position:]:
                if (made := _there(cache, runtime, version, platform, later)) is not None:
                    _log.warning("%s; the bundle for Python %s is taken instead", error, later.version)
                    return made
            raise
    raise UnsupportedError("; ".join(reasons))


def install_packages(packages: Packages, site: Path) -> None:
    """Install `packages` for a device into the new directory `site`; raises as `install` does."""
    if packages.platform is not None and needs_pip(packages.platform):
        pip_install(packages, site)
    else:
        install(packages, site)


def shortened(error: UnsupportedError) -> str:
    """The part of an installer's refusal that says which wheels there are."""
    text = str(error)
    return text.rpartition("hint: ")[2] if "hint: " in text else text.partition(": ")[2] or text


def packages_of(runtime: Runtime, version: str, python: str, platform: str | None) -> Packages:
    """What is installed to run `runtime` at `version`."""
    return Packages(
        name=f"{runtime.name}@{version}",
        requirements=runtime.packages(version, python),
        python=python,
        platform=platform,
        dependencies=False,
    )


def _for_interpreter(
    cache: Cache, runtime: Runtime, version: str, platform: Platform, interpreter: Interpreter
) -> Bundle:
    wheels = wheel_platform(platform, interpreter)
    try:
        path = _built(cache, runtime, version, interpreter.version, wheels)
    except UnsupportedError as error:
        raise UnsupportedError(
            f"Python {interpreter.version} ({interpreter.path}): {shortened(error)}"
        ) from error
    return read_bundle(path, interpreter.path)


def _there(
    cache: Cache, runtime: Runtime, version: str, platform: Platform, interpreter: Interpreter
) -> Bundle | None:
    """The bundle for `interpreter` if it is in the cache."""
    try:
        wheels = wheel_platform(platform, interpreter)
    except UnsupportedError:
        return None
    path = cache.path("bundles", _key(cache, packages_of(runtime, version, interpreter.version, wheels)))
    return read_bundle(path, interpreter.path) if path.is_dir() else None


def _key(cache: Cache, packages: Packages) -> dict[str, Any]:
    """Name of a bundle; one that this machine cannot compile is another, unless the compiled one is there."""
    key = {"kind": "wheel", "packages": packages, "schema": SCHEMA}
    by_uv = packages.platform is None
    if by_uv or cache.path("bundles", key).is_dir() or can_compile(packages.python):
        return key
    return {**key, "compiled": False}


def _built(cache: Cache, runtime: Runtime, version: str, python: str, platform: str | None) -> Path:
    packages = packages_of(runtime, version, python, platform)
    key = _key(cache, packages)
    compiled = key.get("compiled", True)

    def build(path: Path) -> None:
        if platform is None:
            install(packages, path / "site")
        else:
            install_packages(packages, path / "site")
            if compiled:
                compile_packages(path / "site", python)
        info = BundleInfo(
            key=cache.path("bundles", key).name,
            kind="wheel",
            runtime=runtime.name,
            version=version,
            platform=platform or "host",
            python=python,
            packages=installed_versions(path / "site"),
            compiled=compiled,
        )
        write_manifest(path, info, ENTRY, environment=NO_BYTECODE if platform else {})

    return cache.entry("bundles", key, build, refusal=NoWheelError, given=index_settings())
