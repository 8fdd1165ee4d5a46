"""One launch: import, load, first inference, warm-up, timed iterations, result, in that order."""

from __future__ import annotations

import gc
import json
import os
import time
from typing import Any, TextIO

from . import machine, timing
from .backends import open_backend

SCHEMA = 1


class Launch:
    """A runner process's work; `stage` beside the job says what it is doing, for whoever finds it dead."""

    def __init__(self, job_path: str) -> None:
        with open(job_path) as stream:
            self.job = json.load(stream)
        if self.job.get("schema") != SCHEMA:
            raise SystemExit(
                "job.json has schema %r, this runner knows %d" % (self.job.get("schema"), SCHEMA)
            )
        self.directory = os.path.dirname(os.path.abspath(job_path))
        self.result: dict[str, Any] = {"schema": SCHEMA, "threads_asked": self.job["threads"]}
        self.memory = {"before_import_rss_bytes": machine.rss_bytes()}
        self.samples: list[int] = []
        self.started: list[int] = []
        self.backend: Any = None
        self.feeds: list[Any] = []
        self.outputs: list[Any] = []

    def prepare(self) -> None:
        """Everything up to the end of the first inference."""
        self._stage("import")
        began = time.perf_counter()
        self.backend = open_backend(self.job)
        self.result["import_s"] = time.perf_counter() - began
        # Not before: numpy is a part of what importing the runtime costs.
        from . import arrays

        self.feeds = [arrays.read_feed(item) for item in self.job["inputs"]]

        self._stage("load")
        self.memory["before_load_rss_bytes"] = machine.rss_bytes()
        began = time.perf_counter()
        self.backend.load(self.job)
        self.result["load_s"] = time.perf_counter() - began
        self.memory["after_load_rss_bytes"] = machine.rss_bytes()

        self._stage("first")
        began = time.perf_counter()
        self.outputs = self.backend.infer(self.feeds)
        self.result["first_s"] = time.perf_counter() - began
        self.memory["after_first_rss_bytes"] = machine.rss_bytes()

        self._stage("warmup")
        gc.disable()
        samples, settled = timing.warm_up(self._infer, self.job["warmup"])
        self.result["warmup"] = {"samples_ns": samples, "settled": settled}
        self.result["state_start"] = machine.state()

    def measure(self) -> None:
        """Batch mode: the timed iterations in one go."""
        self._stage("timing")
        plan = self.job["timing"]
        self._block(plan["min_iterations"], plan["max_iterations"], plan["target_s"])

    def serve(self, questions: TextIO, answers: TextIO) -> None:
        """Serve mode: a line {"iterations": n} is answered by a line with that block's samples.

        An empty line or the end of the input ends it.
        """
        self._stage("timing")
        answers.write(json.dumps({"ready": True}) + "\n")
        answers.flush()
        for line in questions:
            if not line.strip():
                break
            iterations = int(json.loads(line)["iterations"])
            samples, started = self._block(iterations, iterations, 0.0)
            answers.write(json.dumps({"samples_ns": samples, "started_ns": started}) + "\n")
            answers.flush()

    def finish(self) -> None:
        """Write outputs and result; the result appears whole or not at all."""
        self._stage("outputs")
        self.memory["peak_rss_bytes"] = machine.peak_rss_bytes()
        self.memory["pss_bytes"] = machine.pss_bytes()
        from . import arrays

        folder = os.path.join(self.directory, "outputs")
        described = arrays.write_outputs(folder, self.job["outputs"], self.outputs)
        self.result.update(
            runtime=self.job["runtime"],
            runtime_version=self.backend.version,
            backend=self.backend.obtained,
            python=machine.python_version(),
            samples_ns=self.samples,
            started_ns=self.started,
            memory=self.memory,
            threads_obtained=machine.thread_count(),
            affinity=machine.affinity(),
            state_end=machine.state(),
            outputs=described,
        )
        path = os.path.join(self.directory, "result.json")
        with open(path + ".part", "w") as stream:
            stream.write(json.dumps(self.result))
        os.rename(path + ".part", path)
        self._stage("done")

    def _block(self, at_least: int, at_most: int, target_s: float) -> tuple[list[int], list[int]]:
        before = machine.usage()
        samples, started = timing.timed(self._infer, at_least, at_most, target_s)
        used = machine.usage()
        for name, value in used.items():
            self.result[name] = self.result.get(name, 0) + value - before[name]
        self.samples.extend(samples)
        self.started.extend(started)
        return samples, started

    def _infer(self) -> object:
        return self.backend.infer(self.feeds)

    def _stage(self, name: str) -> None:
        with open(os.path.join(self.directory, "stage"), "w") as stream:
            stream.write(name)
