"""`binary` bundles: a user's directory with bundle.json and an executable that keeps the runner contract.

docs/runtimes.md says how to write one. Everything in it is checked before anything is sent anywhere.
"""

import difflib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec

from harness.bundles.base import MANIFEST, SCHEMA, Bundle
from harness.cache import file_sha256, tree_sha256
from harness.errors import PocketbenchError, UnknownNameError
from harness.platforms import SAME_ARCH
from harness.runtimes import RUNTIMES
from harness.spec import BundleInfo

ELF_MACHINES = {"x86_64": 62, "aarch64": 183, "armv7l": 40, "armv6l": 40, "i686": 3, "riscv64": 243}
"""Architecture -> e_machine in the header of its executables (elf(5))."""

PLATFORMS = tuple(f"linux-{arch}" for arch in ELF_MACHINES)

_PLACEHOLDER = re.compile(r"\{(\w*)\}")


class BinaryManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """bundle.json as its author writes it. `files` maps every file of the directory to its SHA-256."""

    schema: int
    kind: Literal["binary"]
    runtime: str
    version: str
    platform: str
    entry: tuple[str, ...]
    files: dict[str, str]
    env: dict[str, str] = {}


def binary_bundle(path: Path) -> Bundle:
    """The `binary` bundle in the directory `path`, checked.

    Raises PocketbenchError naming what is missing or wrong, and where.
    """
    path = path.absolute()
    where = path / MANIFEST
    manifest = _read(where)
    if manifest.runtime not in RUNTIMES:
        raise UnknownNameError("runtime", manifest.runtime, RUNTIMES, str(where))
    if not manifest.version:
        raise PocketbenchError(f"{where}: version is empty: write the runtime's version")
    arch = _arch(manifest.platform, where)
    _check_files(path, manifest, where)
    _check_placeholders(manifest, where)
    _check_entry(path, manifest, where, arch)
    digest = _digest(path, manifest)
    info = BundleInfo(
        key=digest[:32],
        kind="binary",
        runtime=manifest.runtime,
        version=manifest.version,
        platform=f"linux-{arch}",
        python=None,
        packages={},
    )
    return Bundle(path=path, digest=digest, info=info, entry=manifest.entry, environment=manifest.env)


def _digest(path: Path, manifest: BinaryManifest) -> str:
    """Of contents, and of which files are programs: a device keeps what it has by this name."""
    content = tree_sha256(path, [path / MANIFEST, *(path / name for name in manifest.files)])
    programs = sorted(name for name in manifest.files if (path / name).stat().st_mode & 0o111)
    return hashlib.sha256(f"{content}\n{programs!r}".encode()).hexdigest()


