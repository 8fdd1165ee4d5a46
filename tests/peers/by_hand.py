"""Runs a peer in the foreground for a person, and writes the device file to reach it by."""

import argparse
import signal
import subprocess
import sys
import threading
from pathlib import Path

from .ssh_peer import SshPeer


def main(peer_class: type[SshPeer]) -> int:
    """Until Ctrl-C or SIGTERM, or as long as COMMAND runs, whose exit code it returns."""
    arguments = _parsed(peer_class)
    if lacking := peer_class.missing():
        print(f"This machine lacks {lacking}; see tests/setup.sh.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments.directory.mkdir(parents=True, exist_ok=True)
    print("starting; the first time packages are fetched and unpacked ...", flush=True)
    device_file = arguments.directory.absolute() / f"{peer_class.device_name}.toml"
    try:
        with peer_class(directory=arguments.directory) as peer:
            device_file.write_text(peer.device_file())
            _explain(peer, device_file)
            return _run(arguments.command) if arguments.command else _wait()
    finally:
        device_file.unlink(missing_ok=True)


def _parsed(peer_class: type[SshPeer]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.peers.{peer_class.__name__.lower()}",
        description=f"{peer_class.description}. Runs until Ctrl-C, or until COMMAND ends.",
    )
    parser.add_argument("directory", type=Path, help="where the device file and the keys are written")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="run this, then stop the board")
    return parser.parse_args()


def _explain(peer: SshPeer, device_file: Path) -> None:
    print(f"The board is up: {device_file}\n")
    print(f"    uv run pytest suites/ --device-dir {device_file.parent} --device {device_file.stem}")
    print(f"    {' '.join(peer.ssh_command())}\n", flush=True)


def _run(command: list[str]) -> int:
    """The command shares our terminal, and Ctrl-C with it: we outlive it to stop the board."""
    signal.signal(signal.SIGINT, lambda *_: None)
    child = subprocess.Popen(command)
    try:
        code = child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
    return code if code >= 0 else 128 - code


def _wait() -> int:
    print("Ctrl-C stops it.", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("\nstopped")
    return 0
