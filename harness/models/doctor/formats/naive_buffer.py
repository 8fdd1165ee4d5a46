"""What an .nb file says of itself: Paddle-Lite's optimised format, made for one kind of processor.

Paddle-Lite runs a file that was made for another kind, far too fast, and computes garbage. Nothing in its
header names the processor, but every operator names its kernel, as `conv2d/def/4/1/1`: operator, alias,
target, precision, layout; the numbers are those of lite/api/paddle_place.h.
"""

import re
import struct
from pathlib import Path
from typing import Final

from harness.errors import ConversionError, UnsupportedError

TARGETS: Final = {2: "x86", 3: "CUDA", 4: "arm", 5: "OpenCL", 8: "NPU", 9: "XPU", 15: "Metal"}
"""Numbers of TargetType that stand for hardware; 1 (Host) is any processor."""

META_VERSIONS: Final = (0, 1, 2)
"""First two bytes of the formats there have been."""

_KERNEL: Final = re.compile(rb"[a-z0-9_]+/[A-Za-z0-9_]*/(\d{1,2})/\d{1,2}/\d{1,2}")
_VERSION_BYTES: Final = 16


def targets_of(path: Path) -> frozenset[str]:
    """Kinds of hardware whose kernels the file at `path` names; none for what runs on any processor.

    Raises ConversionError when it is no .nb file.
    """
    content = path.read_bytes()
    if len(content) < 2 + _VERSION_BYTES:
        raise ConversionError("not an .nb file: it is too short")
    (meta,) = struct.unpack_from("<H", content)
    if meta not in META_VERSIONS or not content[2:].lstrip(b"v")[:1].isdigit():
        raise ConversionError("not an .nb file: it does not begin as paddle_lite_opt's do")
    numbers = {int(found) for found in _KERNEL.findall(content)}
    return frozenset(TARGETS[number] for number in numbers & TARGETS.keys())


def check_target(path: Path, wanted: str, arch: str | None) -> None:
    """Raise UnsupportedError when the file at `path` has no kernels for `wanted`, x86 or arm.

    `arch` is what the device calls its processor, for the message.
    """
    found = targets_of(path)
    if found and wanted not in found:
        raise UnsupportedError(
            f"{path.name} is made for {' and '.join(sorted(found))}, the device is {arch or wanted}: "
            f"Paddle-Lite would run it and compute garbage. Make it anew with paddle_lite_opt "
            f"--valid_targets={wanted}"
        )
