"""The part of the device that is inside the phone: a process that forks one child for each service.

It enters the phone's namespaces, so that paths, processes, users and errors are the phone's own, and takes a
socket for each service over its standard input. All is imported before it enters: the phone has no Python.

    python -m peers.adbd.services PID NAMESPACE[,NAMESPACE...] UID PATH
"""

import ctypes
import json
import os
import signal
import socket
import struct
import sys
import traceback
from pathlib import Path

from . import shell, sync

GROUPS = (1004, 1007, 1011, 1015, 1028, 3001, 3002, 3003, 3006, 3009)
"""input, log, adb, sdcard_rw, sdcard_r, net_bt_admin, net_bt, inet, net_bw_stats, readproc."""
LENGTH = struct.Struct("<I")


def request(service: str, *, no_space_after: int | None) -> bytes:
    """What is written first on a service's socket."""
    body = json.dumps({"service": service, "no_space_after": no_space_after}).encode()
    return LENGTH.pack(len(body)) + body


def main(pid: int, namespaces: list[str], uid: int, path: str) -> None:
    """Fork for every socket that comes in, to the end of standard input."""
    control = socket.socket(fileno=os.dup(0))
    enter(pid, namespaces)
    os.umask(0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children reap themselves
    control.send(b"!")
    while True:
        said, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not said:
            return
        if os.fork() == 0:
            control.close()
            os.close(0)
            os.open("/dev/null", os.O_RDWR)
            with socket.socket(fileno=descriptors[0]) as stream:
                _serve(stream, uid, path)
            os._exit(0)
        os.close(descriptors[0])


def enter(pid: int, namespaces: list[str]) -> None:
    """Join namespaces of a process, and its root; what is forked from now on is in its pid namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptors = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in namespaces]
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY)
    for name, descriptor in zip(namespaces, descriptors, strict=True):
        if libc.setns(descriptor, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot enter the {name} namespace of {pid}: {os.strerror(number)}")
        os.close(descriptor)
    os.fchdir(root)
    os.chroot(".")
    os.close(root)


def _serve(stream: socket.socket, uid: int, path: str) -> None:
    for number in (signal.SIGCHLD, signal.SIGHUP):  # whoever started the tests may ignore the latter
        signal.signal(number, signal.SIG_DFL)
    try:
        os.setgroups(GROUPS)
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        (length,) = LENGTH.unpack(_exactly(stream, LENGTH.size))
        asked = json.loads(_exactly(stream, length))
        service = asked["service"]
        if service.startswith("sync:"):
            sync.serve(stream, no_space_after=asked["no_space_after"])
        else:
            shell.serve(stream, service, path)
    except (ConnectionError, EOFError):
        pass  # the client has gone
    except BaseException:  # noqa: BLE001 - a forked child must not run its parent's code
        traceback.print_exc()


def _exactly(stream: socket.socket, count: int) -> bytes:
    data = stream.recv(count, socket.MSG_WAITALL)
    if len(data) < count:
        raise EOFError
    return data


if __name__ == "__main__":
    os.chdir(Path("/"))
    main(int(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3]), sys.argv[4])
