"""How fast files get to a device over SSH: `uv run python benchmarks/transfer.py [--rounds 7]`

Against a private sshd on loopback, interleaved in one run, new random content each round: one 100 MB file by
`stage` and `push` and by `scp`, and 1,000 files of 1-20 KB by `stage` and `push` and by `tar | ssh`. Ours run
on the connection that a device holds open; OpenSSH is told with a connection of its own per transfer and
with one that is open already (ControlMaster). Ours also check every byte there and rename, which `scp` and
`tar` do not. Asked for: 0.9 of scp's speed, 1.0 of that of `tar | ssh`.
"""

import argparse
import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import machine

from devices.remote import files
from devices.remote.shell import Shell, quote
from devices.remote.store import Store
from devices.ssh.connection import SshConnection
from devices.ssh.routes import Destination, resolve

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from peers.sshd import Sshd

BIG_BYTES = 100_000_000
SMALL_FILES = 1_000

Way = Callable[[Path, str], None]
"""Gets a local file or tree to a path on the device."""


def main() -> None:
    """Print medians in seconds and the ratios to what OpenSSH needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(machine.describe())
    with TemporaryDirectory(prefix="pocketbench-benchmark-") as scratch:
        folder = Path(scratch)
        # Nobody's start-up files are part of the figures.
        with Sshd(folder / "sshd", environment={"HOME": scratch}) as sshd:
            compare(folder, sshd, rounds)


def compare(folder: Path, sshd: Sshd, rounds: int) -> None:
    """Both comparisons, over one open connection."""
    wanted = Destination(
        host=sshd.host,
        port=sshd.port,
        user=sshd.user,
        identity_file=str(sshd.identity_file),
        known_hosts_file=str(sshd.known_hosts),
    )
    connection = SshConnection("board", lambda: resolve("board", wanted))
    connection.connect()
    shell = Shell("board", connection)
    store = Store(shell, str(folder / "store"), quota_bytes=None)
    ours: dict[str, Way] = {
        "stage": lambda local, _: stage(store, local),
        "push": lambda local, remote: files.push(shell, local, remote),
    }
    options = ssh_options(sshd)
    shared = [*options, "-o", f"ControlPath={folder / 'master'}"]
    subprocess.run(["ssh", *shared, "-M", "-f", "-N", f"{sshd.user}@{sshd.host}"], check=True)
    try:
        theirs: dict[str, Way] = {
            "scp": lambda local, remote: scp(options, sshd, local, remote),
            "scp, open connection": lambda local, remote: scp(shared, sshd, local, remote),
        }
        report("one file of 100 MB", 0.9, run(folder, make_big, {**ours, **theirs}, rounds))
        theirs = {
            "tar | ssh": lambda local, remote: tar(options, sshd, local, remote),
            "tar | ssh, open connection": lambda local, remote: tar(shared, sshd, local, remote),
        }
        report("1,000 files of 1-20 KB", 1.0, run(folder, make_small, {**ours, **theirs}, rounds))
    finally:
        subprocess.run(["ssh", *shared, "-O", "exit", sshd.host], check=False, capture_output=True)
        connection.close()


def run(
    folder: Path, make: Callable[[Path, int], None], ways: dict[str, Way], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one round that does not count; the order turns each round."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        order = list(ways) if number % 2 else list(reversed(ways))
        for name in order:
            source, target = folder / "source" / "it", folder / "target"
            source.parent.mkdir()
            target.mkdir()
            make(source, random.getrandbits(64))
            began = time.monotonic()
            ways[name](source, str(target / "it"))
            seconds = time.monotonic() - began
            if number:
                taken[name].append(seconds)
            shutil.rmtree(source.parent)
            shutil.rmtree(target)
            shutil.rmtree(folder / "store", ignore_errors=True)
    return taken


def make_big(path: Path, seed: int) -> None:
    """One file that nothing can compress or share."""
    path.write_bytes(random.Random(seed).randbytes(BIG_BYTES))  # noqa: S311 - see run


def make_small(path: Path, seed: int) -> None:
    """Many files in a few folders."""
    source = random.Random(seed)  # noqa: S311 - see run
    for number in range(SMALL_FILES):
        file = path / f"package{number % 20}" / f"module{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source.randbytes(source.randint(1_000, 20_000)))


def stage(store: Store, local: Path) -> None:
    """Into an empty store."""
    store.stage(local, hashlib.sha256(os.urandom(16)).hexdigest())


def ssh_options(sshd: Sshd) -> list[str]:
    """What makes ssh and scp reach the private server and read no configuration."""
    return [
        *("-F", "none", "-q", "-o", f"Port={sshd.port}", "-o", f"IdentityFile={sshd.identity_file}"),
        *("-o", f"UserKnownHostsFile={sshd.known_hosts}", "-o", "IdentitiesOnly=yes"),
    ]


def scp(options: list[str], sshd: Sshd, local: Path, remote: str) -> None:
    """As a user would."""
    subprocess.run(["scp", *options, str(local), f"{sshd.user}@{sshd.host}:{remote}"], check=True)


def tar(options: list[str], sshd: Sshd, local: Path, remote: str) -> None:
    """As a user would."""
    unpack = f"mkdir -p {quote(remote)} && tar xf - -C {quote(remote)}"
    with subprocess.Popen(["tar", "cf", "-", "-C", str(local), "."], stdout=subprocess.PIPE) as packing:
        subprocess.run(
            ["ssh", *options, f"{sshd.user}@{sshd.host}", unpack], stdin=packing.stdout, check=True
        )
    if packing.returncode != 0:
        sys.exit("tar failed")


def report(title: str, asked: float, taken: dict[str, list[float]]) -> None:
    """Medians, and how many times as fast ours are."""
    median = {name: statistics.median(seconds) for name, seconds in taken.items()}
    print(f"\n{title}: median of {len(taken['stage'])} rounds, s")
    for name, seconds in taken.items():
        print(f"  {name:<28}{median[name]:7.3f}   {min(seconds):.3f} to {max(seconds):.3f}")
    for name in list(taken)[2:]:
        ratios = ", ".join(f"{own} {median[name] / median[own]:.2f}" for own in ("stage", "push"))
        goal = "" if "open" in name else f"   asked: at least {asked}"
        print(f"  speed of ours over {name}: {ratios}{goal}")


if __name__ == "__main__":
    main()
