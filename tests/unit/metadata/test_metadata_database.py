"""The metadata database on SQLite: schema, transactions, times, errors."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, select, text

from airflow_pachy.errors import InvalidArgument, MetadataUnavailable, SchemaMismatch
from airflow_pachy.metadata import Metadata
from airflow_pachy.metadata.models import Base, Job, JobInput, Repo
from airflow_pachy.metadata.schema import alembic_config
from airflow_pachy.metadata.urls import parse_url, redacted
from airflow_pachy.metadata.version import HEAD_REVISION, VERSION_TABLE, stored_revision

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture
def metadata(tmp_path):
    database = Metadata.open(f"sqlite:///{tmp_path / 'm.db'}")
    database.ensure_ready()
    yield database
    database.close()


def test_migrations_make_what_the_models_say(metadata):
    with metadata.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_every_table_has_our_prefix(metadata):
    assert {name[:6] for name in inspect(metadata.engine).get_table_names()} == {"pachy_"}


def test_mysql_index_keys_fit_innodb():
    """InnoDB allows 3,072 bytes per index key; ascii counts one byte per character, utf8mb4 four."""
    from sqlalchemy.dialects import mysql

    def width(column):
        rendered = column.type.dialect_impl(mysql.dialect())
        length = getattr(rendered, "length", None)
        return 8 if length is None else length * (1 if rendered.charset == "ascii" else 4)

    for table in Base.metadata.tables.values():
        keys = [list(table.primary_key.columns), *(list(index.columns) for index in table.indexes)]
        keys += [list(c.columns) for c in table.constraints if hasattr(c, "columns")]
        for columns in keys:
            assert sum(width(column) for column in columns) <= 3072, (table.name, [c.name for c in columns])


def test_upgrading_twice_changes_nothing(metadata):
    metadata.upgrade()
    metadata.ensure_ready()
    with metadata.connect() as connection:
        assert stored_revision(connection) == HEAD_REVISION


def test_the_head_is_the_newest_migration():
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == HEAD_REVISION


def test_tables_that_are_there_are_checked_without_alembic(metadata):
    code = (
        "import sys; from airflow_pachy.metadata import Metadata; "
        f"Metadata.open({str(metadata.engine.url)!r}).ensure_ready(); assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_newer_schema_is_refused(metadata):
    with metadata.session() as session:
        session.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = 'fromthefuture'"))
    with pytest.raises(SchemaMismatch, match="newer version made them"):
        metadata.ensure_ready()
    with pytest.raises(SchemaMismatch, match="newer version made them"):
        metadata.upgrade()


def test_an_older_schema_asks_for_the_upgrade(metadata, monkeypatch):
    monkeypatch.setattr("airflow_pachy.metadata.database.HEAD_REVISION", "9999")
    with pytest.raises(SchemaMismatch, match="pachy db upgrade"):
        metadata.ensure_ready()


def test_tables_that_are_missing_are_named(tmp_path):
    metadata = Metadata.open(f"sqlite:///{tmp_path / 'm.db'}")
    with pytest.raises(SchemaMismatch, match="pachy_repo"), metadata.session() as session:
        session.execute(select(Repo))


def test_times_are_utc_and_keep_microseconds(metadata):
    moment = NOW.astimezone(timezone(timedelta(hours=-7)))
    with metadata.session() as session:
        session.add(Repo(name="r", description="", created=moment))
    with metadata.reader() as session:
        created = session.scalar(select(Repo.created))
    assert (created, created.tzinfo) == (NOW, UTC)


def test_a_time_without_zone_is_refused(metadata):
    with pytest.raises(Exception, match="time zone"), metadata.session() as session:
        session.add(Repo(name="r", description="", created=NOW.replace(tzinfo=None)))


def test_a_failing_block_changes_nothing(metadata):
    def work():
        with metadata.session() as session:
            session.add(Repo(name="r", description="", created=NOW))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    with metadata.reader() as session:
        assert session.scalars(select(Repo)).all() == []


def test_names_differ_by_case(metadata):
    with metadata.session() as session:
        session.add_all([Repo(name="r", description="", created=NOW), Repo(name="R", description="", created=NOW)])


def test_a_job_and_its_inputs_are_written_together(metadata):
    with metadata.session() as session:
        job = Job(
            id="a" * 32, pipeline="p", dag_id="d", run_id="r", stage="s", output_repo="o", output_branch="master",
            state="planning", started=NOW,
        )  # fmt: skip
        job.inputs.append(JobInput(position=0, name="i", repo="i", branch="master", commit="b" * 32))
        session.add(job)
    with metadata.session() as session:
        session.delete(session.get_one(Job, "a" * 32))
    with metadata.reader() as session:
        assert session.scalars(select(JobInput)).all() == []


def test_writers_in_many_threads_take_turns(metadata):
    def work(number):
        with metadata.session() as session:
            count = len(session.scalars(select(Repo)).all())
            session.execute(insert(Repo).values(name=f"r{number}", description=str(count), created=NOW))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with metadata.reader() as session:
        assert sorted(int(text_) for text_ in session.scalars(select(Repo.description))) == list(range(16))


def test_a_reader_does_not_wait_for_a_writer(metadata):
    with metadata.session() as writer:
        writer.add(Repo(name="r", description="", created=NOW))
        writer.flush()
        with metadata.reader() as session:
            assert session.scalars(select(Repo)).all() == []


def test_a_database_in_memory_is_shared_by_threads():
    metadata = Metadata.open("sqlite://")
    metadata.ensure_ready()
    found = []

    def work():
        with metadata.session() as session:
            session.add(Repo(name=threading.current_thread().name, description="", created=NOW))
            found.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with metadata.reader() as session:
        assert len(session.scalars(select(Repo)).all()) == len(found) == 8


def test_a_directory_that_is_missing_is_said_so(tmp_path):
    metadata = Metadata.open(f"sqlite:///{tmp_path / 'no' / 'm.db'}")
    with pytest.raises(MetadataUnavailable, match="directory exists"):
        metadata.ensure_ready()


@pytest.mark.parametrize("url", ["", "nonsense", "oracle://h/d", "sqlite:/x:y@"])
def test_what_is_no_database_url_is_refused(url):
    with pytest.raises(InvalidArgument):
        Metadata.open(url)


def test_a_missing_driver_is_named():
    with pytest.raises(InvalidArgument, match="pg8000"):
        Metadata.open("postgresql+pg8000://u:secret@h/d")


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
@pytest.mark.parametrize(
    ("installed", "driver"),
    [({"MySQLdb", "pymysql"}, "mysqldb"), ({"pymysql"}, "pymysql"), (set(), "pymysql")],
)
def test_mysql_is_spoken_to_by_whichever_driver_is_there(monkeypatch, scheme, installed, driver):
    """Without any, the message names the one that the extra installs."""
    monkeypatch.setattr("airflow_pachy.metadata.urls.find_spec", lambda name: name in installed or None)
    assert parse_url(f"{scheme}://u@h/d").drivername == f"{scheme}+{driver}"
    assert parse_url(f"{scheme}+mysqlconnector://u@h/d").drivername == f"{scheme}+mysqlconnector"


@pytest.mark.parametrize(("is_mariadb", "collation"), [(True, "utf8mb4_nopad_bin"), (False, "utf8mb4_0900_bin")])
def test_spaces_at_the_end_count_on_mysql(is_mariadb, collation):
    from sqlalchemy.dialects import mysql

    dialect = mysql.dialect()
    dialect.is_mariadb = is_mariadb
    assert Base.metadata.tables["pachy_grant"].c.principal.type.load_dialect_impl(dialect).collation == collation


def test_no_password_is_shown():
    assert "secret" not in redacted(parse_url("postgresql://u:secret@h/d"))
    assert "secret" not in redacted(parse_url("postgresql://u@h/d?password=secret"))


def test_without_a_pool_nothing_stays_open(tmp_path):
    metadata = Metadata.open(f"sqlite:///{tmp_path / 'm.db'}", pooled=False)
    metadata.ensure_ready()
    assert type(metadata.engine.pool).__name__ == "NullPool"


def test_importing_metadata_does_not_import_airflow():
    code = "import sys, airflow_pachy.metadata, airflow_pachy.metadata.schema; assert 'airflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database" * 100)
    metadata = Metadata.open(f"sqlite:///{tmp_path / 'notes.txt'}")
    with pytest.raises(InvalidArgument, match=r"notes\.txt is a file, but no SQLite database"):
        metadata.ensure_ready()
