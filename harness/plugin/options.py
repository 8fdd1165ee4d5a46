"""pytest's options, and the request they make."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import PocketbenchError
from harness.matrix import Filters, split_names
from harness.plan import Ask
from harness.schedule import EFFORTS

DEFAULT_ZOO = Path("suites", "zoo.toml")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a measuring session."""
    group = parser.getgroup("pocketbench", "measuring models on devices")
    lists = {"action": "append", "metavar": "NAMES", "default": []}
    group.addoption("--device", **lists, help="devices to measure on, comma lists allowed (default: local)")
    group.addoption("--device-dir", action="append", metavar="DIR", default=[], help="more device files")
    group.addoption(
        "--bundle",
        action="append",
        metavar="DIR",
        default=[],
        help="a runtime of your own build for a device",
    )
    group.addoption("--model", **lists, help="models of the zoo (default: all with default = true)")
    group.addoption("--runtime", **lists, help="runtimes, NAME or NAME@VERSION (default: all)")
    group.addoption("--precision", **lists, help="precisions (default: what each runtime has)")
    group.addoption("--threads", **lists, help="thread counts (default: 1)")
    group.addoption("--backend", **lists, help="backends: ncnn's vulkan, Paddle-Lite's mobile (default: cpu)")
    group.addoption(
        "--effort", default="standard", metavar="EFFORT", help=f"{' | '.join(EFFORTS)} (default: standard)"
    )
    group.addoption("--zoo", metavar="PATH", help=f"the zoo file (default: {DEFAULT_ZOO})")
    group.addoption(
        "--baseline", metavar="NAME", help="compare with this baseline or run (default: the run before)"
    )
    group.addoption(
        "--against", metavar="RUNTIME@VERSION", help="alternate that runtime's cases with this version of it"
    )
    group.addoption("--history", metavar="URL", help="database (default: history.sqlite in the results)")
    group.addoption("--results-dir", metavar="DIR", help="where runs are kept (default: results)")
    group.addoption("--report-html", metavar="PATH", help="write the report there as well")
    group.addoption("--resume", metavar="RUN", help="go on with a run, measuring only what it lacks")
    group.addoption("--seed", type=int, metavar="N", help="order of the cases (default: chosen and recorded)")
    group.addoption(
        "--launch-timeout", type=float, default=180.0, metavar="S", help="seconds a launch may take"
    )


def results_dir(config: pytest.Config) -> Path:
    """Where runs are kept."""
    given = config.getoption("--results-dir") or os.environ.get("POCKETBENCH_RESULTS")
    return Path(given) if given else config.rootpath / "results"


def zoo_path(config: pytest.Config) -> Path:
    """The zoo file of this session."""
    given = config.getoption("--zoo")
    return Path(given) if given else config.rootpath / DEFAULT_ZOO


def ask_of(config: pytest.Config, seed: int) -> Ask:
    """The request made by the options; raises PocketbenchError for what is empty or no number."""
    return Ask(
        zoo=zoo_path(config),
        devices=_names(config, "--device") or ("local",),
        device_dirs=tuple(Path(folder) for folder in config.getoption("--device-dir")),
        filters=Filters(
            models=_names(config, "--model"),
            runtimes=_names(config, "--runtime"),
            precisions=_names(config, "--precision"),
            threads=_numbers("--threads", _names(config, "--threads")) or (1,),
            backends=_names(config, "--backend"),
        ),
        effort=config.getoption("--effort"),
        seed=seed,
        against=config.getoption("--against"),
    )


def _names(config: pytest.Config, option: str) -> tuple[str, ...]:
    given = config.getoption(option)
    names = split_names(given)
    if given and not names:
        raise PocketbenchError(f"{option} names nothing: {', '.join(map(repr, given))}")
    return names


def _numbers(option: str, words: Sequence[str]) -> tuple[int, ...]:
    for word in words:
        if not word.isdecimal() or int(word) < 1:
            raise PocketbenchError(f"{option} takes whole numbers from 1 on, not {word!r}")
    return tuple(int(word) for word in words)
