"""Paddle-Lite's .nb: lite/model_parser/model_parser.cc and flatbuffers/io.cc of PaddlePaddle/Paddle-Lite.

A u16 version, 16 characters of opt's version, a u64 size and the program of that size, then the parameters:
u16 version, u16 reserved, u16 header size, u16 count, u32 largest, and each with its u32 size before it.
"""

import struct
from pathlib import Path
from typing import Final

from harness.models.doctor.findings import Examined, Finding, error, good, note, sized, warning
from harness.models.doctor.formats.mapped import mapped
from harness.models.doctor.formats.naive_buffer import targets_of

PROGRAM: Final = 26
"""Where the program begins."""

META_VERSIONS: Final = (1, 2)
AGAIN: Final = "convert it again, with paddle_lite_opt of the version that runs it"


def check_paddlelite(path: Path) -> Examined[str]:
    """Check the header and that program and parameters are there; tell what processor it is for."""
    with mapped(path) as data:
        found = _header(data, path.name)
        if found is not None:
            yield found
            return "Paddle-Lite, not readable"
        meta, version, size = struct.unpack_from("<H16sQ", data)
        lost = _lost_parameters(data, PROGRAM + size) if meta == 2 else ""
    if lost:
        yield error("model", "truncated", path.name, f"is cut off: {lost}", AGAIN)
    targets = sorted(targets_of(path))
    opt = version.partition(b"\0")[0].decode(errors="replace")
    yield good("model", path.name, f"made by opt {opt}; another version of Paddle-Lite may refuse it")
    if not targets:
        told = "names no kernels that tell the processor: arm or x86 is not checked"
        yield note("model", "not-checked", path.name, told)
    elif {"x86", "arm"} <= set(targets):
        told = "has kernels for x86 and for arm: no device runs both"
        yield warning("model", "mixed-targets", path.name, told, "give opt one of them as valid_targets")
    else:
        told = f"kernels for {' and '.join(targets)}: on another processor it runs and computes garbage"
        yield note("model", "target", path.name, told)
    made_for = " and ".join(targets) or "unknown processor"
    return f"Paddle-Lite for {made_for}, opt {opt}, {sized(path.stat().st_size)}"


def _header(data: memoryview, name: str) -> Finding | None:
    if len(data) < PROGRAM:
        told = f"is no .nb file: it has {len(data)} bytes, its header alone {PROGRAM}"
        return error("model", "truncated", name, told, AGAIN)
    meta, version, size = struct.unpack_from("<H16sQ", data)
    if meta == 0:
        told = "is of Paddle-Lite before 2.7, which later versions refuse (or it is no .nb file)"
        return error("model", "old-format", name, told, AGAIN)
    if meta not in META_VERSIONS or not version.lstrip(b"v")[:1].isdigit():
        told = "is no .nb file: it does not begin with a version of the format and one of opt"
        return error("model", "not-nb", name, told, AGAIN)
    if PROGRAM + size > len(data):
        told = f"is cut off: the program takes {sized(size)}, {sized(len(data) - PROGRAM)} are there"
        return error("model", "truncated", name, told, AGAIN)
    return None


def _lost_parameters(data: memoryview, at: int) -> str:
    """What is wrong with the parameters that begin at byte `at`, or nothing."""
    try:
        _, _, header, count = struct.unpack_from("<4H", data, at)
        at += 6 + header
        for index in range(count):
            (size,) = struct.unpack_from("<I", data, at)
            at += 4 + size
            if at > len(data):
                return f"{index} of {count} parameters are there"
    except struct.error:
        return "the list of its parameters ends early"
    return ""
