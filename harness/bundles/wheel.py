"""`wheel` bundles: packages for a Python that is there already, this machine's or the device's."""

from pathlib import Path

from devices.facts import Interpreter
from harness.bundles.base import SCHEMA, Bundle, read_bundle, write_manifest
from harness.bundles.bytecode import NO_BYTECODE, compile_packages
from harness.bundles.pip import needs_pip, pip_install
from harness.cache import Cache
from harness.environments import ISOLATED, Packages, install, installed_versions
from harness.errors import UnsupportedError
from harness.interpreters import find_python
from harness.platforms import HOST, Platform, wheel_platform
from harness.runtimes import Runtime
from harness.spec import BundleInfo

ENTRY = ("{python}", *ISOLATED, "-m", "runner")


def wheel_bundle(cache: Cache, runtime: Runtime, version: str, platform: Platform = HOST) -> Bundle:
    """The `wheel` bundle of `runtime` at `version` for `platform`.

    A device's interpreters are tried one after the other, the runtime's preferred version first. Raises
    UnsupportedError when none can be built, saying why for each.
    """
    if platform.host:
        # Also when everything is cached: what is to be measured has to run.
        python = find_python(runtime.python)
        return read_bundle(_built(cache, runtime, version, runtime.python, None), str(python))
    candidates = platform.preferring(runtime.python)
    if not candidates:
        found = ", ".join(f"{i.version} ({i.path})" for i in platform.interpreters)
        raise UnsupportedError(f"it has no Python 3.8 or newer{f', only {found}' if found else ''}")
    reasons: dict[str, None] = {}
    for interpreter in candidates:
        try:
            return _for_interpreter(cache, runtime, version, platform, interpreter)
        except UnsupportedError as error:
            reasons[str(error)] = None
    raise UnsupportedError("; ".join(reasons))


def install_packages(packages: Packages, site: Path) -> None:
    """Install `packages` for a device into the new directory `site`, byte-compiled where that is possible."""
    if packages.platform is not None and needs_pip(packages.platform):
        pip_install(packages, site)
    else:
        install(packages, site)
    compile_packages(site, packages.python)


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


def _built(cache: Cache, runtime: Runtime, version: str, python: str, platform: str | None) -> Path:
    packages = packages_of(runtime, version, python, platform)
    key = {"kind": "wheel", "packages": packages, "schema": SCHEMA}

    def build(path: Path) -> None:
        if platform is None:
            install(packages, path / "site")
        else:
            install_packages(packages, path / "site")
        info = BundleInfo(
            key=cache.path("bundles", key).name,
            kind="wheel",
            runtime=runtime.name,
            version=version,
            platform=platform or "host",
            python=python,
            packages=installed_versions(path / "site"),
        )
        write_manifest(path, info, ENTRY, environment=NO_BYTECODE if platform else {})

    return cache.entry("bundles", key, build)
