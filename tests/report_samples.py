"""A plausible night's run for the tests of the report: 4 runtimes, 5 models, and every way a case can end."""

import msgspec
import numpy as np
import samples

from harness.spec import (
    Artifact,
    Budget,
    BundleInfo,
    DeviceState,
    Expectation,
    Interval,
    Latency,
    LaunchResult,
    MemoryUse,
    OutputParity,
    Parity,
    ParityLimits,
    RunnerResult,
    Verdict,
    Warmup,
)
from reports.detail import Point

MODELS = {
    "ppocr_det": 26.0,
    "ppocr_rec": 9.4,
    "yolov8n": 61.0,
    "mobilenet_v3": 3.1,
    "silero_vad": 0.21,
}
ENGINES = {
    "onnxruntime": ("1.32.0", 1.0, 62),
    "mnn": ("3.6.1", 0.86, 34),
    "ncnn": ("1.0.20261020", 0.93, 28),
    "paddlelite": ("2.13rc0", 1.7, 41),
}
SPEED = {"fp32": 1.0, "fp16": 0.94, "int8": 0.58}
CRASH_LOG = "libncnn: layer ScaledDotProduct not registered\nFatal Python error: Segmentation fault\n"


def result(case, index, *, centre_ms, iterations, peak_mib, seed):
    rng = np.random.default_rng([seed, index])
    centre_ns = centre_ms * 1e6 * (1 + 0.012 * rng.standard_normal())
    noise = rng.gamma(2.0, 0.006, iterations) + (rng.random(iterations) < 0.006) * rng.random(iterations)
    drift = 0.015 * np.linspace(0, 1, iterations) * index
    timed = (centre_ns * (1 + noise + drift)).astype(int)
    warm = (centre_ns * (1 + 0.9 * np.exp(-np.arange(12) / 2.2) + 0.02 * rng.random(12))).astype(int)
    started = 10**12 + np.concatenate([[0], np.cumsum(timed + rng.integers(900, 2500, iterations))[:-1]])
    peak = int(peak_mib * 2**20)
    start, end = 44.0 + 3 * index, 47.5 + 3 * index
    return RunnerResult(
        schema=1,
        runtime=case.runtime,
        runtime_version=case.runtime_version,
        python="3.11.7",
        backend=case.backend,
        import_s=0.21,
        load_s=0.04 + centre_ms / 800,
        first_s=centre_ms / 420,
        warmup=Warmup(samples_ns=tuple(map(int, warm)), settled=index != 2),
        samples_ns=tuple(map(int, timed)),
        started_ns=tuple(map(int, started)),
        memory=MemoryUse(
            before_import_rss_bytes=int(peak * 0.28),
            before_load_rss_bytes=int(peak * 0.45),
            after_load_rss_bytes=int(peak * 0.71),
            after_first_rss_bytes=int(peak * 0.96),
            peak_rss_bytes=peak,
            pss_bytes=int(peak * 0.8),
        ),
        threads_asked=case.threads,
        threads_obtained=case.threads,
        affinity=(4, 5, 6, 7),
        cpu_time_s=0.97 * case.threads * int(timed.sum()) / 1e9,
        timed_wall_s=int(timed.sum()) / 1e9,
        involuntary_switches=3 + index,
        voluntary_switches=12,
        state_start=DeviceState(
            load_average=0.3, frequencies_khz={"cpu4": 2_850_000}, temperatures_celsius={"big": start}
        ),
        state_end=DeviceState(
            load_average=1.1, frequencies_khz={"cpu4": 2_704_000}, temperatures_celsius={"big": end}
        ),
    )


