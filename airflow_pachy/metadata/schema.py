"""Creating and upgrading our tables with Alembic, and saying clearly when they do not fit the code."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from airflow_pachy.errors import MetadataUnavailable, SchemaMismatch
from airflow_pachy.metadata.version import HEAD_REVISION, stored_revision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.metadata.database import Metadata

_HERE = Path(__file__).parent
ALEMBIC_FILE = _HERE / "alembic.ini"
MIGRATION_DIR = _HERE / "migrations"
# Any number that nobody else uses as an advisory lock: "pachy" in ASCII.
_LOCK_NUMBER = 0x7061636879
# Locks are the whole server's, and their names end at 64 characters. MySQL 9.6 has no MD5 of its own any more.
_MYSQL_LOCK = "CONCAT('pachy_', LEFT(SHA2(DATABASE(), 256), 32))"


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's settings for our migrations, run on `connection` when one is given."""
    config = Config(ALEMBIC_FILE)
    config.set_main_option("script_location", str(MIGRATION_DIR).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(metadata: Metadata) -> None:
    """Run the missing migrations in one transaction (MySQL commits each statement by itself)."""
    with metadata.connect() as connection, _migration_lock(connection):
        revision = stored_revision(connection)
        _refuse_newer(metadata, revision)
        if revision != HEAD_REVISION:
            command.upgrade(alembic_config(connection), "head")


def make_ready(metadata: Metadata, revision: str | None) -> None:
    """Create the tables if there are none; raise `SchemaMismatch` for another `revision` than this code needs."""
    if revision is None:
        upgrade(metadata)
        return
    _refuse_newer(metadata, revision)
    msg = (
        f"the tables in {metadata.url} are of an older version ({revision}) than this code needs ({HEAD_REVISION}). "
        "Upgrade them with: pachy db upgrade (or airflow db migrate, when they are beside Airflow's own)"
    )
    raise SchemaMismatch(msg)


def _refuse_newer(metadata: Metadata, revision: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if revision is not None and revision not in known:
        msg = (
            f"the tables in {metadata.url} are at revision {revision}, which this version of airflow-provider-pachy "
            "does not know: a newer version made them. Install that version or a later one."
        )
        raise SchemaMismatch(msg)


@contextmanager
def _migration_lock(connection: Connection) -> Iterator[None]:
    """Let one process migrate at a time. SQLite's transaction has the whole database already."""
    backend = connection.dialect.name
    if backend == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
        yield
    elif backend in {"mysql", "mariadb"}:
        if connection.scalar(text(f"SELECT GET_LOCK({_MYSQL_LOCK}, 600)")) != 1:
            raise MetadataUnavailable(
                f"another process has been changing the tables in {connection.engine.url.host} for ten minutes; see "
                "SHOW PROCESSLIST there"
            )
        try:
            yield
        finally:
            connection.execute(text(f"SELECT RELEASE_LOCK({_MYSQL_LOCK})"))
    else:
        yield
