"""Which package index the installers use: what is said to pip holds for uv too, and the other way round.

uv reads neither PIP_INDEX_URL nor pip.conf, and pip reads nothing of uv's, so a mirror that is known to one
of them would be passed by with the other. Each installer keeps its own settings; only one that names no
index of its own is given the other's. Extra indexes and folders are not passed on: which build of a pinned
version is taken could then depend on who installs it.
"""

import configparser
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from harness.cache import digest_of

UV_INDEXES: Final = tuple(
    f"UV_{name}" for name in ("DEFAULT_INDEX", "INDEX_URL", "INDEX", "EXTRA_INDEX_URL", "NO_INDEX")
)
"""Environment variables that name an index to uv."""

_UV_KEYS: Final = ("index", "index-url", "extra-index-url", "no-index")
_PIP_KEYS: Final = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert")


def installer_environment() -> dict[str, str]:
    """The environment for running uv: this process's, with pip's index where uv names none."""
    given = dict(os.environ)
    pip = pip_settings()
    if any(given.get(name) for name in UV_INDEXES) or _uv_file_settings():
        return given
    if _is_true(pip.get("no-index")) and "find-links" in pip:
        given["UV_NO_INDEX"] = "1"
        given.setdefault("UV_FIND_LINKS", ",".join(pip["find-links"].split()))
    elif "index-url" in pip:
        given["UV_DEFAULT_INDEX"] = pip["index-url"]
        if "trusted-host" in pip:
            given.setdefault("UV_INSECURE_HOST", pip["trusted-host"])
        if "cert" in pip:
            given.setdefault("SSL_CERT_FILE", pip["cert"])
    return given


def pip_environment() -> dict[str, str]:
    """The environment for running pip through uv: pip is told uv's index where it names none."""
    given = installer_environment()
    if "UV_NO_INDEX" not in os.environ:
        # For what pip installs, not for pip itself, which uv has to find somewhere.
        given.pop("UV_NO_INDEX", None)
    pip = pip_settings()
    index = _uv_default_index()
    if index and "index-url" not in pip and not _is_true(pip.get("no-index")):
        given["PIP_INDEX_URL"] = index
    return given


def index_settings() -> str:
    """Hash of where packages come from: what one index does not have another may."""
    names = (*UV_INDEXES, "UV_FIND_LINKS", "UV_CONFIG_FILE")
    variables = {name: os.environ.get(name) for name in names}
    return digest_of({"variables": variables, "uv": _uv_file_settings(), "pip": pip_settings()})


def pip_settings() -> dict[str, str]:
    """What pip would be told of indexes when it installs: its files, each over those before, then PIP_*.

    The order is pip's own: https://pip.pypa.io/en/stable/topics/configuration/
    """
    found: dict[str, str] = {}
    for path in _pip_files():
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue  # pip says so itself, when it is run
        for section in ("global", "install"):
            if parser.has_section(section):
                found.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    for key in _PIP_KEYS:
        if given := os.environ.get(f"PIP_{key.replace('-', '_').upper()}"):
            found[key] = given
    return {key: value for key in _PIP_KEYS if (value := found.get(key, "").strip())}


def _pip_files() -> Iterator[Path]:
    """pip's configuration files on this machine, the one that counts most at the end."""
    named = os.environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return
    home = Path.home()
    if sys.platform == "win32":
        yield Path(os.environ.get("PROGRAMDATA", "C:/ProgramData"), "pip", "pip.ini")
        yield home / "pip" / "pip.ini"
        yield Path(os.environ.get("APPDATA", home), "pip", "pip.ini")
        yield Path(sys.prefix, "pip.ini")
    else:
        folders = os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)
        yield from (Path(folder, "pip", "pip.conf") for folder in reversed(folders) if folder)
        yield Path("/etc/pip.conf")
        yield home / ".pip" / "pip.conf"
        yield Path(os.environ.get("XDG_CONFIG_HOME", home / ".config"), "pip", "pip.conf")
        # `pip config --site` of a virtual or conda environment writes here.
        yield from dict.fromkeys(Path(prefix, "pip.conf") for prefix in _prefixes())
    if named:
        yield Path(named)


def _prefixes() -> Iterator[str]:
    yield sys.prefix
    # pocketbench has an environment of its own when a tool manager installed it; the user stands in this one.
    yield from (os.environ[name] for name in ("CONDA_PREFIX", "VIRTUAL_ENV") if os.environ.get(name))


def _uv_default_index() -> str | None:
    """The one index that uv is told to use by default, without the name it may have."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if given := os.environ.get(name):
            return given.rpartition("=")[2] if "=" in given.partition("://")[0] else given
    told = _uv_file_settings()
    listed = told.get("index")
    for index in listed if isinstance(listed, list) else ():
        if isinstance(index, dict) and index.get("default"):
            return str(index.get("url"))
    return str(told["index-url"]) if "index-url" in told else None


def _uv_file_settings() -> dict[str, Any]:
    """What uv's own file says of indexes; the user's file goes before the system's.

    https://docs.astral.sh/uv/concepts/configuration-files/
    """
    found: dict[str, Any] = {}
    for path in _uv_files():
        try:
            told = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            continue  # uv says so itself, when it is run
        for table in (told, told.get("pip")):
            if isinstance(table, Mapping):
                found.update({key: table[key] for key in _UV_KEYS if key in table})
    return found


def _uv_files() -> Iterator[Path]:
    """uv's configuration files on this machine, the one that counts most at the end."""
    if named := os.environ.get("UV_CONFIG_FILE"):
        yield Path(named)
        return
    if _is_true(os.environ.get("UV_NO_CONFIG")):
        return
    folders = os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)
    yield Path("/etc/uv/uv.toml")
    yield from (Path(folder, "uv", "uv.toml") for folder in reversed(folders) if folder)
    yield Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"), "uv", "uv.toml")


def _is_true(value: str | None) -> bool:
    return (value or "").strip().lower() in {"1", "true", "yes", "on", "y", "t"}
