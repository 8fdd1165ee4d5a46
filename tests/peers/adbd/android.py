"""What a release of Android answers: read from tests/peers/android, put into a root as its /system."""

import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import programs

RECORDED = Path(__file__).parent.parent / "android"
PROGRAMS = RECORDED / "bin"
ANSWERS = "etc/answers"
"""Where, below /system, the programs find what to say."""
_PROPERTY = re.compile(r"\[(.+?)\]: \[(.*)\]")


@dataclass(frozen=True, kw_only=True)
class Release:
    """One phone on one release; every file of it says in its header which."""

    properties: Mapping[str, str]
    features: tuple[str, ...]
    path: str
    """The PATH of what adbd runs."""
    sys_files: Mapping[str, str]
    """Below /sys; those that end in `!` are readable for root only."""
    cpuinfo: str
    settings: Mapping[str, str]
    plugged_any: int
    """What `svc power stayon true` writes."""
    dumpsys: Mapping[str, str]
    toybox: tuple[str, ...]
    """The commands of /system/bin that its toybox is."""
    other_commands: tuple[str, ...]
    """Those that are programs of their own, and stand in none of our PROGRAMS."""


def releases() -> list[str]:
    """What `read` takes."""
    return sorted(path.parent.name for path in RECORDED.glob("*/properties"))


def read(name: str) -> Release:
    """The release in the folder `name`; raises FileNotFoundError."""
    folder = RECORDED / name
    constants = _pairs(_without_header(folder / "constants"))
    return Release(
        properties=dict(_PROPERTY.findall(_without_header(folder / "properties"))),
        features=tuple(constants["features"].split(",")),
        path=constants["path"],
        sys_files={path: f"{value}\n" for path, value in _pairs(_without_header(folder / "sys")).items()},
        cpuinfo=_without_header(folder / "cpuinfo"),
        settings=_pairs(_without_header(folder / "settings_global")),
        plugged_any=int(constants["plugged_any"]),
        dumpsys={path.name: _without_header(path) for path in sorted((folder / "dumpsys").iterdir())},
        toybox=tuple(_without_header(folder / "toybox").split()),
        other_commands=tuple(constants["other_commands"].split()),
    )


def install(release: Release, root: Path, source: programs.Debian, *, hidden: Collection[str] = ()) -> None:
    """Write /system and /lib below `root`: the programs, less the hidden, and what they answer."""
    system = root / "system"
    folder = system / "bin"
    folder.mkdir(parents=True)
    for program in sorted(PROGRAMS.iterdir()):
        if program.name not in hidden:
            shutil.copyfile(program, folder / program.name)
            (folder / program.name).chmod(0o755)
    commands = [name for name in release.toybox if name not in hidden]
    others = [name for name in release.other_commands if name not in hidden]
    programs.install(source, (*commands, *others), root)
    answers = system / ANSWERS
    (answers / "dumpsys").mkdir(parents=True)
    (answers / "toybox").write_text("".join(f"{name}\n" for name in commands))
    (answers / "plugged_any").write_text(f"{release.plugged_any}\n")
    (answers / "cores").write_text(f"{release.cpuinfo.count('processor')}\n")
    write_properties(release.properties, system)
    for name, text in release.dumpsys.items():
        (answers / "dumpsys" / name).write_text(text)


def write_properties(properties: Mapping[str, str], system: Path) -> None:
    """What getprop prints."""
    lines = [f"[{name}]: [{value}]\n" for name, value in sorted(properties.items())]
    (system / ANSWERS / "properties").write_text("".join(lines))


def write_state(release: Release, data: Path) -> None:
    """What the programs remember in /data/system."""
    folder = data / "system"
    folder.mkdir(parents=True)
    (folder / "settings_global").write_text("".join(f"{k}={v}\n" for k, v in release.settings.items()))
    (folder / "wakefulness").write_text("Awake\n")


def write_sys(files: Mapping[str, str], folder: Path) -> None:
    """The files of /sys; only root may read a name that ends in `!`."""
    for name, content in files.items():
        path = folder / name.removesuffix("!")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o600 if name.endswith("!") else 0o644)


def _without_header(path: Path) -> str:
    lines = path.read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("#"))


def _pairs(text: str) -> dict[str, str]:
    return {
        name.strip(): value.strip() for name, _, value in (line.partition("=") for line in text.splitlines())
    }