def _read(where: Path) -> BinaryManifest:
    try:
        raw = msgspec.json.decode(where.read_bytes())
    except FileNotFoundError as error:
        raise PocketbenchError(
            f"{where.parent} is no binary bundle: it has no {where.name} (docs/runtimes.md says how to "
            "write one)"
        ) from error
    except OSError as error:
        raise PocketbenchError(f"{where} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PocketbenchError(f"{where} is no JSON: {error}") from error
    if not isinstance(raw, dict):
        raise PocketbenchError(f"{where} must hold one JSON object")
    _check_keys(raw, where)
    try:
        return msgspec.convert(raw, BinaryManifest)
    except msgspec.ValidationError as error:
        message, _, key = str(error).partition(" - at `$.")
        named = f"{key.rstrip('`')}: " if key else ""
        raise PocketbenchError(f"{where}: {named}{message.replace('`', '')}") from error


def _check_keys(raw: Mapping[str, Any], where: Path) -> None:
    fields = {field.name: field.required for field in msgspec.structs.fields(BinaryManifest)}
    for key in raw:
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise PocketbenchError(f"{where}: unknown key {key!r}.{hint} Valid keys: {', '.join(fields)}.")
    missing = [name for name, required in fields.items() if required and name not in raw]
    if missing:
        raise PocketbenchError(f"{where}: {', '.join(missing)} missing (docs/runtimes.md has an example)")
    if raw["schema"] != SCHEMA:
        raise PocketbenchError(f"{where}: schema is {raw['schema']!r}, this pocketbench reads {SCHEMA}")


def _arch(platform: str, where: Path) -> str:
    system, _, machine = platform.partition("-")
    arch = SAME_ARCH.get(machine, machine)
    if system != "linux" or arch not in ELF_MACHINES:
        raise UnknownNameError("platform", platform, PLATFORMS, str(where))
    return arch


def _check_files(path: Path, manifest: BinaryManifest, where: Path) -> None:
    if not manifest.files:
        raise PocketbenchError(f"{where}: files is empty: name every file with its sha256")
    for name, sha256 in manifest.files.items():
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or str(pure) != name or name == MANIFEST:
            raise PocketbenchError(f"{where}: files: {name!r} is no plain path of a file inside the bundle")
        file = path / name
        if any(part.is_symlink() for part in (file, *file.parents) if path in part.parents):
            raise PocketbenchError(
                f"{where}: files: {name} is a link or lies behind one; put the file itself there"
            )
        if not file.is_file():
            raise PocketbenchError(f"{where}: files: {name} is not there or is no file")
        found = file_sha256(file)
        if found != sha256.lower():
            raise PocketbenchError(
                f"{where}: files: {name} has sha256 {found}, not {sha256}: it was changed or damaged. "
                "If it is the one you want, write its sha256 there"
            )
    extra = sorted(set(_found(path)) - set(manifest.files))
    if extra:
        raise PocketbenchError(
            f"{where}: {', '.join(extra[:5])}{' ...' if len(extra) > 5 else ''} in the directory and not in "
            "files: add with sha256, or delete"
        )


def _found(path: Path) -> Iterator[str]:
    for folder, _, names in os.walk(path):
        for name in names:
            relative = Path(folder, name).relative_to(path).as_posix()
            if relative != MANIFEST:
                yield relative


def _check_placeholders(manifest: BinaryManifest, where: Path) -> None:
    texts = {"entry": manifest.entry, "env": tuple(manifest.env.values())}
    for key, values in texts.items():
        for name in (found for value in values for found in _PLACEHOLDER.findall(value)):
            if name != "bundle":
                raise PocketbenchError(
                    f"{where}: {key}: unknown placeholder {{{name}}}; there is {{bundle}}, the bundle's path "
                    "on the device"
                )


def _check_entry(path: Path, manifest: BinaryManifest, where: Path, arch: str) -> None:
    if not manifest.entry:
        raise PocketbenchError(f'{where}: entry is empty: write the command, such as ["{{bundle}}/runner"]')
    program = manifest.entry[0]
    prefix = "{bundle}/"
    if not program.startswith(prefix):
        raise PocketbenchError(
            f"{where}: entry begins with {program!r}: it has to begin with {{bundle}}/ and a file of this "
            "bundle"
        )
    name = program.removeprefix(prefix)
    if name not in manifest.files:
        close = difflib.get_close_matches(name, manifest.files, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise PocketbenchError(f"{where}: entry: {name!r} is not in files.{hint}")
    file = path / name
    if not os.access(file, os.X_OK):
        raise PocketbenchError(f"{where}: entry: {file} is not executable: chmod +x it")
    with file.open("rb") as stream:
        header = stream.read(20)
    if header[:4] == b"\x7fELF" and (found := _elf_machine(header)) != ELF_MACHINES[arch]:
        names = [name for name, number in ELF_MACHINES.items() if number == found]
        raise PocketbenchError(
            f"{where}: entry: {name} is built for {names[0] if names else f'ELF machine {found}'}, "
            f"platform says {manifest.platform}"
        )


def _elf_machine(header: bytes) -> int:
    return int.from_bytes(header[18:20], "little" if header[5] == 1 else "big")
