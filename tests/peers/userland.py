"""An aarch64 Debian userland: unpacked once into the cache, without running anything that is in it."""

import os
import shutil
import subprocess
from pathlib import Path

from harness.cache import Cache
from harness.errors import PocketbenchError

SUITE = "bookworm"
RECIPE = 1
"""Raise it when what is written into the tree changes."""
PACKAGES = (
    *(
        "base-files",
        "bash",
        "coreutils",
        "dash",
        "findutils",
        "grep",
        "gzip",
        "hostname",
        "libc-bin",
        "login",
    ),
    *("mount", "openssh-server", "openssh-sftp-server", "procps", "sed", "tar", "util-linux"),
    *("libgomp1", "libstdc++6", "python3"),
)

ACCOUNTS = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/bash\n"
        "sshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n"
        "bench:x:1000:1000:bench:/home/bench:/bin/bash\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    ),
    "etc/group": "root:x:0:\ntty:x:5:\nbench:x:1000:\nnogroup:x:65534:\n",
    # "*": no password fits, and sshd does not take the account for a locked one.
    "etc/shadow": "".join(f"{name}:*:19000:0:99999:7:::\n" for name in ("root", "sshd", "bench", "nobody")),
}

CPUINFO = "".join(
    f"processor\t: {core}\n"
    "BogoMIPS\t: 125.00\n"
    "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid\n"
    "CPU implementer\t: 0x41\n"
    "CPU architecture: 8\n"
    "CPU variant\t: 0x0\n"
    "CPU part\t: 0xd08\n"
    "CPU revision\t: 3\n\n"
    for core in range(2)
)
"""Two Cortex-A72. qemu-user up to 8.0 shows the host's /proc/cpuinfo, and onnxruntime dies of an x86 one."""


def missing_programs() -> str:
    """What a machine lacks to make the userland; empty when nothing."""
    if os.geteuid() != 0:
        return "root's rights (mmdebstrap and the board's mounts)"
    absent = [name for name in ("mmdebstrap", "ssh", "ssh-keygen") if not shutil.which(name)]
    return " ".join(absent)


def built_tree(packages: tuple[str, ...] = PACKAGES) -> Path:
    """The cached root directory; takes some seconds and the network the first time. Never write to it."""
    key = {"packages": packages, "suite": SUITE, "recipe": RECIPE}
    return Cache().entry("peers", key, lambda scratch: extract(scratch / "root", packages)) / "root"


def extract(root: Path, packages: tuple[str, ...]) -> None:
    """Unpacks the packages to `root` and writes the accounts; runs no maintainer script."""
    command = [
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=extract", "--arch=arm64", "--format=directory"),
        *("--skip=check/qemu", "--include=" + ",".join(packages)),
        *(f"--aptopt={line}" for line in _apt_network_options()),
        *(SUITE, str(root), *_mirrors()),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise PocketbenchError(f"mmdebstrap could not make the aarch64 userland:\n{done.stderr[-3000:]}")
    for name, text in ACCOUNTS.items():
        (root / name).write_text(text)
    (root / "etc/shadow").chmod(0o600)
    for name in ("mnt", "opt", "srv", "usr/local/bin"):  # base-files makes them in its maintainer script
        (root / name).mkdir(parents=True, exist_ok=True)
    home = root / "home/bench"
    home.mkdir()
    os.chown(home, 1000, 1000)
    shutil.rmtree(root / "dev")  # every boot has a /dev of its own
    (root / "dev").mkdir()


def _mirrors() -> list[str]:
    """The mirrors this machine's apt has for Debian itself; none, and mmdebstrap takes its own default."""
    shown = "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)"
    printed = _printed_by("apt-get", "indextargets", "--format", shown, "Created-By: Packages")
    fields = [line.split("|") for line in printed.splitlines()]
    return sorted({uri for *identity, uri in fields if identity == ["Debian", "Debian", "main"]})


def _apt_network_options() -> list[str]:
    """This machine's proxy and certificate settings, and whether it accepts an aged index."""
    wanted = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries")
    lines = _printed_by("apt-config", "dump", "--no-empty", "Acquire").splitlines()
    return [line for line in lines if line.startswith(wanted)]


def _printed_by(*command: str) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60).stdout