def measurement(case, *, count=3, iterations=500, seed=1, slower=1.0, **changes):
    version, factor, base_mib = ENGINES[case.runtime]
    centre = MODELS[case.model] * factor * SPEED[case.precision] * slower
    peak = base_mib + 6 * MODELS[case.model] ** 0.7 / SPEED[case.precision]
    ran = tuple(
        LaunchResult(
            index=i,
            status="measured",
            exit_code=0,
            wall_s=2.1,
            result=result(case, i, centre_ms=centre, iterations=iterations, peak_mib=peak - i, seed=seed),
        )
        for i in range(count)
    )
    limits = {"fp32": (1e-3, 0.9999, 60.0), "fp16": (2e-2, 0.999, 35.0), "int8": (0.15, 0.98, 15.0)}
    max_rel, cosine, snr = limits[case.precision]
    good = OutputParity(
        name="sigmoid_0.tmp_0",
        ok=True,
        max_abs=max_rel / 9,
        max_rel=max_rel / 8,
        cosine=0.99999,
        snr_db=snr + 21.4,
    )
    given = {
        "case": case,
        "device": "pixel7",
        "device_fingerprint": "9f31c2a07be4d815",
        "seconds": 9.3,
        "command": ("./python3.11", "-S", "-m", "runner", "/data/local/tmp/pocketbench/job 1.json"),
        "environment": {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(case.threads)},
        "artifact": Artifact(
            key="5b0fce91d2",
            converter=f"{case.runtime}-converter {version}",
            options={"keep_io_types": True, "optimize": 1},
            files={"model": f"{case.model}.{case.runtime}"},
            size_bytes=int(4.6e6 * SPEED[case.precision]),
            sha256={"model": "3f7a" * 16},
        ),
        "bundle": BundleInfo(
            key="c81d07aa31",
            kind="portable",
            runtime=case.runtime,
            version=version,
            platform="android-arm64",
            python="3.11",
            packages={case.runtime: version, "numpy": "1.26.4"},
        ),
        "latency": Latency(
            interval=Interval(
                centre_ms=centre * 1.01, low_ms=centre * 0.998, high_ms=centre * 1.027, confidence=0.95
            ),
            min_ms=centre * 0.99,
            p90_ms=centre * 1.03,
            p99_ms=centre * 1.2 if iterations * count >= 1000 else None,
            iterations=iterations * count,
            launches=count,
        ),
        "parity": Parity(
            ok=True,
            outputs=(good,),
            limits=ParityLimits(max_rel=max_rel, cosine=cosine, snr_db=snr),
            reference="onnxruntime@1.32.0 fp32",
        ),
        "facts": {
            "driver": "adb",
            "model": "Pixel 7",
            "soc": "Tensor G2",
            "arch": "aarch64",
            "os": "Android",
            "os_version": "14",
            "cores": 8,
            "ram_bytes": 8 << 30,
            "clusters": [{"cores": [0, 1, 2, 3], "max_khz": 1803000}, {"cores": [6, 7], "max_khz": 2850000}],
        },
        "telemetry_before": {
            "temperatures_celsius": {"big": 41.2},
            "governor": "schedutil",
            "charging": False,
        },
        "telemetry_after": {
            "temperatures_celsius": {"big": 53.8},
            "governor": "schedutil",
            "charging": False,
        },
        "verdict": Verdict(
            kind="ok", ratio=1.002, ratio_low=0.991, ratio_high=1.013, baseline_run="20261121-020000-9d2e1f"
        ),
    }
    made = samples.measurement(launches=0)
    return msgspec.structs.replace(made, **{"launches": ran, **given, **changes})


def lost(case, status, reason, **changes):
    """A case that could not be measured."""
    launches = ()
    if status == "crashed":
        launches = (
            LaunchResult(
                index=0,
                status="crashed",
                reason=reason,
                signal="SIGSEGV",
                exit_code=-11,
                stage="load",
                wall_s=0.4,
                stderr_tail=CRASH_LOG,
            ),
        )
    nothing = {"latency": None, "parity": None, "launches": launches, "verdict": Verdict(kind=status)}
    return measurement(case, count=0, **{**nothing, "status": status, "reason": reason, **changes})


def wrong(case, failure, **changes):
    """A case that computes something else than the reference."""
    bad = OutputParity(
        name="output0", ok=False, failure=failure, max_abs=0.61, max_rel=0.48, cosine=0.913, snr_db=7.2
    )
    limits = ParityLimits(max_rel=0.02, cosine=0.999, snr_db=35.0)
    parity = Parity(ok=False, outputs=(bad,), limits=limits, reference="onnxruntime@1.32.0 fp32")
    return measurement(case, parity=parity, **changes)


def expectation(case, expect, reason, evidence):
    return Expectation(
        model=case.model,
        runtime=case.runtime,
        precision=case.precision,
        expect=expect,
        reason=reason,
        evidence=evidence,
    )


def nightly(*, iterations=500):
    """The night: some cases slower, faster, lost, wrong, and some of these as expected."""
    night = []
    for seed, (model, runtime, precision) in enumerate(
        (m, r, p) for m in MODELS for r in ENGINES for p in SPEED if not (p == "int8" and m == "silero_vad")
    ):
        case = samples.case(
            model=model,
            runtime=runtime,
            runtime_version=ENGINES[runtime][0],
            precision=precision,
            threads=4,
        )
        night.append(_fate(case, seed, iterations))
    return night


