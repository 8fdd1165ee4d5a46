"""How the history's database is reached: SQLite that many processes write to, or PostgreSQL by URL."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from harness.errors import PocketbenchError

BUSY_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10


def parsed_url(url: str) -> sa.URL:
    """What --history says, with its driver; raises PocketbenchError for what no history can be."""
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


def engine_for(url: sa.URL, label: str) -> sa.Engine:
    """The engine for such a URL, not connected yet; `label` is what messages call it.

    Makes the directory of a file. Raises PocketbenchError for a driver or a directory that cannot be had.
    """
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
