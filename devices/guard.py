"""Stand between the host and one command, so that nothing the command started outlives it.

Linux hands an orphan to its nearest ancestor that called prctl(PR_SET_CHILD_SUBREAPER). This process is
that ancestor: whatever a command starts, also what left its session or forked twice, ends up as a child
here, and waitpid's ECHILD proves that none is left.

devices/process.py runs this file as a script with three descriptors: an order (the marshalled argv,
environment, directory and CPUs), a leash (a pipe the host holds open: when it closes, because the host
stops the command or is dead, everything is killed) and a report (lines, see `main`). It imports nothing of
the project and works isolated from the command's environment, which may hold libraries that would break it.
"""

import ctypes
import errno
import marshal
import os
import select
import signal
import sys
import time
from contextlib import suppress

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
KILL_TIMEOUT_S = 10.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Order = tuple[list[str], dict[str, str], str, tuple[int, ...] | None]


def main(order_fd: int, leash_fd: int, report_fd: int) -> None:
    """Run the ordered command to its end or the leash's, then report.

    Report lines: `failed STEP ERRNO` when it could not be started, `ended WAITSTATUS NANOSECONDS` when it
    ended by itself, `left PID,PID` when processes withstood SIGKILL.
    """
    for descriptor in (order_fd, leash_fd, report_fd):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - its only form
    with open(order_fd, "rb") as stream:
        order: Order = marshal.load(stream)  # noqa: S302 - written by the process that started this one
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    signals_fd = signals_as_bytes()
    started_ns = time.monotonic_ns()
    child = os.fork()
    if child == 0:
        execute(order, report_fd)
    let_go_of_standard_streams()
    status = wait(child, leash_fd, signals_fd)
    if status is not None:
        os.write(report_fd, f"ended {status} {time.monotonic_ns() - started_ns}\n".encode())
    left = end_descendants()
    if left:
        os.write(report_fd, f"left {','.join(map(str, left))}\n".encode())


def prctl(option: int, value: int) -> None:
    """Call prctl(2); raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def signals_as_bytes() -> int:
    """Descriptor on which each caught signal arrives as a byte of its number."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *STOP_SIGNALS):
        signal.signal(number, lambda *_: None)
    return reading


def execute(order: Order, report_fd: int) -> None:
    """Become the command; never returns. What failed is written to the report."""
    argv, env, cwd, cpus = order
    step = "session"
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; a command expects not to
            signal.signal(number, signal.SIG_DFL)
        step = "cpus"
        if cpus is not None:
            os.sched_setaffinity(0, cpus)
        step = "cwd"
        os.chdir(cwd)
        step = "exec"
        os.execvpe(argv[0], argv, env)  # noqa: S606 - argv is a list, there is no shell
    except OSError as error:
        os.write(report_fd, f"failed {step} {error.errno or errno.EIO}\n".encode())
    finally:
        os._exit(127)


def let_go_of_standard_streams() -> None:
    """Keep no end of the command's pipes open, so that the host sees them close when the command is gone."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def wait(child: int, leash_fd: int, signals_fd: int) -> int | None:
    """Wait status of `child`, or None when it has to be stopped: leash gone, or told by a signal."""
    poll = select.poll()
    poll.register(leash_fd, select.POLLIN)
    poll.register(signals_fd, select.POLLIN)
    while True:
        status = reap(child)
        if status is not None:
            return status
        for descriptor, _ in poll.poll():
            if descriptor == leash_fd or set(os.read(signals_fd, 4096)) & set(STOP_SIGNALS):
                return None


def reap(child: int) -> int | None:
    """Bury everything that has ended; the wait status of `child` if it was among them."""
    found: int | None = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                found = status
    return found


def end_descendants() -> list[int]:
    """Kill until the kernel says that there is no child; the pids that withstood it for KILL_TIMEOUT_S."""
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while has_children():
        alive = descendants(os.getpid())
        for pid in alive:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return alive
        time.sleep(0.002)
    return []


def has_children() -> bool:
    """Whether any child is alive, after burying those that are not."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        return False
    return True


def descendants(root: int) -> list[int]:
    """Pids below `root`, read from /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would double this script's start
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as stream:  # noqa: PTH123
                # The command name, in brackets, may itself hold spaces and brackets: proc(5).
                parent = int(stream.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
