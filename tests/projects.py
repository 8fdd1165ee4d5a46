"""pytest sessions as users have them: in a project of their own, in a process of their own."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from harness.cache import default_root
from harness.spec import Measurement

SUITES = Path(__file__).parent.parent / "suites"

PYTEST_INI = """
[pytest]
filterwarnings = error
xfail_strict = true
addopts = --strict-markers --strict-config -p no:hypothesispytest -p no:cacheprovider
"""
BENCH = """
driver = "local"
workdir = "{}"
"""
WARMS_UP_S = 600
"""More than a session takes with an empty cache and everything to be fetched."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """How a pytest session ended and what it left."""

    exit_code: int
    printed: str
    results: Path

    @property
    def run(self):
        """Directory of the one run that there is."""
        (info,) = self.results.glob("*/run.json")
        return info.parent

    @property
    def measurements(self):
        """What was stored, in the order it was measured."""
        lines = (self.run / "measurements.jsonl").read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Measurement) for line in lines]

    @property
    def outcomes(self):
        """`{"passed": 6}`, from pytest's last line."""
        last = [line for line in self.printed.splitlines() if re.match(r"=+ .* in [0-9.]+s", line)][-1]
        return {word.rstrip("s"): int(count) for count, word in re.findall(r"(\d+) ([a-z]+)", last)}


class Project:
    """A directory with the suites in it; `pytest` starts a session there."""

    def __init__(self, root, environment):
        self.root = root
        self.environment = environment
        self.results = root / "results"
        self.options = ("--results-dir", self.results, "--device-dir", ".")
        self.zoo = root / "suites" / "zoo.toml"
        shutil.copytree(SUITES, root / "suites", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "pytest.ini").write_text(PYTEST_INI)
        (root / "bench.toml").write_text(BENCH.format(root / "work"))

    def start(self, *arguments, device="bench", **environment):
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "suites", *self.options, "--device", device, *arguments],
            cwd=self.root,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def pytest(self, *arguments, device="bench", **environment):
        """A session on `device` and those that `arguments` name, to its end."""
        return self.ended(self.start(*arguments, device=device, **environment))

    def ended(self, process):
        try:
            printed, _ = process.communicate(timeout=WARMS_UP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
            pytest.fail(f"the session hung:\n{printed}")
        return Session(exit_code=process.returncode, printed=printed, results=self.results)

    def processes(self):
        """Ids of processes that work in this project's device directory."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if Path(entry, "cwd").resolve().is_relative_to(self.root / "work"):
                    found.append(int(entry.name))
        return found

    def stored(self):
        """Whether a measurement has been written to its end."""
        return any(path.read_bytes().endswith(b"\n") for path in self.results.glob("*/measurements.jsonl"))


def private_environment(folder):
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "POCKETBENCH_", "COV_"))}
    return {
        **kept,
        "XDG_RUNTIME_DIR": str(runtime),
        "POCKETBENCH_CACHE": str(default_root()),
        "COLUMNS": "200",
    }
