"""Alternate two staged runners on a device; see runner/alternate.py."""

import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import msgspec
from msgspec import Meta

from devices.base import Device, DeviceError, Progress, TransientDeviceError
from harness.arm import Arm, make_arm
from harness.cache import Cache
from harness.errors import PocketbenchError
from harness.launch import last_words
from harness.preparation import Ready
from harness.probe import Probes
from harness.schedule import Effort, retried
from harness.spec import Against, Frozen, Pair

_log = logging.getLogger(__name__)

BLOCK_S = 0.05


class _Block(Frozen, frozen=True, kw_only=True):
    arm: Annotated[int, Meta(ge=0, le=1)]
    samples_ns: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(min_length=1)]


class _Alternation(Frozen, frozen=True, kw_only=True):
    blocks: tuple[_Block, ...]
    iterations: tuple[int, ...]


def measure_against(
    device: Device,
    candidate: Ready,
    other: Ready,
    effort: Effort,
    cache: Cache,
    *,
    launch_timeout_s: float = 180.0,
    probes: Probes | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    sending: Progress | None = None,
) -> Against:
    """Alternate `candidate` with `other` in as many pairs of processes as the effort says.

    A lost connection costs the pair it was lost in, which is tried again. What goes wrong ends the pairing
    and becomes its reason; the pairs before it are kept. `progress` is told of pairs, `sending` of bytes.
    """
    pairs: list[Pair] = []
    reason = ""

    asked = probes or Probes()

    def arms() -> tuple[Arm, Arm]:
        ours = make_arm(device, candidate, effort, cache, progress=sending)
        theirs = make_arm(device, other, effort, cache, progress=sending)
        asked.check(device, other.bundle, theirs, timeout_s=launch_timeout_s)
        return ours, theirs

    try:
        ours, theirs = retried(arms)
        for number in range(effort.pairs):

            def attempt(*, swapped: bool = bool(number % 2)) -> Pair:
                return run_pair(
                    device,
                    ours,
                    theirs,
                    seconds=effort.pair_s,
                    swapped=swapped,
                    launch_timeout_s=launch_timeout_s,
                )

            pairs.append(_persistent(attempt, arms, f"{device.name}: pair {number} of {candidate.case.key}"))
            progress(number + 1, effort.pairs)
    except (PocketbenchError, DeviceError, OSError) as error:
        reason = str(error)
        _log.warning("%s: alternating %s ended: %s", device.name, candidate.case.key, reason)
    return Against(
        engine=other.case.engine,
        artifact=other.artifact.record,
        bundle=other.bundle.info,
        pairs=tuple(pairs),
        reason=reason,
    )


def _persistent(attempt: Callable[[], Pair], stage: Callable[[], object], told: str) -> Pair:
    """The pair; when the connection was lost, once more from staging on."""

    def again() -> Pair:
        # Back from a reboot it may lack what was staged; names are by content, so the arms stay right.
        stage()
        return attempt()

    try:
        return attempt()
    except TransientDeviceError as error:
        _log.warning("%s is tried again: %s", told, error)
        return retried(again)


def run_pair(
    device: Device,
    candidate: Arm,
    against: Arm,
    *,
    seconds: float,
    swapped: bool,
    launch_timeout_s: float = 180.0,
) -> Pair:
    """Start both and alternate them for `seconds`; `swapped` starts the other one first.

    Each may take `launch_timeout_s` to come up and to end. Raises PocketbenchError when one of them dies or
    answers with what is no samples, DeviceError when the device cannot be reached or they take longer.
    """
    folder = f"{device.workdir}/launches/{secrets.token_hex(8)}"
    arms = (against, candidate) if swapped else (candidate, against)
    # The parent needs the runner's code and any Python.
    parent = next((arm for arm in arms if arm.python is not None), None)
    if parent is None or parent.python is None:
        raise PocketbenchError(
            "binary bundles are both, and alternating needs a Python on the device: pair one with a wheel"
        )
    with TemporaryDirectory(prefix="pocketbench-") as scratch:
        local = Path(scratch, "pair")
        _write_order(local, folder, arms, parent, seconds)
        try:
            device.push(local, folder)
            done = device.run(
                [*parent.python, "-m", "runner.alternate", "order.json"],
                cwd=folder,
                env=parent.staged.environment,
                timeout_s=2 * launch_timeout_s + 4 * seconds,
            )
            if done.exit_code != 0:
                raise PocketbenchError(f"alternating failed: {last_words(done.stderr)}")
            device.pull(f"{folder}/pairs.json", local / "pairs.json")
        finally:
            # A folder that cannot be removed must not cost the pair that was measured in it.
            with suppress(DeviceError):
                device.remove(folder)
        return _decoded((local / "pairs.json").read_bytes(), of_candidate=1 if swapped else 0)


def _decoded(written: bytes, *, of_candidate: int) -> Pair:
    try:
        blocks = msgspec.json.decode(written, type=_Alternation).blocks
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PocketbenchError(f"alternating gave what cannot be read: {error}") from error
    pair = Pair(
        candidate_ns=tuple(b.samples_ns for b in blocks if b.arm == of_candidate),
        against_ns=tuple(b.samples_ns for b in blocks if b.arm != of_candidate),
    )
    if not pair.candidate_ns or not pair.against_ns:
        raise PocketbenchError("alternating gave no blocks of one of the two")
    return pair


def _write_order(local: Path, folder: str, arms: tuple[Arm, Arm], parent: Arm, seconds: float) -> None:
    described = []
    for index, arm in enumerate(arms):
        (local / str(index)).mkdir(parents=True)
        (local / str(index) / "job.json").write_bytes(msgspec.json.encode(arm.job))
        described.append(
            {
                "command": [*arm.staged.command, "job.json", "--serve"],
                "cwd": f"{folder}/{index}",
                "env": arm.staged.environment,
                # The parent runs in its own arm's environment; a portable Python's home is no other's.
                "unset": sorted(parent.staged.environment.keys() - arm.staged.environment.keys()),
            }
        )
    order = {"arms": described, "block_s": BLOCK_S, "target_s": seconds, "out": f"{folder}/pairs.json"}
    (local / "order.json").write_bytes(msgspec.json.encode(order))
