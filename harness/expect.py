"""What a measurement must hold, as assertions for tests.

Each returns the figure in words when it holds, and raises AssertionError when it does not, saying what was
expected, what was measured with its interval, how sure that is, and where the evidence lies.
"""

from harness.spec import Measurement, OutputParity


def assert_latency(measurement: Measurement) -> str:
    """The latency is no regression and within the model's budget; an emulator's is only told."""
    __tracebackhide__ = True
    latency, verdict, ceiling = measurement.latency, measurement.verdict, measurement.budget.latency_ms
    if latency is None:
        raise AssertionError(f"no launch of {measurement.case.key} gave a timed iteration")
    interval = latency.interval
    if measurement.emulated:
        return f"{interval.centre_ms:.3g} ms (emulated)"
    measured = (
        f"measured {interval.centre_ms:.3g} ms "
        f"({interval.confidence:.0%} interval {interval.low_ms:.3g} to {interval.high_ms:.3g} ms, "
        f"{latency.launches} launches, {latency.iterations} iterations)"
    )
    if ceiling is not None and interval.centre_ms > ceiling:
        sure = "surely" if interval.low_ms > ceiling else "the interval includes the budget"
        raise AssertionError(
            f"expected at most {ceiling:g} ms (budget of {measurement.case.model}), {measured}; "
            f"{sure} over. {_evidence(measurement)}"
        )
    if verdict.kind == "regressed":
        raise AssertionError(
            f"expected no slower than {_baseline(measurement)}, {measured}; {verdict.reason}. "
            f"{_evidence(measurement)}"
        )
    change = ""
    if verdict.ratio is not None:
        other = f" against {measurement.against.engine}" if measurement.against else ""
        change = f" ({(verdict.ratio - 1) * 100:+.1f} %{other})"
    return f"{interval.centre_ms:.3g} ms{change}"


def assert_memory(measurement: Measurement) -> str:
    """The peak resident set is within the model's budget."""
    __tracebackhide__ = True
    peak, ceiling = measurement.peak_rss_mib, measurement.budget.peak_rss_mib
    if peak is None:
        return "peak not readable on this device"
    if ceiling is not None and peak > ceiling:
        raise AssertionError(
            f"expected at most {ceiling:g} MiB (budget of {measurement.case.model}), measured a peak of "
            f"{peak:.1f} MiB (VmHWM, the highest of {len(measurement.results)} launches). "
            f"{_evidence(measurement)}"
        )
    return f"{peak:.0f} MiB"


def assert_parity(measurement: Measurement) -> str:
    """Every output is within the limits of its precision."""
    __tracebackhide__ = True
    parity = measurement.parity
    if parity is None:
        raise AssertionError(f"no outputs of {measurement.case.key} were brought back")
    wrong = [output for output in parity.outputs if not output.ok]
    if wrong:
        found = "; ".join(f"{output.name}: {_told(output)}" for output in wrong)
        raise AssertionError(
            f"expected the outputs of {parity.reference} within the limits of "
            f"{measurement.case.precision}; {found}. {_evidence(measurement)}"
        )
    cosine = parity.worst("cosine")
    return "outputs equal" if cosine is None else f"cosine {cosine:.6f}"


def _baseline(measurement: Measurement) -> str:
    if measurement.against is not None:
        return measurement.against.engine
    return f"in run {measurement.verdict.baseline_run}"


def _told(output: OutputParity) -> str:
    figures = {
        "max_rel": output.max_rel,
        "cosine": output.cosine,
        "snr_db": output.snr_db,
        "top_k": output.top_k,
    }
    listed = ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if value is not None)
    return f"{output.failure or 'outside the limits'} ({listed})" if listed else output.failure


def _evidence(measurement: Measurement) -> str:
    return f"Evidence: run {measurement.run_id}, {measurement.device}: {measurement.case.key}"
