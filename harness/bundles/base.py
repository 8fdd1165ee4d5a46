"""What every bundle is: files, their hash, and how the runner in them is started on a device."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from harness.cache import tree_sha256
from harness.spec import BundleInfo, Frozen

SCHEMA = 1
MANIFEST = "bundle.json"


class Bundle(Frozen, frozen=True, kw_only=True):
    """A bundle on the host.

    `entry` is the command on the device, `environment` what is set for it; both may hold `{bundle}`, where it
    is staged, `entry` also `{python}`, which is `python`: the interpreter's path on the device.
    """

    path: Path
    digest: str
    info: BundleInfo
    entry: tuple[str, ...]
    environment: dict[str, str] = {}
    python: str | None = None

    @property
    def has_packages(self) -> bool:
        """Whether Python packages lie in it, which the runner package is put beside."""
        return self.info.kind != "binary"

    def command(self, staged: str) -> tuple[str, ...]:
        """How the runner is started when the bundle lies at `staged` on the device."""
        return tuple(_filled(part, staged, self.python or "") for part in self.entry)

    def variables(self, staged: str) -> dict[str, str]:
        """The bundle's own environment variables when it lies at `staged` on the device."""
        return {name: _filled(value, staged, self.python or "") for name, value in self.environment.items()}


class Manifest(Frozen, frozen=True, kw_only=True):
    """bundle.json of a bundle that was built here."""

    schema: int = SCHEMA
    info: BundleInfo
    entry: tuple[str, ...]
    environment: dict[str, str] = {}
    sha256: str


def write_manifest(
    path: Path,
    info: BundleInfo,
    entry: tuple[str, ...],
    *,
    environment: dict[str, str] | None = None,
    parts: Iterable[str] = ("site",),
) -> None:
    """Finish the bundle in `path`, whose content is the directories `parts`."""
    folders = [path / part for part in parts]
    if len(folders) == 1:
        digest = tree_sha256(folders[0])
    else:
        digest = tree_sha256(path, (p for folder in folders for p in folder.rglob("*") if p.is_file()))
    manifest = Manifest(info=info, entry=entry, environment=environment or {}, sha256=digest)
    (path / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))


def read_bundle(path: Path, python: str | None = None) -> Bundle:
    """The finished bundle in `path`, started with the interpreter `python` of the device."""
    manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    return Bundle(
        path=path,
        digest=manifest.sha256,
        info=manifest.info,
        entry=manifest.entry,
        environment=manifest.environment,
        python=python,
    )


def _filled(text: str, staged: str, python: str) -> str:
    # Not str.format: other braces are the text's own, and what is put in is never read again.
    return python.join(part.replace("{bundle}", staged) for part in text.split("{python}"))
