"""Bundles: the files of one runtime for one platform that can run on a device.

A bundle is a directory with `bundle.json`. The kind built here is `wheel`: packages for the device's own
Python. Two versions of a runtime are two bundles and live side by side.
"""

from pathlib import Path

import msgspec

from harness.cache import Cache, tree_sha256
from harness.environments import ISOLATED, Packages, install, installed_versions
from harness.runtimes import Runtime
from harness.spec import BundleInfo, Frozen

SCHEMA = 1


class Bundle(Frozen, frozen=True, kw_only=True):
    """A bundle on the host. `entry` is the command on the device with `{python}` to be filled in."""

    path: Path
    digest: str
    info: BundleInfo
    entry: tuple[str, ...]


class _Manifest(Frozen, frozen=True, kw_only=True):
    schema: int = SCHEMA
    info: BundleInfo
    entry: tuple[str, ...]
    sha256: str


def wheel_bundle(cache: Cache, runtime: Runtime, version: str, platform: str | None = None) -> Bundle:
    """The `wheel` bundle of `runtime` at `version` for `platform` (None: this machine).

    Raises UnsupportedError when it cannot be built, saying why.
    """
    packages = Packages(
        name=f"{runtime.name}@{version}",
        requirements=runtime.packages(version),
        python=runtime.python,
        platform=platform,
        dependencies=False,
    )
    key = {"kind": "wheel", "packages": packages, "schema": SCHEMA}

    def build(path: Path) -> None:
        install(packages, path / "site")
        info = BundleInfo(
            key=cache.path("bundles", key).name,
            kind="wheel",
            runtime=runtime.name,
            version=version,
            platform=platform or "host",
            python=runtime.python,
            packages=installed_versions(path / "site"),
        )
        manifest = _Manifest(
            info=info,
            entry=("{python}", *ISOLATED, "-m", "runner"),
            sha256=tree_sha256(path / "site"),
        )
        (path / "bundle.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))

    path = cache.entry("bundles", key, build)
    manifest = msgspec.json.decode((path / "bundle.json").read_bytes(), type=_Manifest)
    return Bundle(path=path, digest=manifest.sha256, info=manifest.info, entry=manifest.entry)
