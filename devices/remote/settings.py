"""What a remote device is told about itself."""

from dataclasses import dataclass

DEFAULT_WORKDIR = "~/.cache/pocketbench"
PATIENCE_S = 120.0
"""How long a device that was there may be away: a board reboots in less."""


@dataclass(frozen=True, kw_only=True)
class RemoteSettings:
    """What device files say of every remote device."""

    workdir: str = DEFAULT_WORKDIR
    cpus: tuple[int, ...] | None = None
    cooldown_celsius: float | None = None
    emulated: bool = False
    governor: str | None = None
    quota_bytes: int | None = None
    lock_timeout_s: float = 60.0
    patience_s: float = PATIENCE_S
