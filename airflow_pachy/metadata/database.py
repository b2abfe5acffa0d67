"""One engine to one metadata database, with the same transaction rules on every backend.

`Metadata.session()` is one transaction. Writers of one database must not deadlock or see half of each
other, so SQLite transactions begin with `BEGIN IMMEDIATE` (a deferred one that later writes fails at
once when another writer was faster, whatever the busy timeout) and the servers run at READ COMMITTED:
every decision that depends on what was read is repeated in the `WHERE` of an `UPDATE`.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import NullPool, Pool, StaticPool

from airflow_pachy.errors import Conflict, InvalidArgument, MetadataContended, MetadataUnavailable, SchemaMismatch
from airflow_pachy.metadata import removed as _removed  # noqa: F401 - registers what happens when commits go
from airflow_pachy.metadata.contention import is_contention
from airflow_pachy.metadata.shared import SharedTransaction
from airflow_pachy.metadata.urls import is_memory, parse_url, redacted
from airflow_pachy.metadata.version import HEAD_REVISION, stored_revision, take_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_pachy.metadata.glance import Glance

SQLITE_BUSY_SECONDS = 60
CONNECT_SECONDS = 10


class Metadata:
    """A metadata database. Thread-safe; one per process and URL is enough. Use `Metadata.open`."""

    glance: Glance | None = None
    """For reading without a session, where there is one: see `deferred`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(sqlite_begin="DEFERRED")
        self._sessions = sessionmaker(engine, expire_on_commit=False)
        # An SQLite database in memory lives in a single connection, which threads must take in turns.
        self._turn = threading.RLock() if is_memory(engine.url) else nullcontext()
        self._here = threading.local()
        self._hooks: tuple[Callable[[Session], None], Callable[[Session], None]] | None = None
        event.listen(self._sessions, "before_commit", self._before_commit)
        event.listen(self._sessions, "after_commit", self._after_commit)

    @classmethod
    def open(cls, url: str, *, pooled: bool = True) -> Metadata:
        """Prepare a connection to `url` (nothing is connected yet).

        `pooled=False` opens a connection per transaction and keeps none: for short-lived tasks, so that
        hundreds of them do not exhaust the server. Raises `InvalidArgument` for a URL that cannot mean a database.
        """
        parsed = parse_url(url)
        try:
            engine = create_engine(parsed, **_engine_options(parsed, pooled=pooled))
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            msg = (
                f"cannot use metadata database {redacted(parsed)}: {error}. "
                f"Is the driver {parsed.drivername!r} installed? PostgreSQL needs "
                "airflow-provider-pachy[postgres], MySQL airflow-provider-pachy[mysql]."
            )
            raise InvalidArgument(msg) from error
        if parsed.get_backend_name() == "sqlite":
            _prepare_sqlite(engine)
        return cls(engine)

    @property
    def url(self) -> str:
        """Where the database is, without the password."""
        return redacted(self._engine.url)

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine underneath, for migrations and reports."""
        return self._engine

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One read-write transaction: committed when the block ends, rolled back when it raises.

        While this thread is in `transaction()`, a part of that one. Do not nest: on SQLite the inner one would wait
        for the outer one. Raises `MetadataUnavailable` when the database does not answer, `SchemaMismatch` when our
        tables are missing from it.
        """
        if (shared := self._shared) is not None:
            with self._translated(), shared.writing() as session:
                yield session
            return
        with self._turn, self._translated(), self._sessions.begin() as session:
            yield session

    def on_commit(self, before: Callable[[Session], None], after: Callable[[Session], None]) -> None:
        """Have `before` called inside each transaction that is about to commit, and `after` when it has.

        What `before` raises rolls the transaction back. Whoever asks last is the one who is called.
        """
        self._hooks = (before, after)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything that this thread does with this database one transaction, all or nothing.

        Transactions of different threads and processes take turns. Raises `Conflict` when one is open already.
        """
        if self.in_transaction:
            raise Conflict("a transaction is open in this thread already, and transactions do not nest")
        shared: SharedTransaction | None = None
        try:
            with self._turn, self._translated(), self._sessions.begin() as session:
                take_turn(session)
                shared = self._here.shared = SharedTransaction(session)
                try:
                    yield
                finally:
                    self._here.shared = None
        except BaseException as error:
            if shared is not None:
                shared.rolled_back(error)
            raise
        shared.committed()

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is in `transaction()`."""
        return self._shared is not None

    def after_commit(self, action: Callable[[], None]) -> None:
        """Do something that must follow a commit: at the end of `transaction()`, or now if there is none."""
        if (shared := self._shared) is not None:
            shared.after_commit(action)
        else:
            action()

    def on_rollback(self, action: Callable[[], None]) -> None:
        """Undo something outside the database if `transaction()` fails; without one, whoever fails sees to it."""
        if (shared := self._shared) is not None:
            shared.on_rollback(action)

    @property
    def _shared(self) -> SharedTransaction | None:
        return getattr(self._here, "shared", None)

    @contextmanager
    def reader(self) -> Iterator[Session]:
        """One read-only transaction, which on SQLite does not wait for writers."""
        if (shared := self._shared) is not None:
            with self._translated(), shared.reading() as session:
                yield session
            return
        with self._turn, self._translated(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """One read-only transaction in which everything looks as it did when it began, however long it lasts."""
        engine = self._reader
        if engine.url.get_backend_name() != "sqlite":
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with self._turn, self._translated(), Session(engine) as session:
            yield session

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """One transaction on a bare connection; the same rules as `session`."""
        with self._turn, self._translated(), self._engine.begin() as connection:
            yield connection

    def upgrade(self) -> None:
        """Bring the tables to the version of this code; safe when several processes do it at once."""
        from airflow_pachy.metadata.schema import upgrade

        upgrade(self)

    def ensure_ready(self) -> None:
        """Create the tables in an empty database; raise `SchemaMismatch` if there are older or newer ones."""
        with self.reader() as session:
            revision = stored_revision(session.connection())
        if revision != HEAD_REVISION:
            from airflow_pachy.metadata.schema import make_ready

            make_ready(self, revision)

    def close(self) -> None:
        """Close pooled connections."""
        self._engine.dispose()

    def _before_commit(self, session: Session) -> None:
        if self._hooks is not None and not session.in_nested_transaction():
            session.flush()
            self._hooks[0](session)

    def _after_commit(self, session: Session) -> None:
        if self._hooks is not None and not session.in_nested_transaction():
            self._hooks[1](session)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            translated = self._translate(error)
            if translated is None:
                raise
            raise translated from error

    def _translate(self, error: DBAPIError) -> Exception | None:
        """Our error for a driver's error that a user can do something about; None leaves it as it is."""
        text = str(error.orig).strip()
        if _names_missing_table(text):
            return SchemaMismatch(
                f"the metadata database {self.url} lacks tables of airflow_pachy ({text.splitlines()[0]}). "
                "Create or upgrade them with: pachy db upgrade"
            )
        if "file is not a database" in text:
            return InvalidArgument(
                f"{self.url} is a file, but no SQLite database; "
                "name another one, or none that exists, in the metadata URL"
            )
        if is_contention(error.orig):
            return MetadataContended(
                f"the metadata database {self.url} gave the transaction up for the sake of others: {_sentence(text)} "
                "Nothing of it was done; do it again"
            )
        if not isinstance(error, OperationalError | InterfaceError):
            return None
        if "database is locked" in text:
            return MetadataUnavailable(
                f"the metadata database {self.url} was locked by another writer for {SQLITE_BUSY_SECONDS} s. "
                "SQLite takes one writer at a time: find the process that holds it, or move to PostgreSQL."
            )
        return MetadataUnavailable(
            f"the metadata database {self.url} did not answer: {_sentence(text)} {_advice(self._engine.url)}"
        )


def _engine_options(url: URL, *, pooled: bool) -> dict[str, Any]:
    backend = url.get_backend_name()
    if is_memory(url):
        return {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    pool: type[Pool] | None = None if pooled else NullPool
    if backend == "sqlite":
        # Waiting is set by PRAGMA below; the driver's own timeout covers opening the file.
        return {"poolclass": pool, "connect_args": {"timeout": SQLITE_BUSY_SECONDS, "check_same_thread": False}}
    connect_args: dict[str, Any] = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS}
    if url.get_driver_name() in {"mysqldb", "pymysql"} and "charset" not in url.query:
        # MariaDB's own client library begins with latin1.
        connect_args["charset"] = "utf8mb4"
    options: dict[str, Any] = {"isolation_level": "READ COMMITTED", "connect_args": connect_args}
    return options | ({"pool_pre_ping": True} if pooled else {"poolclass": NullPool})


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:  # noqa: ARG001 - the signature is SQLAlchemy's
        # The driver must not open transactions by itself: the "begin" event below does.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={SQLITE_BUSY_SECONDS * 1000}",
            "journal_mode=WAL",
            # With WAL, NORMAL survives the death of every process; only power loss may undo the last commits.
            "synchronous=NORMAL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
        connection.exec_driver_sql(f"BEGIN {mode}")


def _names_missing_table(text: str) -> bool:
    missing = ("no such table" in text, "does not exist" in text and "relation" in text, "doesn't exist" in text)
    return "pachy_" in text and any(missing)


def _sentence(text: str) -> str:
    """The first line of a driver's words; what follows is advice, and ours is better."""
    first = " ".join(text.partition("\n")[0].split())
    return f"{first.rstrip('.')}."


def _advice(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return "Check that its directory exists and may be written to by this user."
    return (
        f"Check that the server at {url.host or 'localhost'}:{url.port or 'its default port'} runs and is reachable "
        f"from here, that database {url.database!r} exists, and the user name and password."
    )
