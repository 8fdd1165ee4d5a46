"""Where an SSH device is and how it is reached: its file, then ssh_config(5), then the defaults."""

import getpass
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.base import DeviceError
from devices.ssh.config_text import text_for

SSH_PORT = 22
MAX_JUMPS = 8

_PLACE = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<bracketed>[^]]+)]|(?P<host>[^:]+|[^:]*:.*:.*?))(?::(?P<port>\d+))?"
)


@dataclass(frozen=True, kw_only=True)
class Destination:
    """What a device file says, or a ProxyJump; None leaves it to ssh_config and the defaults."""

    host: str
    port: int | None = None
    user: str | None = None
    identity_file: str | None = None
    known_hosts_file: str | None = None


@dataclass(frozen=True, kw_only=True)
class Route:
    """One hop and those before it. `key_name` is what known_hosts files call the host."""

    asked: Destination
    host: str
    port: int
    user: str
    key_name: str
    identity_files: tuple[str, ...]
    """Empty: the user's `id_*` in ~/.ssh."""
    identities_only: bool
    """Whether keys of the agent that are not among `identity_files` stay out."""
    known_hosts_files: tuple[Path, ...]
    """The first is where a newly accepted key goes."""
    jump: "Route | None" = None
    jump_words: str | None = None
    """ProxyJump, when it is not ssh_config's for this host."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}:{self.port}"

    def openssh_words(self) -> list[str]:
        """Options and destination by which OpenSSH's client, with the same ssh_config, gets here."""
        asked, words = self.asked, []
        if asked.known_hosts_file:
            words += ["-o", f'UserKnownHostsFile="{self.known_hosts_files[0]}"']
        if self.jump_words:
            words += ["-o", f"ProxyJump={self.jump_words}"]
        if asked.identity_file:
            words += ["-i", asked.identity_file]
        if asked.port:
            words += ["-p", str(asked.port)]
        return [*words, f"{asked.user or self.user}@{asked.host}"]


def resolve(device: str, wanted: Destination) -> Route:
    """The route to `wanted` with the user's ~/.ssh/config; raises DeviceError when that cannot be used."""
    if wanted.identity_file and not Path(wanted.identity_file).expanduser().is_file():
        raise DeviceError(f"{device}: no key at {wanted.identity_file}: correct `identity_file` in its file")
    return _hop(device, wanted, MAX_JUMPS)


def _hop(device: str, wanted: Destination, jumps_left: int, *, through: str | None = None) -> Route:
    said = _looked_up(device, wanted.host)
    if said.get("proxycommand") and through is None:
        raise DeviceError(
            f"{device}: ~/.ssh/config reaches {wanted.host} by ProxyCommand, which is not supported: "
            "write it as ProxyJump"
        )
    own = [wanted.identity_file] if wanted.identity_file else said.get("identityfile", [])
    host = str(said.get("hostname", wanted.host)).lower()
    port = wanted.port or _port(device, said.get("port", str(SSH_PORT)))
    return Route(
        asked=wanted,
        host=host,
        port=port,
        user=wanted.user or said.get("user") or getpass.getuser(),
        # An alias names one machine's key whatever the port.
        key_name=said.get("hostkeyalias", host if port == SSH_PORT else f"[{host}]:{port}"),
        identity_files=tuple(path for path in map(os.path.expanduser, own) if os.path.isfile(path)),  # noqa: PTH113 - strings
        identities_only=said.get("identitiesonly", "no").lower() == "yes",
        known_hosts_files=_known_hosts(wanted, said),
        jump=_jump(device, through or said.get("proxyjump"), jumps_left),
        jump_words=through,
    )


def _jump(device: str, said: str | None, jumps_left: int) -> Route | None:
    if not said or said.lower() == "none":
        return None
    if jumps_left == 0:
        raise DeviceError(f"{device}: over {MAX_JUMPS} jumps in ~/.ssh/config: do they lead in a circle?")
    # `a,b` is reached through a first: the last is the one that reaches us.
    before, _, last = said.rpartition(",")
    place = _PLACE.fullmatch(last.strip())
    if place is None:
        raise DeviceError(
            f"{device}: ~/.ssh/config has ProxyJump {said!r}, which is no user@host:port: correct it"
        )
    wanted = Destination(
        host=place["bracketed"] or place["host"],
        port=int(place["port"]) if place["port"] else None,
        user=place["user"],
    )
    return _hop(device, wanted, jumps_left - 1, through=before or None)


def _port(device: str, said: str) -> int:
    if said.isdecimal() and 0 < int(said) < 65536:
        return int(said)
    raise DeviceError(f"{device}: ~/.ssh/config has Port {said!r}, which is no port: correct it")


def _known_hosts(wanted: Destination, said: Mapping[str, Any]) -> tuple[Path, ...]:
    if wanted.known_hosts_file:
        return (Path(wanted.known_hosts_file).expanduser(),)
    users = str(said.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2")).split()
    everyones = str(said.get("globalknownhostsfile", "/etc/ssh/ssh_known_hosts")).split()
    return tuple(Path(name).expanduser() for name in (*users, *everyones) if name != "none")


def _looked_up(device: str, host: str) -> Mapping[str, Any]:
    import paramiko  # noqa: PLC0415 - a fifth of a second to import

    path = Path("~/.ssh/config").expanduser()
    if not path.is_file():
        return {}
    try:
        said: Mapping[str, Any] = paramiko.SSHConfig.from_text(text_for(host, path)).lookup(host)
    except (paramiko.SSHException, OSError, ValueError, subprocess.SubprocessError) as error:
        raise DeviceError(f"{device}: {path} cannot be read: {error}") from error
    return said
