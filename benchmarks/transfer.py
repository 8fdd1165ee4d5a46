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
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import interleaved
import machine

from devices.remote import files
from devices.remote.shell import Shell, quote
from devices.remote.store import Store
from devices.ssh.connection import SshConnection
from devices.ssh.routes import Destination, resolve

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from peers.sshd import Sshd

Way = Callable[[], object]
"""Gets the local file or tree to the device."""


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
    source, target = folder / "source" / "it", folder / "target"
    remote = str(target / "it")
    ours: dict[str, Way] = {
        "stage": lambda: stage(store, source),
        "push": lambda: files.push(shell, source, remote),
    }
    options = ssh_options(sshd)
    shared = [*options, "-o", f"ControlPath={folder / 'master'}"]
    subprocess.run(["ssh", *shared, "-M", "-f", "-N", f"{sshd.user}@{sshd.host}"], check=True)

    def measured(make: interleaved.Make, theirs: dict[str, Way]) -> dict[str, list[float]]:
        def before() -> None:
            target.mkdir()
            interleaved.renew(source, make)

        def after() -> None:
            interleaved.clear(source, target, folder / "store")

        return interleaved.run({**ours, **theirs}, rounds, before=before, after=after)

    try:
        scps: dict[str, Way] = {
            "scp": lambda: scp(options, sshd, source, remote),
            "scp, open connection": lambda: scp(shared, sshd, source, remote),
        }
        taken = measured(interleaved.make_big, scps)
        interleaved.report("one file of 100 MB", taken, ours=list(ours), asked=0.9)
        tars: dict[str, Way] = {
            "tar | ssh": lambda: tar(options, sshd, source, remote),
            "tar | ssh, open connection": lambda: tar(shared, sshd, source, remote),
        }
        taken = measured(interleaved.make_small, tars)
        interleaved.report("1,000 files of 1-20 KB", taken, ours=list(ours), asked=1.0)
    finally:
        subprocess.run(["ssh", *shared, "-O", "exit", sshd.host], check=False, capture_output=True)
        connection.close()


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


if __name__ == "__main__":
    main()
