"""The database of all runs: SQLite beside the results, or PostgreSQL by URL; many processes may write.

A measurement is stored whole, as the JSON line of measurements.jsonl, with beside it the columns that are
searched. Import this module only where a history is used: SQLAlchemy takes a third of a second to load.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from harness.errors import PocketbenchError, UnknownNameError
from harness.history_engine import engine_for, parsed_url
from harness.history_rows import (
    Base,
    BaselineRow,
    MeasurementRow,
    RunRow,
    SchemaRow,
    measurement_values,
    run_values,
)
from harness.results import decode_measurement, decode_run_info
from harness.spec import Measurement, RunInfo

SCHEMA_VERSION = 1
"""Version of the tables; a newer one is refused."""

BASELINES_LOOKED_AT = 20
_SCHEMA_LOCK = 0x706F636B
"""Any number that every pocketbench uses: PostgreSQL's advisory lock while tables are made."""


class TrendPoint(NamedTuple):
    """What one run measured of a case."""

    run_id: str
    started_at: str
    latency_ms: float


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
        self._url = parsed_url(url)
        self.label = self._url.render_as_string(hide_password=True)
        self._engine = engine_for(self._url, self.label)
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
            self._upsert(connection, RunRow, run_values(info))
            for measurement in measurements:
                self._upsert(connection, MeasurementRow, measurement_values(measurement))

    def runs(self) -> list[RunInfo]:
        """All runs, newest first."""
        query = sa.select(RunRow.run_id, RunRow.payload).order_by(RunRow.run_id.desc())
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [decode_run_info(payload, f"run {run_id} in {self.label}") for run_id, payload in rows]

    def measurements(self, run_id: str) -> list[Measurement]:
        """All measurements of a run, in the order they were taken; raises UnknownNameError."""
        found = self._measurements(
            sa.select(MeasurementRow)
            .where(MeasurementRow.run_id == run_id)
            .order_by(MeasurementRow.started_at, MeasurementRow.device, MeasurementRow.case_key)
        )
        if not found:
            self._require_run(run_id)
        return found

    def baseline(
        self,
        case_key: str,
        fingerprint: str,
        before_run: str | None = None,
        named: str | None = None,
        *,
        prefer: Callable[[Measurement], bool] | None = None,
    ) -> Measurement | None:
        """What a case on a device is compared with, or None.

        The newest run before `before_run` (of all when None) that measured it, with outputs that were
        not wrong, on a device that was not throttling; with `named`, only the run of that baseline name
        or run id, and UnknownNameError when there is neither. With `prefer`, the newest of the last
        BASELINES_LOOKED_AT that it says yes to, and the newest of all when it says no to each: one board may
        be measured on its big cores and on its little ones.
        """
        query = (
            sa.select(MeasurementRow)
            .where(
                MeasurementRow.case_key == case_key,
                MeasurementRow.device_fingerprint == fingerprint,
                MeasurementRow.status == "measured",
                MeasurementRow.verdict.not_in(["invalid", "failed"]),
                MeasurementRow.parity_ok.is_not(False),
            )
            .order_by(MeasurementRow.run_id.desc(), MeasurementRow.started_at.desc())
            .limit(1 if prefer is None else BASELINES_LOOKED_AT)
        )
        if named is not None:
            query = query.where(MeasurementRow.run_id == self._named_run(named))
        elif before_run is not None:
            query = query.where(MeasurementRow.run_id < before_run)
        newest: Measurement | None = None
        for found in self._each_measurement(query):
            if prefer is None or prefer(found):
                return found
            newest = newest or found
        return newest

    def case_history(self, case_key: str, fingerprint: str, limit: int = 30) -> list[Measurement]:
        """The newest `limit` measurements of a case on a device, oldest first, whatever became of them."""
        query = (
            sa.select(MeasurementRow)
            .where(
                MeasurementRow.case_key == case_key,
                MeasurementRow.device_fingerprint == fingerprint,
            )
            .order_by(MeasurementRow.run_id.desc(), MeasurementRow.started_at.desc())
            .limit(limit)
        )
        return self._measurements(query)[::-1]

    def trend(
        self, case_key: str, fingerprint: str, limit: int = 30, *, device: str | None = None
    ) -> list[TrendPoint]:
        """Latencies of a case on a device in the newest `limit` runs that measured it, oldest first.

        With `device`, only those under that name: another name may stand for other cores of the same board.
        """
        row = MeasurementRow
        query = (
            sa.select(row.run_id, row.started_at, row.latency_ms)
            .where(
                row.case_key == case_key,
                row.device_fingerprint == fingerprint,
                row.status == "measured",
                row.latency_ms.is_not(None),
            )
            .order_by(row.run_id.desc(), row.started_at.desc())
            .limit(limit)
        )
        if device is not None:
            query = query.where(row.device == device)
        with self._reading() as connection:
            found = connection.execute(query).all()
        return [TrendPoint(run_id, at, latency_ms or 0.0) for run_id, at, latency_ms in reversed(found)]

    def name_baseline(self, name: str, run_id: str) -> None:
        """Let `name` mean `run_id` from now on; raises UnknownNameError for a run that is not there."""
        self._require_run(run_id)
        with self._writing() as connection:
            self._upsert(connection, BaselineRow, {"name": name, "run_id": run_id})

    def named_baselines(self) -> dict[str, str]:
        """Run id by baseline name."""
        query = sa.select(BaselineRow.name, BaselineRow.run_id).order_by(BaselineRow.name)
        with self._reading() as connection:
            return {row.name: row.run_id for row in connection.execute(query)}

    def _named_run(self, named: str) -> str:
        names = self.named_baselines()
        if named not in names:
            self._require_run(named, kind="baseline", names=names)
        return names.get(named, named)

    def _require_run(self, run_id: str, *, kind: str = "run", names: Iterable[str] = ()) -> None:
        with self._reading() as connection:
            known = connection.scalars(sa.select(RunRow.run_id).order_by(RunRow.run_id.desc())).all()
        if run_id not in known:
            raise UnknownNameError(kind, run_id, [*names, *known[:10]], self.label)

    def _measurements(self, query: sa.Select[Any]) -> list[Measurement]:
        return list(self._each_measurement(query))

    def _each_measurement(self, query: sa.Select[Any]) -> Iterator[Measurement]:
        """What a query finds, decoded one by one: a measurement has every sample in it."""
        columns = query.with_only_columns(
            MeasurementRow.run_id, MeasurementRow.case_key, MeasurementRow.payload
        )
        with self._reading() as connection:
            rows = connection.execute(columns).all()
        for run_id, case_key, payload in rows:
            yield decode_measurement(payload, f"{case_key} of run {run_id} in {self.label}")

    def _upsert(self, connection: sa.Connection, row: type[Base], values: dict[str, Any]) -> None:
        statement = self._insert(row).values(values)
        keys = [column.name for column in sa.inspect(row).primary_key]
        changed = {name: statement.excluded[name] for name in values if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))

    def _prepare(self) -> None:
        """Make the tables that are not there; many processes may come here at once."""
        with self._writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            Base.metadata.create_all(connection)
            version = connection.scalar(sa.select(sa.func.max(SchemaRow.version)))
            if version is None:
                connection.execute(sa.insert(SchemaRow).values(version=SCHEMA_VERSION))
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
