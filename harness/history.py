"""The database of all runs: SQLite beside the results, or PostgreSQL by URL; many processes may write.

A measurement is stored whole, as the JSON line of measurements.jsonl, with beside it the columns that are
searched. Import this module only where a history is used: SQLAlchemy takes a third of a second to load.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from harness.errors import PocketbenchError, UnknownNameError
from harness.results import decode_measurement, decode_run_info
from harness.spec import Measurement, RunInfo

SCHEMA_VERSION = 1
"""Version of the tables; a newer one is refused."""

BUSY_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10
_SCHEMA_LOCK = 0x706F636B
"""Any number that every pocketbench uses: PostgreSQL's advisory lock while tables are made."""

# Compared byte by byte in both databases, because run ids are ordered by time only that way.
_Ordered = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")


class _Base(DeclarativeBase):
    pass


class _SchemaRow(_Base):
    __tablename__ = "schema_version"
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class _RunRow(_Base):
    __tablename__ = "runs"
    run_id: Mapped[str] = mapped_column(_Ordered, primary_key=True)
    started_at: Mapped[str]
    finished_at: Mapped[str | None]
    effort: Mapped[str]
    payload: Mapped[str] = mapped_column(sa.Text)


class _MeasurementRow(_Base):
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


class _BaselineRow(_Base):
    __tablename__ = "baselines"
    name: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(_Ordered, sa.ForeignKey("runs.run_id"))


def default_url(results_dir: Path) -> str:
    """URL of the SQLite file that lies beside the results."""
    return f"sqlite:///{results_dir.absolute() / 'history.sqlite'}"


