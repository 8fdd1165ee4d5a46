"""The test phone for a person: up until Ctrl-C, or as long as a command runs.

uv run python -m tests.peers.adbd results/phone [--arm64] [--release android14] [--speed 40] [-- COMMAND ...]
"""

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from .. import by_hand
from .android import releases
from .arm_phone import ArmPhone
from .auth import Authority
from .device import AdbDevice
from .phone import Phone
from .server import AdbServer


class ServedPhone:
    """A phone, and an adb server of its own that it knows; what they leave is in `directory`."""

    device_name = "phone"

    def __init__(
        self, phone_class: type[Phone], release: str, *, directory: Path, bytes_per_s: float = 0.0
    ) -> None:
        self._phone_class = phone_class
        self._release = release
        self._bytes_per_s = bytes_per_s
        self._server = AdbServer(directory / "adb")
        self._phone: AdbDevice | None = None
        self._up = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as up:
            up.enter_context(self._server)
            known = Authority([self._server.public_key])
            self._phone = up.enter_context(AdbDevice(self._phone_class(self._release), authority=known))
            self._phone.faults.limit_speed(self._bytes_per_s)
            self._server.connect(self._phone.serial)
            self._up = up.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._up.close()

    def device_file(self) -> str:
        """The text of a device file by which the harness reaches this phone."""
        return (
            'driver = "adb"\n'
            f'serial = "{self._phone.serial}"\n'
            f"server_port = {self._server.port}\n"
            "emulated = true\n"
        )

    def way_in(self) -> str:
        """The command line by which a person gets in."""
        adb = shlex.quote(str(self._server.program))
        return f"{adb} -P {self._server.port} -s {self._phone.serial} shell"


def main() -> int:
    """As by_hand.main."""
    parser = by_hand.parser("adbd", "A phone that is none: what runs on it proves plumbing, never speed")
    parser.add_argument("--arm64", action="store_true", help="its programs are aarch64, under qemu-user")
    parser.add_argument("--release", choices=releases(), default="android14")
    parser.add_argument(
        "--speed", type=float, default=0.0, metavar="MB/S", help="of its cable: 40 is a good USB 2"
    )
    arguments = by_hand.parsed(parser)
    phone_class = ArmPhone if arguments.arm64 else Phone
    if lacking := phone_class.missing():
        return by_hand.refused(lacking)
    peer = ServedPhone(
        phone_class,
        arguments.release,
        directory=arguments.directory.absolute(),
        bytes_per_s=arguments.speed * 1e6,
    )
    return by_hand.keep_up(peer, arguments.directory, arguments.command)


if __name__ == "__main__":
    raise SystemExit(main())
