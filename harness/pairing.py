"""Alternate two staged runners on a device; see runner/alternate.py."""

import secrets
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from devices.base import Device, DeviceError
from harness.arm import Arm, make_arm
from harness.cache import Cache
from harness.errors import PocketbenchError
from harness.preparation import Ready
from harness.schedule import Effort
from harness.spec import Against, Frozen, Pair

BLOCK_S = 0.05


class _Block(Frozen, frozen=True, kw_only=True):
    arm: int
    samples_ns: tuple[int, ...]


class _Alternation(Frozen, frozen=True, kw_only=True):
    blocks: tuple[_Block, ...]
    iterations: tuple[int, ...]


def measure_against(device: Device, candidate: Ready, other: Ready, effort: Effort, cache: Cache) -> Against:
    """Alternate `candidate` with `other` in as many pairs of processes as the effort says.

    What goes wrong ends the pairing and becomes its reason; the pairs before it are kept.
    """
    pairs: list[Pair] = []
    reason = ""
    try:
        arms = [make_arm(device, ready, effort, cache) for ready in (candidate, other)]
        pairs.extend(
            run_pair(device, arms[0], arms[1], seconds=effort.pair_s, swapped=bool(number % 2))
            for number in range(effort.pairs)
        )
    except (PocketbenchError, DeviceError) as error:
        reason = str(error)
    return Against(
        engine=other.case.engine,
        artifact=other.artifact.record,
        bundle=other.bundle.info,
        pairs=tuple(pairs),
        reason=reason,
    )


def run_pair(device: Device, candidate: Arm, against: Arm, *, seconds: float, swapped: bool) -> Pair:
    """Start both and alternate them for `seconds`; `swapped` starts the other one first.

    Raises PocketbenchError when one of them dies, DeviceError when the device cannot be reached.
    """
    folder = f"{device.workdir}/launches/{secrets.token_hex(8)}"
    arms = (against, candidate) if swapped else (candidate, against)
    # The parent needs the runner's code and any Python.
    parent = next((arm for arm in arms if arm.python is not None), None)
    if parent is None or parent.python is None:
        raise PocketbenchError(
            "binary bundles are both, and alternating needs a Python on the device: pair one with a wheel"
        )
    try:
        with TemporaryDirectory(prefix="pocketbench-") as scratch:
            local = Path(scratch, "pair")
            _write_order(local, folder, arms, seconds)
            device.make_directory(f"{device.workdir}/launches")
            device.push(local, folder)
            command = [*parent.python, "-m", "runner.alternate", "order.json"]
            done = device.run(command, cwd=folder, env=parent.staged.environment, timeout_s=60 + 4 * seconds)
            if done.exit_code != 0:
                last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [
                    "it printed nothing"
                ]
                raise PocketbenchError(f"alternating failed: {last[0]}")
            device.pull(f"{folder}/pairs.json", local / "pairs.json")
            blocks = msgspec.json.decode((local / "pairs.json").read_bytes(), type=_Alternation).blocks
    finally:
        device.remove(folder)
    of_candidate = 1 if swapped else 0
    return Pair(
        candidate_ns=tuple(b.samples_ns for b in blocks if b.arm == of_candidate),
        against_ns=tuple(b.samples_ns for b in blocks if b.arm != of_candidate),
    )


def _write_order(local: Path, folder: str, arms: tuple[Arm, Arm], seconds: float) -> None:
    described = []
    for index, arm in enumerate(arms):
        (local / str(index)).mkdir(parents=True)
        (local / str(index) / "job.json").write_bytes(msgspec.json.encode(arm.job))
        described.append(
            {
                "command": [*arm.staged.command, "job.json", "--serve"],
                "cwd": f"{folder}/{index}",
                "env": arm.staged.environment,
            }
        )
    order = {"arms": described, "block_s": BLOCK_S, "target_s": seconds, "out": f"{folder}/pairs.json"}
    (local / "order.json").write_bytes(msgspec.json.encode(order))
