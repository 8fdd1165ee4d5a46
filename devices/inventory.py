"""Device files: TOML, found by name, decoded strictly, wrong ones explained down to the key."""

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import msgspec.toml

from devices.adb.driver import AdbConfig
from devices.base import Device, DeviceError
from devices.config import DeviceConfig
from devices.local import LOCK_TIMEOUT_S, LocalConfig
from devices.ssh.driver import SshConfig

DRIVERS: dict[str, type[DeviceConfig]] = {"local": LocalConfig, "ssh": SshConfig, "adb": AdbConfig}
"""Driver name -> the struct of its device files, whose `create` makes the device."""

PACKAGED = Path(__file__).with_name("inventory")


class InventoryError(DeviceError):
    """A device file is missing or wrong; the text names file, line and key, and what would be right."""


def find_device(
    name: str, dirs: Iterable[str | os.PathLike[str]] = (), *, lock_timeout_s: float = LOCK_TIMEOUT_S
) -> Device:
    """The device called `name`, created but not opened.

    Looked for in `dirs`, then among the packaged files, then in the user's configuration directory.
    `lock_timeout_s`: how long its `open` waits for another process that holds it. Raises InventoryError.
    """
    known = list_devices(dirs)
    if name not in known:
        raise InventoryError(
            f"unknown device {name!r}.{_hint(name, known)} Known: {', '.join(known) or 'none'}."
        )
    return read_config(known[name]).create(name, lock_timeout_s=lock_timeout_s)


def list_devices(dirs: Iterable[str | os.PathLike[str]] = ()) -> dict[str, Path]:
    """Name -> file of every device, sorted; the first directory that has a name wins.

    The files are not read. Raises InventoryError when one of `dirs` is no directory.
    """
    given = [Path(folder) for folder in dirs]
    for folder in given:
        if not folder.is_dir():
            raise InventoryError(f"device directory {folder} is not there or is no directory")
    found: dict[str, Path] = {}
    for folder in (*given, PACKAGED, _user_directory()):
        for path in folder.glob("*.toml"):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def read_config(path: Path) -> DeviceConfig:
    """Decode one device file; raises InventoryError."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = msgspec.toml.decode(text)
    except OSError as error:
        raise InventoryError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InventoryError(f"{path}: is not UTF-8 text: {error}") from error
    except msgspec.DecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        place = f"{path}:{line[1]}" if line else str(path)
        raise InventoryError(f"{place}: is not valid TOML: {error}") from error
    kind = _driver(path, text, raw)
    _check_keys(path, text, raw, kind)
    try:
        config = msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        message, _, key = str(error).partition(" - at `$.")
        raise InventoryError(_at(path, text, key.rstrip("`")) + message.replace("`", "")) from error
    try:
        _ = config.cpu_numbers
    except ValueError as error:
        raise InventoryError(_at(path, text, "cpus") + str(error)) from error
    return config


def _driver(path: Path, text: str, raw: dict[str, Any]) -> type[DeviceConfig]:
    if "driver" not in raw:
        misspelt = difflib.get_close_matches("driver", raw, n=1)
        hint = f" (is {misspelt[0]!r} meant to be it?)" if misspelt else ""
        raise InventoryError(f"{path}: key 'driver' is missing{hint}; write driver = \"local\"")
    name = raw["driver"]
    if not isinstance(name, str) or name not in DRIVERS:
        hint = _hint(str(name), DRIVERS)
        raise InventoryError(
            f"{_at(path, text, 'driver')}unknown driver {name!r}.{hint} Known: {', '.join(DRIVERS)}."
        )
    return DRIVERS[name]


def _check_keys(
    path: Path, text: str, raw: dict[str, Any], kind: type[msgspec.Struct], table: str = ""
) -> None:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in raw.items():
        full = f"{table}{key}"
        if key not in fields:
            place = f" in [{table.rstrip('.')}]" if table else ""
            raise InventoryError(
                f"{_at(path, text, full)}unknown key{place}.{_hint(key, fields)} "
                f"Valid keys: {', '.join(sorted(fields))}."
            )
        nested = fields[key]
        if isinstance(value, dict) and isinstance(nested, type) and issubclass(nested, msgspec.Struct):
            _check_keys(path, text, value, nested, f"{full}.")


def _at(path: Path, text: str, key: str) -> str:
    line = _line_of(text, key)
    place = f"{path}:{line}" if line else str(path)
    return f"{place}: key {key!r}: " if key else f"{place}: "


def _line_of(text: str, dotted: str) -> int | None:
    """Line that sets a key, or opens its table; None when it is written in some other way."""
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            table = header[1] + "."
            if header[1] == dotted:
                return number
        elif (key := re.match(r"\s*[\"']?([^\"'=]+?)[\"']?\s*=", line)) and table + key[1] == dotted:
            return number
    return None


def _hint(name: str, known: Iterable[str]) -> str:
    names: Sequence[str] = list(known)
    folded = {candidate.casefold(): candidate for candidate in names}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    return f" Did you mean {folded[close[0]]!r}?" if close else ""


def _user_directory() -> Path:
    from platformdirs import user_config_path  # noqa: PLC0415 - costs tens of milliseconds to import

    return user_config_path("pocketbench") / "devices"
