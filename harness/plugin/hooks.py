"""pytest's hooks, in the order in which pytest calls them."""

import secrets
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devices.base import DeviceError
from harness.errors import PocketbenchError
from harness.plan import Plan, make_plan
from harness.plugin.items import OUTCOME, ReplayClock, expect, target_of
from harness.plugin.options import ask_of, results_dir, zoo_path
from harness.plugin.progress import Progress
from harness.plugin.runlog import RunLog
from harness.plugin.state import LOG, PLAN, RUN, SESSION, SessionState

if TYPE_CHECKING:
    from harness.results import StoredRun
    from harness.run import Run


def pytest_configure(config: pytest.Config) -> None:
    """Choose the session's seed and run, or take them from the session that started this worker."""
    given = getattr(config, "workerinput", {}).get("pocketbench")
    if given:
        state = SessionState(**given)
    else:
        seed = config.getoption("--seed")
        state = SessionState(
            seed=secrets.randbits(31) if seed is None else seed,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
    config.stash[SESSION] = state
    config.addinivalue_line("markers", "parity: judges outputs, so a known deviation of outputs concerns it")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - xdist has no public type for it
    """Give the worker the session's seed and run, so that all write into one."""
    state = node.config.stash[SESSION]
    if state.run_id is None and node.config.stash.get(PLAN, None) is not None:
        state.run_id = _new_run()
    node.workerinput["pocketbench"] = {
        "seed": state.seed,
        "started_at": state.started_at,
        "run_id": state.run_id,
    }


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - see above
    """Take over the notes of a worker that is done."""
    notes = node.config.stash[SESSION].notes
    told = getattr(node, "workeroutput", {}).get("pocketbench_notes", [])
    notes.extend(note for note in told if note not in notes)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:  # noqa: ANN401 - see above
    """One worker per device, whatever --dist says."""
    plan = config.stash.get(PLAN, None)
    if plan is None:
        return None
    from harness.plugin.parallel import DeviceScheduling

    return DeviceScheduling(config, log, plan)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Nothing but the seed: it is what a rerun in the same order needs."""
    return [f"pocketbench: seed {config.stash[SESSION].seed}"] if zoo_path(config).is_file() else []


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Check what was asked for before anything is collected or any worker is started."""
    config = session.config
    if config.getoption("--zoo") is None and not zoo_path(config).is_file():
        return
    try:
        config.stash[PLAN] = make_plan(ask_of(config, config.stash[SESSION].seed))
        if config.getoption("--resume"):
            config.stash[SESSION].run_id = _resumed_run(config)
    except (PocketbenchError, DeviceError) as error:
        raise pytest.UsageError(str(error)) from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per target for each test function that takes one, directly or through `measurement`."""
    if "target" not in metafunc.fixturenames:
        return
    plan = metafunc.config.stash.get(PLAN, None)
    if plan is None:
        raise pytest.UsageError(
            f"there is no zoo at {zoo_path(metafunc.config)}: name one with --zoo, "
            "or copy suites/zoo.toml there"
        )
    metafunc.parametrize(
        "target",
        [pytest.param(target, id=plan.target_id(target)) for target in plan.targets],
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Known deviations are strict expected failures; device samples get a clock that replays them."""
    target = target_of(item)
    if target is None:
        return
    plan: Plan = item.config.stash[PLAN]
    expect(item, plan.expectation(target.case))
    if "benchmark" in getattr(item, "fixturenames", ()):
        group = f"{target.device} {target.case.model}"
        item.add_marker(pytest.mark.benchmark(timer=ReplayClock(), group=group, warmup=False))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Before the first test: everything that can be made beforehand is made, with progress."""
    config = session.config
    targets = (target_of(item) for item in session.items)
    wanted = {target for target in targets if target is not None}
    if wanted and not config.option.collectonly:
        run = _open_run(config)
        with Progress(config, "preparing") as progress:
            run.prepare(
                sorted(wanted),
                lambda case, done, total: progress.update(done, total, case.key),
                progress.downloading,
            )
            cases = len({target.case for target in wanted})
            progress.finish(f"{cases} cases ready, {len(run.built)} things built anew")
    return (yield)


def pytest_report_teststatus(
    report: pytest.TestReport | pytest.CollectReport,
) -> tuple[str, str, str] | None:
    """`PASSED  26.6 ms (-1.2 %)`: what was measured stands beside the outcome."""
    told = dict(getattr(report, "user_properties", ())).get(OUTCOME)
    if told and report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
        return "passed", ".", f"PASSED  {told}"
    return None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close the run and write the report: whatever was measured is there, also after Ctrl-C."""
    config = session.config
    run = config.stash.get(RUN, None)
    state = config.stash[SESSION]
    if run is not None:
        run.close()
        state.notes.extend((*run.notes, *config.stash[LOG].notes))
    if hasattr(config, "workerinput"):
        config.workeroutput["pocketbench_notes"] = state.notes  # type: ignore[attr-defined] # xdist's
        return
    stored = _stored(config)
    if stored is None or not stored.measurements:
        return
    from harness.history import History, default_url
    from reports.page import write_page
    from reports.trends import read_trends

    url = config.getoption("--history") or default_url(stored.directory.parent)
    try:
        with History(url) as history:
            earlier = read_trends(history, stored.measurements)
    except PocketbenchError as error:
        state.notes.append(f"the page has no trends: {error}")
        earlier = {}
    paths = [stored.directory / "report.html"]
    if config.getoption("--report-html"):
        paths.append(Path(config.getoption("--report-html")))
    for path in paths:
        try:
            write_page(path, stored.info, stored.measurements, history=earlier)
        except OSError as error:
            state.notes.append(f"the report could not be written to {path}: {error.strerror}")
        else:
            state.report = path


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The comparative table, the verdicts, and where the report lies."""
    stored = _stored(config)
    if stored is None:
        return
    from harness.plugin.summary import write_summary

    state = config.stash[SESSION]
    if getattr(config.option, "tx", None):
        state.notes.append(
            "pytest-benchmark rests in a session with workers (-n): its table, --benchmark-json and "
            "comparisons have nothing; the figures above and the report have everything"
        )
    write_summary(terminalreporter, stored, state, config.stash[PLAN])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let go of devices when pytest ends before a session could."""
    run, log = config.stash.get(RUN, None), config.stash.get(LOG, None)
    if run is not None:
        run.release()
    if log is not None:
        log.close()


def _open_run(config: pytest.Config) -> "Run":
    from harness.bundles import binary_bundle
    from harness.cache import Cache
    from harness.history import History, default_url
    from harness.results import RunStore
    from harness.run import Run

    state = config.stash[SESSION]
    try:
        if state.run_id is None:
            state.run_id = _new_run()
        _begin_run(config, state)
        store = RunStore(results_dir(config))
        stored = store.load(str(state.run_id))
        run = Run(
            config.stash[PLAN],
            store.resume(str(state.run_id)),
            History(config.getoption("--history") or default_url(results_dir(config))),
            Cache(),
            launch_timeout_s=config.getoption("--launch-timeout"),
            baseline=config.getoption("--baseline"),
            resumed=stored.measurements,
            supplied=[binary_bundle(Path(folder)) for folder in config.getoption("--bundle")],
        )
    except PocketbenchError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[RUN] = run
    config.stash[LOG] = RunLog(stored.directory)
    return run


def _new_run() -> str:
    from harness.results import new_run_id

    return new_run_id(datetime.now(UTC))


def _resumed_run(config: pytest.Config) -> str:
    from harness.results import RunStore

    return RunStore(results_dir(config)).resolve(config.getoption("--resume"))


def _begin_run(config: pytest.Config, state: SessionState) -> None:
    """Make the run's directory unless it is there: the session's workers race for it."""
    from filelock import FileLock

    from harness.results import RunStore
    from harness.run_description import describe_run

    folder, run_id = results_dir(config), str(state.run_id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".begin.lock"):
            if run_id in RunStore(folder).run_ids():
                return
            argv = ["pytest", *map(str, config.invocation_params.args)]
            info = describe_run(run_id, state.started_at, argv, config.stash[PLAN])
            RunStore(folder).start(info)
    except OSError as error:
        raise PocketbenchError(
            f"cannot make the results directory {folder} ({error.strerror}): "
            "give another with --results-dir or POCKETBENCH_RESULTS"
        ) from error


def _stored(config: pytest.Config) -> "StoredRun | None":
    """The session's run as it lies on the disk; None when the session has not begun one."""
    from harness.results import RunStore

    run_id, store = config.stash[SESSION].run_id, RunStore(results_dir(config))
    return store.load(run_id) if run_id is not None and run_id in store.run_ids() else None
