"""How fast files get to a phone and back: `uv run python benchmarks/adb_transfer.py [--rounds 7]`

Against the test phone (tests/peers/adbd) on loopback, interleaved, new random content each round: one file of
100 MB and 1,000 of 1-20 KB, by `stage`, `push` and `pull` through both transports, and by Google's `adb push`
and `adb pull`. Asked for: 0.9 of adb's speed. Ours check every byte on both sides and rename, which adb does
not; `cat alone` is our stream without that. Nothing is said of a cable, the slowest part of all where one is.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import interleaved
import machine

from devices.remote import files, sending
from devices.remote.device import RemoteDevice
from devices.remote.store import Store

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from peers.adb_devices import TRANSPORTS, device_on
from peers.adbd.device import AdbDevice
from peers.adbd.server import AdbServer

PLACE = "/data/local/tmp/benchmark"


def main() -> None:
    """Print medians in seconds and the ratios to what adb needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(machine.describe())
    with (
        TemporaryDirectory(prefix="pocketbench-benchmark-") as scratch,
        AdbServer(Path(scratch)) as server,
        AdbDevice() as phone,
    ):
        server.connect(phone.serial)
        for title, make in (
            ("one file of 100 MB", interleaved.make_big),
            ("1,000 files of 1-20 KB", interleaved.make_small),
        ):
            compare(Path(scratch), server, phone, title, make, rounds)


def compare(
    folder: Path, server: AdbServer, phone: AdbDevice, title: str, make: interleaved.Make, rounds: int
) -> None:
    """There, then back."""
    source, back, remote = folder / "source" / "it", folder / "back", f"{PLACE}/it"
    devices = {kind: device_on(kind, server, phone, PLACE) for kind in TRANSPORTS}
    for device in devices.values():
        device.transport.connect()

    def adb(*words: str) -> None:
        done = server.run("-s", phone.serial, *words, timeout=600)
        if done.returncode != 0:
            sys.exit(f"adb {words[0]} failed: {done.stderr.decode()}")

    def clear_phone() -> None:
        adb("shell", f"rm -rf {PLACE}; mkdir {PLACE}")

    there: dict[str, Callable[[], object]] = {}
    home: dict[str, Callable[[], object]] = {}
    for kind, device in devices.items():
        store = Store(device.shell, f"{PLACE}/store", quota_bytes=None)
        there[f"stage, {kind}"] = partial(stage, store, source)
        there[f"push, {kind}"] = partial(files.push, device.shell, source, remote)
        home[f"pull, {kind}"] = partial(files.pull, device.shell, remote, back / "it")
        if make is interleaved.make_big:
            there[f"cat alone, {kind}"] = partial(send_unchecked, device, source, remote)
            home[f"cat alone, {kind}"] = partial(receive_unchecked, device, remote, back / "it")
    there["adb push"] = partial(adb, "push", str(source), remote)
    home["adb pull"] = partial(adb, "pull", remote, str(back / "it"))

    def renew() -> None:
        clear_phone()
        interleaved.renew(source, make)
        # A stage syncs, and the test phone's disk is this machine's: what was written for it does not count.
        os.sync()

    def renew_on_phone() -> None:
        interleaved.clear(back)
        back.mkdir()
        renew()
        adb("push", str(source), remote)

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


def send_unchecked(device: RemoteDevice, local: Path, remote: str) -> None:
    """Our stream and nothing else, to the phone."""
    size = local.stat().st_size
    stdin = sending.content(local, size, sending.Tally(size, None))
    done = device.shell.call(f"cat >{remote}", attempted="send it", stdin=stdin, timeout_s=600)
    if done.exit_code != 0:
        sys.exit(f"cat failed: {done.stderr.decode()}")


def receive_unchecked(device: RemoteDevice, remote: str, local: Path) -> None:
    """Our stream and nothing else, from the phone."""
    with local.open("wb") as stream:
        done = device.shell.call(f"cat {remote}", attempted="receive it", sink=stream.write, timeout_s=600)
    if done.exit_code != 0:
        sys.exit(f"cat failed: {done.stderr.decode()}")


if __name__ == "__main__":
    main()
