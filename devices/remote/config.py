"""What the file of every remote device may say beyond what all may."""

from typing import Annotated

import msgspec

from devices.config import DeviceConfig
from devices.remote.settings import DEFAULT_WORKDIR, PATIENCE_S, RemoteSettings


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of the device's disk the store may take; None: as much as is free."""

    max_mb: Annotated[int, msgspec.Meta(ge=1)] | None = None


class RemoteConfig(DeviceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device behind a shell. `governor` is set while measuring and put back; unset, it is only read.

    `patience_s` is how long a device may be away that was there: a reboot, a file system check.
    """

    governor: str | None = None
    patience_s: Annotated[float, msgspec.Meta(ge=0)] = PATIENCE_S
    store: StoreConfig = StoreConfig()

    def settings(self, *, lock_timeout_s: float) -> RemoteSettings:
        """For RemoteDevice."""
        return RemoteSettings(
            workdir=self.workdir or DEFAULT_WORKDIR,
            cpus=self.cpu_numbers,
            cooldown_celsius=self.cooldown.max_celsius,
            emulated=self.emulated,
            governor=self.governor,
            quota_bytes=None if self.store.max_mb is None else self.store.max_mb * 2**20,
            lock_timeout_s=lock_timeout_s,
            patience_s=self.patience_s,
        )
