"""Plausible measurements for tests that need some without measuring."""

import numpy as np

from harness.spec import (
    Case,
    Interval,
    Latency,
    LaunchResult,
    Measurement,
    MemoryUse,
    OutputParity,
    Parity,
    ParityLimits,
    RunInfo,
    RunnerResult,
    Verdict,
    Warmup,
)

RUN_ID = "20261122-174500-abc123"


def case(**changes):
    given = {
        "model": "ppocr_det",
        "runtime": "ncnn",
        "runtime_version": "1.0.20261020",
        "precision": "fp32",
        "threads": 1,
    }
    return Case(**{**given, **changes})


def launch(index=0, *, centre_ms=26.0, iterations=20, seed=0, peak_mib=90.0):
    samples = (
        np.random.default_rng(seed + index).normal(centre_ms, centre_ms / 50, iterations) * 1e6
    ).astype(int)
    started = np.concatenate([[0], np.cumsum(samples)[:-1]]) + 10**12
    result = RunnerResult(
        schema=1,
        runtime="ncnn",
        runtime_version="1.0.20261020",
        python="3.11.7",
        backend="cpu",
        import_s=0.2,
        load_s=0.05,
        first_s=centre_ms / 500,
        warmup=Warmup(samples_ns=tuple(int(s) for s in samples[:10]), settled=True),
        samples_ns=tuple(int(s) for s in samples),
        started_ns=tuple(int(s) for s in started),
        memory=MemoryUse(
            before_import_rss_bytes=30 << 20,
            before_load_rss_bytes=40 << 20,
            after_load_rss_bytes=60 << 20,
            after_first_rss_bytes=80 << 20,
            peak_rss_bytes=int(peak_mib * 2**20),
            pss_bytes=70 << 20,
        ),
        threads_asked=1,
        threads_obtained=1,
        affinity=(0, 1),
        cpu_time_s=0.5,
        timed_wall_s=0.52,
        involuntary_switches=3,
        voluntary_switches=1,
    )
    return LaunchResult(index=index, status="measured", exit_code=0, wall_s=1.2, result=result)


def measurement(*, centre_ms=26.0, launches=3, seed=0, peak_mib=90.0, **changes):
    samples = tuple(launch(i, centre_ms=centre_ms, seed=seed, peak_mib=peak_mib) for i in range(launches))
    limits = ParityLimits(max_rel=1e-3, cosine=0.9999, snr_db=60.0)
    given = {
        "run_id": RUN_ID,
        "device": "local",
        "device_fingerprint": "f" * 16,
        "case": case(),
        "status": "measured",
        "started_at": "2026-11-22T17:45:00+00:00",
        "seconds": 4.2,
        "effort": "standard",
        "seed": 7,
        "command": ("python3.11", "-S", "-m", "runner", "job.json"),
        "environment": {"OMP_WAIT_POLICY": "passive"},
        "launches": samples,
        "latency": Latency(
            interval=Interval(
                centre_ms=centre_ms, low_ms=centre_ms * 0.98, high_ms=centre_ms * 1.02, confidence=0.95
            ),
            min_ms=centre_ms * 0.95,
            p90_ms=centre_ms * 1.05,
            p99_ms=None,
            iterations=20 * launches,
            launches=launches,
        ),
        "parity": Parity(
            ok=True,
            outputs=(
                OutputParity(
                    name="sigmoid_0.tmp_0", ok=True, max_abs=1e-6, max_rel=2e-6, cosine=1.0, snr_db=110.0
                ),
            ),
            limits=limits,
            reference="onnxruntime@1.32.0 fp32",
        ),
        "facts": {"model": "AMD EPYC", "arch": "x86_64", "cores": 2},
        "verdict": Verdict(kind="new"),
    }
    return Measurement(**{**given, **changes})


def run_info(**changes):
    given = {
        "run_id": RUN_ID,
        "started_at": "2026-11-22T17:45:00+00:00",
        "argv": ("pytest", "suites/", "--device=local"),
        "effort": "standard",
        "seed": 7,
        "devices": ("local",),
        "pocketbench_version": "0.1.0",
        "planned": 4,
    }
    return RunInfo(**{**given, **changes})
