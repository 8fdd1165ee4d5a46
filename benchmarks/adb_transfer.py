"""How fast files get to a phone and back: `uv run python benchmarks/adb_transfer.py [--rounds 5]`

Against the test phone (tests/peers/adbd), a process of its own on loopback, interleaved, new random content
each round: one file of 100 MB and 1,000 of 1-20 KB, by `stage`, `push` and `pull` through both transports,
and by Google's `adb push` and `adb pull`. Asked for: push and pull at 0.9 of adb's speed.

It is measured with a cable of 40 MB/s, a good USB 2, and with no limit, where this machine's cores are all
there is. Ours check every byte on both sides and rename, which adb does not. A phone has cores of its own for
that; here host, adb server and phone share those of one machine.
"""

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import interleaved
import machine

from devices.remote import files
from devices.remote.store import Store

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from peers.adb_devices import TRANSPORTS, device_on
from peers.adbd.server import GOOGLE_ADB

ROOT = Path(__file__).parent.parent
PLACE = "/data/local/tmp/benchmark"
SPEEDS = (40.0, 0.0)
START_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Phone:
    """The test phone in its process, and the adb server that knows it."""

    serial: str
    port: int
    key: Path

    def adb(self, *words: str) -> None:
        """Run Google's client; ends the program when it fails."""
        command = [GOOGLE_ADB, "-P", str(self.port), "-s", self.serial, *words]
        environment = {"HOME": str(self.key.parents[1]), "PATH": os.environ["PATH"]}
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=600)
        if done.returncode != 0:
            sys.exit(f"adb {words[0]} failed: {done.stderr.decode()}")


def main() -> None:
    """Print medians in seconds and the ratios to what adb needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--speed", type=float, action="append", help="MB/s; 0 for no limit; repeatable")
    arguments = parser.parse_args()
    print(machine.describe())
    for speed in arguments.speed or SPEEDS:
        print(f"\n# {f'a cable of {speed:g} MB/s' if speed else 'no limit but this machine'}")
        scratch = TemporaryDirectory(prefix="pocketbench-benchmark-")
        with scratch as folder, phone_at(speed, folder) as phone:
            for title, make in (
                ("one file of 100 MB", interleaved.make_big),
                ("1,000 files of 1-20 KB", interleaved.make_small),
            ):
                compare(Path(folder), phone, title, make, arguments.rounds)


@contextmanager
def phone_at(speed: float, scratch: str) -> Iterator[Phone]:
    """A phone whose cable is that fast."""
    folder = Path(scratch, "phone")
    command = [sys.executable, "-m", "tests.peers.adbd", str(folder), "--speed", str(speed)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        file, deadline = folder / "phone.toml", time.monotonic() + START_TIMEOUT_S
        while not file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the test phone did not start: run sh tests/setup.sh")
            time.sleep(0.1)
        told = tomllib.loads(file.read_text())
        yield Phone(serial=told["serial"], port=told["server_port"], key=folder / "adb/.android/adbkey")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def compare(folder: Path, phone: Phone, title: str, make: interleaved.Make, rounds: int) -> None:
    """There, then back."""
    source, back, remote = folder / "source" / "it", folder / "back", f"{PLACE}/it"
    devices = {kind: device_on(kind, phone, phone, PLACE) for kind in TRANSPORTS}
    for device in devices.values():
        device.transport.connect()
    there: dict[str, Callable[[], object]] = {}
    home: dict[str, Callable[[], object]] = {}
    for kind, device in devices.items():
        store = Store(device.shell, f"{PLACE}/store", quota_bytes=None)
        there[f"stage, {kind}"] = partial(stage, store, source)
        there[f"push, {kind}"] = partial(files.push, device.shell, source, remote)
        home[f"pull, {kind}"] = partial(files.pull, device.shell, remote, back / "it")
    there["adb push"] = partial(phone.adb, "push", str(source), remote)
    home["adb pull"] = partial(phone.adb, "pull", remote, str(back / "it"))

    def renew() -> None:
        phone.adb("shell", f"rm -rf {PLACE}; mkdir {PLACE}")
        interleaved.renew(source, make)
        # A stage syncs, and the test phone's disk is this machine's: what was written for it does not count.
        os.sync()

    def renew_on_phone() -> None:
        interleaved.clear(back)
        back.mkdir()
        renew()
        phone.adb("push", str(source), remote)

    try:
        taken = interleaved.run(there, rounds, before=renew, after=lambda: None)
        interleaved.report(f"{title}, to the phone", taken, ours=list(there)[:-1], asked=0.9)
        taken = interleaved.run(home, rounds, before=renew_on_phone, after=lambda: None)
        interleaved.report(f"{title}, from the phone", taken, ours=list(home)[:-1], asked=0.9)
    finally:
        for device in devices.values():
            device.transport.close()


def stage(store: Store, local: Path) -> None:
    """Into an empty store."""
    store.stage(local, hashlib.sha256(os.urandom(16)).hexdigest())


if __name__ == "__main__":
    main()
