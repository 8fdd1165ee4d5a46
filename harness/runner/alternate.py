"""Alternate two runners in short blocks: `python -m runner.alternate order.json`.

The machine's drift hits both arms of a pair of blocks alike and cancels in their ratio, which no number of
separate launches achieves. The order holds

    arms      two of {command, cwd, env, unset}: runners in serve mode, or programs that answer as they do;
              `unset` (optional) names variables of this process that are not theirs
    block_s   how long a block shall take
    target_s  how long to alternate
    out       where the JSON result goes: {blocks: [{arm, samples_ns}], iterations: [n, n]}

Blocks come in the order A B B A A B B A ..., so that neither arm is always first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any


class Arm:
    """A program that answers blocks; `first` is what its first block took, which sizes the others."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            order["command"],
            cwd=order["cwd"],
            env=_environment(order),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        self._answer()

    def block(self, iterations: int) -> list[int]:
        """Nanoseconds of each of the block's iterations."""
        assert self.process.stdin is not None  # noqa: S101 - it is a pipe
        self.process.stdin.write(json.dumps({"iterations": iterations}) + "\n")
        self.process.stdin.flush()
        samples: list[int] = self._answer()["samples_ns"]
        return samples

    def finish(self) -> None:
        """Let it end, and insist that it ends well."""
        assert self.process.stdin is not None  # noqa: S101 - it is a pipe
        self.process.stdin.close()
        code = self.process.wait()
        if code != 0:
            raise SystemExit("an arm ended with exit code %d: %r" % (code, self.process.args))

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise SystemExit("an arm ended early with exit code %d: %r" % (code, self.process.args))
        answer: dict[str, Any] = json.loads(line)
        return answer


def _environment(order: dict[str, Any]) -> dict[str, str]:
    """What an arm sees: this process's variables but those that were set for its own Python alone."""
    unset = order.get("unset", ())
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    kept.setdefault("PATH", os.defpath)
    kept.update(order["env"])
    return kept


def alternate(order: dict[str, Any]) -> dict[str, Any]:
    """Run the order; returns what goes into its `out`."""
    arms = [Arm(description) for description in order["arms"]]
    iterations = [_per_block(arm, order["block_s"]) for arm in arms]
    blocks: list[dict[str, Any]] = []
    deadline = time.monotonic() + order["target_s"]
    turn = [0, 1]
    while time.monotonic() < deadline:
        blocks.extend({"arm": index, "samples_ns": arms[index].block(iterations[index])} for index in turn)
        turn.reverse()
    for arm in arms:
        arm.finish()
    return {"blocks": blocks, "iterations": iterations}


def _per_block(arm: Arm, block_s: float) -> int:
    fastest = min(arm.block(3))
    return max(1, int(block_s * 1e9 / fastest))


def main(argv: list[str]) -> int:
    """Read the order, alternate, write the result under its final name only when it is complete."""
    with open(argv[0]) as stream:
        order = json.load(stream)
    result = alternate(order)
    with open(order["out"] + ".part", "w") as stream:
        json.dump(result, stream)
    os.rename(order["out"] + ".part", order["out"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