class History:
    """Runs and measurements of all days. Opened when created, to be closed or used with `with`.

    >>> with History(default_url(Path("results"))) as history:
    ...     history.record(info, measurement)

    Raises PocketbenchError when the database cannot be reached, lacks its driver or is a newer
    pocketbench's. Passwords in the URL are never shown.
    """

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self.label = self._url.render_as_string(hide_password=True)
        self._engine = _engine(self._url, self.label)
        self._insert = sqlite.insert if self._url.get_backend_name() == "sqlite" else postgresql.insert
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connections back; safe to call twice."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(self, info: RunInfo, *measurements: Measurement) -> None:
        """Store a run and measurements of it; what is there already for run, device and case is replaced."""
        with self._writing() as connection:
            self._upsert(connection, _RunRow, _run_values(info))
            for measurement in measurements:
                self._upsert(connection, _MeasurementRow, _measurement_values(measurement))

    def runs(self) -> list[RunInfo]:
        """All runs, newest first."""
        query = sa.select(_RunRow.run_id, _RunRow.payload).order_by(_RunRow.run_id.desc())
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [decode_run_info(payload, f"run {run_id} in {self.label}") for run_id, payload in rows]

    def measurements(self, run_id: str) -> list[Measurement]:
        """All measurements of a run, in the order they were taken; raises UnknownNameError."""
        found = self._measurements(
            sa.select(_MeasurementRow)
            .where(_MeasurementRow.run_id == run_id)
            .order_by(_MeasurementRow.started_at, _MeasurementRow.device, _MeasurementRow.case_key)
        )
        if not found:
            self._require_run(run_id)
        return found

    def baseline(
        self, case_key: str, fingerprint: str, before_run: str | None = None, named: str | None = None
    ) -> Measurement | None:
        """What a case on a device is compared with, or None.

        The newest run before `before_run` (of all when None) that measured it, with outputs that were
        not wrong, on a device that was not throttling; with `named`, only the run of that baseline name
        or run id, and UnknownNameError when there is neither.
        """
        query = (
            sa.select(_MeasurementRow)
            .where(
                _MeasurementRow.case_key == case_key,
                _MeasurementRow.device_fingerprint == fingerprint,
                _MeasurementRow.status == "measured",
                _MeasurementRow.verdict.not_in(["invalid", "failed"]),
                _MeasurementRow.parity_ok.is_not(False),
            )
            .order_by(_MeasurementRow.run_id.desc(), _MeasurementRow.started_at.desc())
            .limit(1)
        )
        if named is not None:
            query = query.where(_MeasurementRow.run_id == self._named_run(named))
        elif before_run is not None:
            query = query.where(_MeasurementRow.run_id < before_run)
        found = self._measurements(query)
        return found[0] if found else None

    def case_history(self, case_key: str, fingerprint: str, limit: int = 30) -> list[Measurement]:
        """The newest `limit` measurements of a case on a device, oldest first, whatever became of them."""
        query = (
            sa.select(_MeasurementRow)
            .where(
                _MeasurementRow.case_key == case_key,
                _MeasurementRow.device_fingerprint == fingerprint,
            )
            .order_by(_MeasurementRow.run_id.desc(), _MeasurementRow.started_at.desc())
            .limit(limit)
        )
        return self._measurements(query)[::-1]

    def name_baseline(self, name: str, run_id: str) -> None:
        """Let `name` mean `run_id` from now on; raises UnknownNameError for a run that is not there."""
        self._require_run(run_id)
        with self._writing() as connection:
            self._upsert(connection, _BaselineRow, {"name": name, "run_id": run_id})

    def named_baselines(self) -> dict[str, str]:
        """Run id by baseline name."""
        query = sa.select(_BaselineRow.name, _BaselineRow.run_id).order_by(_BaselineRow.name)
        with self._reading() as connection:
            return {row.name: row.run_id for row in connection.execute(query)}

    def _named_run(self, named: str) -> str:
        names = self.named_baselines()
        if named not in names:
            self._require_run(named, kind="baseline", names=names)
        return names.get(named, named)

    def _require_run(self, run_id: str, *, kind: str = "run", names: Iterable[str] = ()) -> None:
        with self._reading() as connection:
            known = connection.scalars(sa.select(_RunRow.run_id).order_by(_RunRow.run_id.desc())).all()
        if run_id not in known:
            raise UnknownNameError(kind, run_id, [*names, *known[:10]], self.label)

    def _measurements(self, query: sa.Select[Any]) -> list[Measurement]:
        columns = query.with_only_columns(
            _MeasurementRow.run_id, _MeasurementRow.case_key, _MeasurementRow.payload
        )
        with self._reading() as connection:
            rows = connection.execute(columns).all()
        return [
            decode_measurement(payload, f"{case_key} of run {run_id} in {self.label}")
            for run_id, case_key, payload in rows
        ]

    def _upsert(self, connection: sa.Connection, row: type[_Base], values: dict[str, Any]) -> None:
        statement = self._insert(row).values(values)
        keys = [column.name for column in sa.inspect(row).primary_key]
        changed = {name: statement.excluded[name] for name in values if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))

    def _prepare(self) -> None:
        """Make the tables that are not there; many processes may come here at once."""
        with self._writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            _Base.metadata.create_all(connection)
            version = connection.scalar(sa.select(sa.func.max(_SchemaRow.version)))
            if version is None:
                connection.execute(sa.insert(_SchemaRow).values(version=SCHEMA_VERSION))
            elif version > SCHEMA_VERSION:
                raise PocketbenchError(
                    f"the history {self.label} is a newer pocketbench's (tables {version}, this one knows "
                    f"up to {SCHEMA_VERSION}): update pocketbench or give another --history"
                )

    def _writing(self) -> AbstractContextManager[sa.Connection]:
        return self._transaction(immediate=True)

    def _reading(self) -> AbstractContextManager[sa.Connection]:
        return self._transaction(immediate=False)

    @contextmanager
    def _transaction(self, *, immediate: bool) -> Iterator[sa.Connection]:
        engine = self._engine.execution_options(immediate=immediate)
        try:
            with engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            first_line = str(cause).strip().partition("\n")[0]
            raise PocketbenchError(
                f"cannot use the history {self.label}: {first_line} (--history names another)"
            ) from error


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except ArgumentError as error:
        raise PocketbenchError(
            "--history takes a URL such as sqlite:///results/history.sqlite or "
            "postgresql://user@host/database; what was given is not one"
        ) from error
    if parsed.drivername in {"postgres", "postgresql"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise PocketbenchError(
            f"the history can be sqlite:///FILE or postgresql://..., not {parsed.drivername}://"
        )
    return parsed


def _engine(url: sa.URL, label: str) -> sa.Engine:
    try:
        if url.get_backend_name() == "postgresql":
            # A name server or a firewall may never answer.
            limits = {"connect_timeout": CONNECT_TIMEOUT_S}
            return sa.create_engine(url, pool_pre_ping=True, connect_args=limits)
        engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise PocketbenchError(
            f"the history {label} needs a driver that is not installed: install pocketbench[postgres]"
        ) from error
    if url.database and url.database != ":memory:":
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PocketbenchError(f"cannot make the directory of {label} ({error.strerror})") from error
    sa.event.listen(engine, "connect", _sqlite_connected)
    sa.event.listen(engine, "begin", _sqlite_begin)
    return engine


def _sqlite_connected(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own
    # We say BEGIN ourselves (below); the driver's own comes too late to keep two writers apart.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA journal_mode=WAL")


def _sqlite_begin(connection: sa.Connection) -> None:
    # A transaction that reads first and then writes cannot wait for another writer: SQLite refuses it.
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _run_values(info: RunInfo) -> dict[str, Any]:
    return {
        "run_id": info.run_id,
        "started_at": info.started_at,
        "finished_at": info.finished_at,
        "effort": info.effort,
        "payload": msgspec.json.encode(info).decode(),
    }


def _measurement_values(measurement: Measurement) -> dict[str, Any]:
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
