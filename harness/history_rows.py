"""The tables of the history, and what goes into their columns."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from harness.spec import Measurement, RunInfo

# Compared byte by byte in both databases, because run ids are ordered by time only that way.
_Ordered = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")


class Base(DeclarativeBase):
    """Of all tables."""


class SchemaRow(Base):
    """Version of the tables."""

    __tablename__ = "schema_version"
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class RunRow(Base):
    """A run and its description."""

    __tablename__ = "runs"
    run_id: Mapped[str] = mapped_column(_Ordered, primary_key=True)
    started_at: Mapped[str]
    finished_at: Mapped[str | None]
    effort: Mapped[str]
    payload: Mapped[str] = mapped_column(sa.Text)


class MeasurementRow(Base):
    """A measurement, whole, and the columns that are searched."""

    __tablename__ = "measurements"
    __table_args__ = (sa.Index("measurements_by_case", "case_key", "device_fingerprint", "run_id"),)
    run_id: Mapped[str] = mapped_column(_Ordered, sa.ForeignKey("runs.run_id"), primary_key=True)
    device: Mapped[str] = mapped_column(primary_key=True)
    case_key: Mapped[str] = mapped_column(primary_key=True)
    device_fingerprint: Mapped[str]
    model: Mapped[str]
    runtime: Mapped[str]
    runtime_version: Mapped[str]
    precision: Mapped[str]
    threads: Mapped[int]
    backend: Mapped[str]
    started_at: Mapped[str]
    status: Mapped[str]
    verdict: Mapped[str]
    parity_ok: Mapped[bool | None]
    latency_ms: Mapped[float | None]
    peak_rss_mib: Mapped[float | None]
    payload: Mapped[str] = mapped_column(sa.Text)


class BaselineRow(Base):
    """A name for an accepted run."""

    __tablename__ = "baselines"
    name: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(_Ordered, sa.ForeignKey("runs.run_id"))


def run_values(info: RunInfo) -> dict[str, Any]:
    """Columns of a run."""
    return {
        "run_id": info.run_id,
        "started_at": info.started_at,
        "finished_at": info.finished_at,
        "effort": info.effort,
        "payload": msgspec.json.encode(info).decode(),
    }


def measurement_values(measurement: Measurement) -> dict[str, Any]:
    """Columns of a measurement."""
    case = measurement.case
    return {
        "run_id": measurement.run_id,
        "device": measurement.device,
        "case_key": case.key,
        "device_fingerprint": measurement.device_fingerprint,
        "model": case.model,
        "runtime": case.runtime,
        "runtime_version": case.runtime_version,
        "precision": case.precision,
        "threads": case.threads,
        "backend": case.backend,
        "started_at": measurement.started_at,
        "status": measurement.status,
        "verdict": measurement.verdict.kind,
        "parity_ok": measurement.parity.ok if measurement.parity else None,
        "latency_ms": measurement.latency.interval.centre_ms if measurement.latency else None,
        "peak_rss_mib": measurement.peak_rss_mib,
        "payload": msgspec.json.encode(measurement).decode(),
    }
