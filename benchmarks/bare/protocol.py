"""What a plain script does to take part in an alternation: time blocks and answer them."""

import json
import os
import sys
import time
from collections.abc import Callable


def answer_blocks(infer: Callable[[], object]) -> None:
    """Warm up for a second, then answer each line {"iterations": n} with the block's nanoseconds."""
    answers = STDOUT
    end = time.perf_counter() + 1.0
    while time.perf_counter() < end:
        infer()
    answers.write('{"ready": true}\n')
    answers.flush()
    for line in sys.stdin:
        samples = []
        for _ in range(json.loads(line)["iterations"]):
            began = time.perf_counter_ns()
            infer()
            samples.append(time.perf_counter_ns() - began)
        answers.write(json.dumps({"samples_ns": samples}) + "\n")
        answers.flush()


# Taken before any runtime is imported: they print on stdout.
STDOUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
