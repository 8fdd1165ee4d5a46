"""Build C++ projects with CMake and Ninja, saying how far it is."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.bundles.compilers import Compiler
from harness.cache import Cache
from harness.environments import environment
from harness.errors import PocketbenchError
from harness.spec import Frozen
from harness.toolchains import CMAKE

Report = Callable[[str, int, int], None]
"""Told the stage, how many of its steps are done, and how many there are (0: not known yet)."""

INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "TERM")
"""What compilers see of the environment: CXXFLAGS would make another program under the same name."""

_STEP = re.compile(r"\[(\d+)/(\d+)\] ")


class Project(Frozen, frozen=True, kw_only=True):
    """What is built: a directory with CMakeLists.txt, where it is built, and its options."""

    name: str
    source: Path
    directory: Path
    options: Mapping[str, str | Path]


def build(cache: Cache, project: Project, compiler: Compiler, target: str, log: Path, report: Report) -> None:
    """Configure `project` and build its `target`; all that is printed goes into `log` as well.

    Raises PocketbenchError with the first error and the log's place.
    """
    tools = environment(cache, CMAKE).site
    cmake, ninja = tools / "cmake" / "data" / "bin" / "cmake", tools / "bin" / "ninja"
    options = {"CMAKE_MAKE_PROGRAM": ninja, **_choosing(compiler), **project.options}
    configure = [str(cmake), "-G", "Ninja", "-S", str(project.source), "-B", str(project.directory)]
    configure += [f"-D{name}={value}" for name, value in options.items()]
    with log.open("w") as written:
        report(f"configuring {project.name}", 0, 0)
        _run(project.name, configure, written.write, log)

        def follow(line: str) -> None:
            written.write(line)
            if step := _STEP.match(line):
                report(f"compiling {project.name}", int(step[1]), int(step[2]))

        jobs = len(os.sched_getaffinity(0))
        _run(project.name, [str(ninja), "-C", str(project.directory), f"-j{jobs}", target], follow, log)


def _choosing(compiler: Compiler) -> dict[str, str | Path]:
    chosen: dict[str, str | Path] = {
        "CMAKE_C_COMPILER": compiler.c,
        "CMAKE_CXX_COMPILER": compiler.cxx,
        "CMAKE_BUILD_TYPE": "Release",
    }
    if compiler.cross:
        chosen |= {"CMAKE_SYSTEM_NAME": "Linux", "CMAKE_SYSTEM_PROCESSOR": compiler.abi.arch}
    return chosen


def _run(name: str, command: Sequence[str], follow: Callable[[str], object], log: Path) -> None:
    """Run `command` to its end, each printed line given to `follow`; ended with us when we are."""
    variables = {key: os.environ[key] for key in INHERITED if key in os.environ}
    errors: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**variables, "NINJA_STATUS": "[%f/%t] ", "LC_ALL": "C"},
    ) as process:
        try:
            for line in process.stdout or ():
                follow(line)
                if re.search(r"\b(error|Error|undefined reference)\b", line):
                    errors.append(line.strip())
        except BaseException:
            process.terminate()  # Ninja ends its compilers
            raise
    if process.returncode != 0:
        said = errors[0][:300].rstrip(".") if errors else f"exit code {process.returncode}"
        raise PocketbenchError(f"{name} cannot be built: {said}. All that was printed is in {log}")
