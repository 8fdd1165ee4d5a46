"""An ARM Linux machine of the tests' own: kernel, memory and disk, emulated by qemu-system-aarch64.

    uv run python -m tests.peers.machine results/machine [-- COMMAND ...]

Slower than `Board`, and has what that has not: its own kernel, memory that runs out, and a real reboot.
"""

import shutil
import subprocess
import time
from pathlib import Path

from harness.cache import Cache

from . import initramfs, userland
from .ssh_peer import SshPeer

RECIPE = 1
"""Raise it when what is written into the image changes."""
PACKAGES = ("busybox-static", "linux-image-cloud-arm64")
MODULES = (
    *("virtio_ring", "virtio", "virtio_mmio", "virtio_blk"),
    *("failover", "net_failover", "virtio_net", "virtio-rng"),
)
"""In the order in which they need each other."""
DISK_MIB = 2048
ADDRESS = "10.0.2.15"
"""Inside; QEMU's user network forwards to it."""

INIT = Path(__file__).with_name("machine_init.sh")
INITTAB = """\
::sysinit:/bin/busybox mkdir -p /dev/pts /dev/shm
::sysinit:/bin/busybox mount -t devpts -o mode=620,gid=5 devpts /dev/pts
::sysinit:/bin/busybox mount -t tmpfs -o mode=1777 tmpfs /dev/shm
::sysinit:/bin/busybox mount -t tmpfs -o mode=1777 tmpfs /tmp
::sysinit:/bin/busybox mount -t tmpfs -o mode=755 tmpfs /run
::sysinit:/bin/busybox mkdir -p /run/sshd
::respawn:/usr/sbin/sshd -D -e
::shutdown:/bin/busybox mount -o remount,ro /
"""
RUN_WHILE_INPUT_IS_OPEN = """\
exec 3<&0 </dev/null
"$@" 3<&- &
emulator=$!
(read -r _ <&3; kill -KILL "$emulator") &
wait "$emulator"
"""
"""The emulator ends with the test process, however that ends."""


class Machine(SshPeer):
    """Two Cortex-A76 with `memory_mib` of memory and no swap; up in some 15 to 40 s."""

    device_name = "a64vm"
    description = "aarch64 Debian under qemu-system: proves plumbing and parity, never speed"
    boot_timeout_s = 240.0

    def __init__(self, *, memory_mib: int = 1024, directory: Path | None = None) -> None:
        super().__init__(directory=directory)
        self.memory_mib = memory_mib
        self._image: Path | None = None

    @staticmethod
    def missing() -> str:
        absent = [name for name in ("qemu-system-aarch64", "mke2fs") if not shutil.which(name)]
        return " ".join([userland.missing_programs(), *absent]).strip()

    def prepare(self) -> None:
        self._image = built_image()
        copy = ["cp", "--sparse=always", "--reflink=auto", self._image / "disk", self.private / "disk"]
        subprocess.run(copy, check=True, timeout=120)
        initrd = self.private / "initrd"
        shutil.copyfile(self._image / "initrd", initrd)
        seed = {f"seed/{name}": file for name, file in self.etc_ssh(address=ADDRESS, port=22).items()}
        initramfs.append(initrd, seed)

    def boot(self) -> None:
        assert self._process is None, "the machine is up"
        emulator = (
            *("qemu-system-aarch64", "-nodefaults", "-no-user-config", "-display", "none"),
            *("-M", "virt", "-cpu", "cortex-a76", "-smp", "2", "-m", str(self.memory_mib)),
            *("-kernel", self._image / "kernel", "-initrd", self.private / "initrd"),
            *("-append", "console=ttyAMA0 panic=1"),
            *("-serial", f"file:{self.log}"),
            *("-drive", f"if=none,id=disk,format=raw,cache=unsafe,file={self.private / 'disk'}"),
            *("-device", "virtio-blk-device,drive=disk"),
            *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:{self.host}:{self.port}-:22"),
            *("-device", "virtio-net-device,netdev=net", "-device", "virtio-rng-device"),
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", RUN_WHILE_INPUT_IS_OPEN, "machine", *emulator],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_until_ready()

    def reboot(self) -> None:
        """Has the machine reboot itself and waits until it is up again."""
        before = self.boot_id()
        self.run("reboot", check=False)
        deadline = time.monotonic() + self.boot_timeout_s
        while self.boot_id() in {before, ""}:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the machine did not come back:\n{self.log_tail()}")
            time.sleep(0.5)

    def restart(self) -> None:
        """A power cut loses what is not on the disk yet, so the disk is brought up to date first."""
        self.run("sync")
        super().restart()

    def boot_id(self) -> str:
        """The kernel's name of this boot; empty when ssh does not answer."""
        return self.run("cat", "/proc/sys/kernel/random/boot_id", check=False).stdout.strip()


def built_image() -> Path:
    """The cached directory of `kernel`, `initrd` and `disk`; takes some seconds and the network at first."""
    key = {
        "packages": (*userland.PACKAGES, *PACKAGES),
        "suite": userland.SUITE,
        "recipe": (userland.RECIPE, RECIPE, INIT.read_text(), INITTAB, MODULES, DISK_MIB),
    }
    return Cache().entry("peers", key, _build_image)


def _build_image(scratch: Path) -> None:
    root = scratch / "root"
    userland.extract(root, (*userland.PACKAGES, *PACKAGES))
    shutil.move(next(root.glob("boot/vmlinuz-*")), scratch / "kernel")
    modules = {path.stem: path.read_bytes() for path in root.glob("lib/modules/**/*.ko")}
    files = {f"modules/{name}.ko": (modules[name], 0o644) for name in MODULES}
    files["modules/order"] = (" ".join(f"{name}.ko" for name in MODULES).encode(), 0o644)
    files["bin/busybox"] = ((root / "bin/busybox").read_bytes(), 0o755)
    files["init"] = (INIT.read_bytes(), 0o755)
    initramfs.append(scratch / "initrd", files)

    (root / "etc/inittab").write_text(INITTAB)
    for name in ("init", "poweroff", "reboot"):
        (root / "sbin" / name).unlink(missing_ok=True)
        (root / "sbin" / name).symlink_to("/bin/busybox")
    for directory in ("boot", "lib/modules"):
        shutil.rmtree(root / directory)
    make = ["mke2fs", "-q", "-t", "ext4", "-d", root, scratch / "disk", f"{DISK_MIB}M"]
    subprocess.run(make, check=True, capture_output=True, timeout=300)
    shutil.rmtree(root)


if __name__ == "__main__":
    from .by_hand import main

    raise SystemExit(main(Machine))
