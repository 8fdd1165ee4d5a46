"""Converter toolchains: isolated environments, never the harness's own, and how a tool is run in one."""

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from devices.base import CommandTimeoutError
from devices.local import LocalDevice
from harness.environments import Packages
from harness.errors import ConversionError, PocketbenchError, UnsupportedError

TOOLS = Path(__file__).parent / "convert" / "tools"
"""Scripts that run inside a toolchain; they import nothing of the project."""

ONNX = Packages(
    name="onnx tools",
    python="3.11",
    dependencies=False,
    requirements=(
        "onnx==1.23.2",
        "onnxslim==0.1.98",
        "onnxconverter-common==1.16.0",
        "numpy==2.4.6",
        "protobuf==7.36.2",
        "ml_dtypes==0.6.0",
        "sympy==1.14.0",
        "mpmath==1.3.0",
        "packaging==26.3",
        "colorama==0.4.6",
        "typing_extensions==4.16.0",
    ),
)

X2PADDLE = Packages(
    name="x2paddle",
    python="3.10",
    requirements=(
        "x2paddle==1.6.0",
        "paddlepaddle==2.6.2",
        "onnx==1.17.0",
        "numpy==1.26.4",
        "protobuf==4.25.9",
        "setuptools==80.10.2",
        "six==1.17.0",
        "requests==2.34.2",
        "sympy==1.14.0",
        "pillow==12.3.0",
        "httpx==0.28.1",
    ),
)

CMAKE = Packages(
    name="cmake",
    python="3.11",
    dependencies=False,
    requirements=("cmake==4.4.4", "ninja==1.13.2"),
)
"""For building native runners; both wheels are programs, of which no Python is needed."""


FULL_BYTES = 64 * 1024
"""A disk with less room than this is full: converters seldom say why they stop."""


TOOL_TIMEOUT_S = 600.0
"""What a tool may take for a small model."""


class ConversionTimeoutError(UnsupportedError):
    """A converter hung and was ended; not remembered, the next run tries again."""


class ToolCrashedError(ConversionError):
    """A converter died of a signal."""


class ToolKilledError(PocketbenchError):
    """The system ended a converter, as it does when memory runs out: the machine's lack, not remembered."""


def time_for(size_bytes: int) -> float:
    """Seconds that a tool may take for files of a size: ten minutes, and as many for each GiB."""
    return TOOL_TIMEOUT_S * (1 + size_bytes / 2**30)


def run_tool(
    name: str,
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float = TOOL_TIMEOUT_S,
) -> str:
    """Run a converter to its end in a process tree of its own; returns what it printed.

    Raises ConversionError when it fails or dies, ConversionTimeoutError when it hangs, ToolKilledError when
    the system ends it.
    """
    try:
        with LocalDevice("host", str(cwd), exclusive=False) as host:
            done = host.run(argv, env=env, timeout_s=timeout_s)
    except CommandTimeoutError as error:
        raise ConversionTimeoutError(
            f"{name} did not finish within {timeout_s:.0f} s and was ended"
        ) from error
    printed = (done.stdout + done.stderr).decode(errors="replace")
    if (done.signal or done.exit_code != 0) and is_full(cwd, printed):
        # The disk's fault, not the model's: nothing to remember.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(cwd))
    if done.signal == "SIGKILL":
        raise ToolKilledError(
            f"{name} was killed, most likely because memory ran out: close what else runs, or convert on a "
            "larger machine"
        )
    if done.signal:
        raise ToolCrashedError(f"{name} crashed: {done.signal}. {_last_words(printed)}", printed)
    if done.exit_code != 0:
        raise ConversionError(f"{name} failed (exit code {done.exit_code}): {_last_words(printed)}", printed)
    return printed


def require_files(name: str, printed: str, *files: Path) -> None:
    """Raise ConversionError unless all `files` are there and not empty: converters' exit codes lie.

    On a full disk it is an OSError, which the cache explains and does not remember: what is there may be cut
    off.
    """
    missing = [file.name for file in files if not file.is_file() or file.stat().st_size == 0]
    if is_full(files[0].parent, printed):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(files[0].parent))
    if missing:
        raise ConversionError(
            f"{name} ended without an error and without {', '.join(missing)}: {_last_words(printed)}", printed
        )


def is_full(folder: Path, printed: str) -> bool:
    """Whether a tool that wrote in `folder` lacked room: it says so, or there is none."""
    return os.strerror(errno.ENOSPC) in printed or shutil.disk_usage(folder).free < FULL_BYTES


def _last_words(printed: str, limit: int = 300) -> str:
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return (lines[-1] if lines else "it printed nothing")[:limit]