def _fate(case, seed, iterations):  # noqa: C901, PLR0911
    usual = {"seed": seed, "iterations": iterations}
    match (case.model, case.runtime, case.precision):
        case ("ppocr_det", "ncnn", "fp16"):
            verdict = Verdict(
                kind="regressed",
                reason="slower than the threshold of 3 %, confirmed by a second round",
                ratio=1.124,
                ratio_low=1.097,
                ratio_high=1.151,
                baseline_run="20261121-020000-9d2e1f",
            )
            return measurement(case, slower=1.124, verdict=verdict, **usual)
        case ("yolov8n", "mnn", "fp32"):
            verdict = Verdict(
                kind="regressed", ratio=1.048, ratio_low=1.033, ratio_high=1.066, baseline_run="b1"
            )
            return measurement(case, slower=1.048, verdict=verdict, budget=Budget(latency_ms=50), **usual)
        case ("mobilenet_v3", "onnxruntime", "int8"):
            verdict = Verdict(
                kind="improved", ratio=0.913, ratio_low=0.89, ratio_high=0.938, baseline_run="b1"
            )
            return measurement(case, slower=0.913, verdict=verdict, **usual)
        case ("ppocr_rec", "onnxruntime", "fp16"):
            verdict = Verdict(
                kind="inconclusive", reason="the interval reaches over the threshold", ratio=1.03,
                ratio_low=0.97, ratio_high=1.1,
            )  # fmt: skip
            return measurement(case, verdict=verdict, **usual)
        case ("yolov8n", "onnxruntime", "fp16"):
            verdict = Verdict(kind="invalid", reason="the device throttled: big 61 °C, clock fell to 1.2 GHz")
            return measurement(case, slower=1.4, verdict=verdict, **usual)
        case ("ppocr_rec", "ncnn", "int8"):
            return lost(case, "crashed", "the runner died with SIGSEGV while loading the artifact")
        case ("yolov8n", "paddlelite", "int8"):
            return lost(case, "timeout", "no result after 120 s; the runner and its children were killed")
        case ("yolov8n", "mnn", "int8"):
            return wrong(case, "cosine 0.913 is under 0.98", **usual)
        case ("silero_vad", "paddlelite", _):
            reason = "x2paddle has no converter for the operator LSTM"
            evidence = "https://github.com/PaddlePaddle/X2Paddle/issues/1"
            known = expectation(case, "unsupported", reason, evidence)
            return lost(case, "unsupported", "converter: operator LSTM is not supported", expectation=known)
        case ("ppocr_rec", "paddlelite", "fp16"):
            known = expectation(
                case, "parity", "overflows in the softmax at fp16", "measured with -inf at logits"
            )
            return wrong(case, "NaN where the reference has none", expectation=known, **usual)
        case ("silero_vad", "mnn", "fp16"):
            known = expectation(case, "crashed", "died at load in 3.5.0", "docs/runtimes.md")
            return measurement(case, expectation=known, **usual)
    return measurement(case, **usual)


def emulated(*, iterations=300):
    """The same models on an emulated board."""
    board = {"device": "pi5-qemu", "device_fingerprint": "00aa11bb22cc33dd", "emulated": True}
    for model in ("ppocr_det", "mobilenet_v3"):
        for runtime in ("onnxruntime", "ncnn"):
            version = ENGINES[runtime][0]
            case = samples.case(model=model, runtime=runtime, runtime_version=version, threads=4)
            unjudged = Verdict(kind="inconclusive", reason="pi5-qemu is emulated")
            yield measurement(case, slower=14.0, iterations=iterations, verdict=unjudged, **board)


def night_info(**changes):
    given = {
        "devices": ("pixel7",),
        "argv": ("pytest", "suites/", "--device=pixel7", "--effort=standard"),
        "finished_at": "2026-11-22T17:58:12+00:00",
        "planned": 57,
        "source_revision": "8857870",
        "host": {"system": "Linux 6.8", "cpu": "AMD EPYC", "python": "3.11.7"},
    }
    return samples.run_info(**{**given, **changes})


def earlier(measurement):
    """Ten nights of a case's history."""
    latency = measurement.latency
    centre = latency.interval.centre_ms if latency else 1.0
    wave = np.random.default_rng(3).normal(1.0, 0.012, 10)
    return [
        Point(run_id=f"r{i}", started_at=f"2026-11-{12 + i}T02:00:00+00:00", latency_ms=centre * float(w))
        for i, w in enumerate(wave)
    ]
