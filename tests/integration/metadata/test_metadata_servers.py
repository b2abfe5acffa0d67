"""The metadata database on real PostgreSQL and MySQL servers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, timezone
from multiprocessing import get_context
from types import SimpleNamespace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import delete, select, update

from airflow_pachy.errors import MetadataContended, MetadataUnavailable, SchemaMismatch
from airflow_pachy.metadata import Metadata
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Base, Grant, Repo
from airflow_pachy.metadata.version import VERSION_TABLE

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def test_migrations_make_what_the_models_say(server_url):
    metadata = Metadata.open(server_url)
    metadata.ensure_ready()
    with metadata.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    metadata.close()


def test_times_come_back_in_utc(server_url):
    metadata = Metadata.open(server_url)
    metadata.ensure_ready()
    moment = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with metadata.session() as session:
        session.add(Repo(name="r", description="", created=moment))
    with metadata.reader() as session:
        created = session.scalar(select(Repo.created))
    assert created == moment
    assert created.tzinfo is UTC
    metadata.close()


def _make_ready(url: str) -> None:
    metadata = Metadata.open(url)
    metadata.ensure_ready()
    metadata.close()


def test_many_processes_may_create_the_tables_at_once(server_url):
    with get_context("spawn").Pool(4) as pool:
        pool.map(_make_ready, [server_url] * 8)
    metadata = Metadata.open(server_url)
    with metadata.session() as session:
        session.execute(delete(Repo))
    metadata.close()


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mariadb"])
def test_a_server_that_is_down_is_named_without_its_password(scheme):
    metadata = Metadata.open(f"{scheme}://someone:hush@127.0.0.1:1/db")
    with pytest.raises(MetadataUnavailable) as caught, metadata.session() as session:
        session.execute(select(Repo))
    assert "127.0.0.1:1" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_missing_tables_are_said_to_be_missing(server_url):
    metadata = Metadata.open(server_url)
    with pytest.raises(SchemaMismatch, match="pachy db upgrade"), metadata.reader() as session:
        session.execute(select(Repo))
    metadata.close()


@pytest.fixture
def metadata(server_url):
    """An open database with our tables."""
    database = Metadata.open(server_url)
    database.ensure_ready()
    yield database
    database.close()


def test_texts_are_equal_only_if_their_bytes_are(metadata):
    """Case, accents and spaces at the end tell names apart, as they do in Python."""
    people = ["user:ada", "user:ADA", "user:ada ", "user:adá", "user:ada\U0001f600"]
    with metadata.session() as session:
        session.add_all(Repo(name=name, description=name, created=NOW) for name in ("r", "R"))
        session.flush()
        session.add_all(Grant(repo="r", principal=one, role="READER") for one in people)
    with metadata.reader() as session:
        assert session.get_one(Repo, "R").description == "R"
        assert session.get(Grant, ("r", "user:ada  ")) is None
        assert set(session.scalars(select(Grant.principal))) == set(people)
        assert session.scalars(select(Grant.principal).where(Grant.principal == people[0])).all() == people[:1]


def test_json_and_long_texts_come_back_whole(metadata):
    labels = {"ключ": "значение \U0001f600", "quote": "\"'\\", "space": " "}
    with metadata.session() as session:
        session.add(Repo(name="r", description="é\n" * 100_000, labels=labels, created=NOW))
    with metadata.reader() as session:
        row = session.get_one(Repo, "r")
    assert (row.labels, row.description) == (labels, "é\n" * 100_000)


def test_a_compare_and_swap_that_lost_says_so(metadata):
    """Also when it would have changed nothing: rows that match count, not rows that differ."""
    with metadata.session() as session:
        session.add(Repo(name="r", description="a", created=NOW))
    for seen, matched in (("a", 1), ("a", 1), ("b", 0)):
        with metadata.session() as session:
            swap = update(Repo).where(Repo.name == "r", Repo.description == seen).values(description="a")
            assert session.execute(swap).rowcount == matched


def test_a_transaction_reads_what_others_have_committed_and_a_snapshot_does_not(metadata):
    query = select(Repo.name)
    with metadata.reader() as reader, metadata.snapshot() as snapshot:
        assert (reader.scalars(query).all(), snapshot.scalars(query).all()) == ([], [])
        with metadata.session() as session:
            session.add(Repo(name="r", description="", created=NOW))
        assert (reader.scalars(query).all(), snapshot.scalars(query).all()) == (["r"], [])


@pytest.mark.parametrize("savepoint", [False, True])
def test_who_loses_a_deadlock_is_told_to_try_again(metadata, savepoint):
    with metadata.session() as session:
        session.add_all(Repo(name=name, description="0", created=NOW) for name in "ab")
    both_have_one = threading.Barrier(2)

    def count(first, second):
        with metadata.session() as session, session.begin_nested() if savepoint else nullcontext():
            for step, name in enumerate((first, second)):
                row = session.scalars(select(Repo).where(Repo.name == name).with_for_update()).one()
                row.description = str(int(row.description) + 1)
                session.flush()
                if step == 0:
                    both_have_one.wait(5)

    def work(names):
        try:
            count(*names)
        except MetadataContended:
            return "again"
        return "done"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(work, ["ab", "ba"])) == ["again", "done"]
    with metadata.reader() as session:
        assert session.scalars(select(Repo.description)).all() == ["1", "1"]


def test_a_retried_function_gets_through_deadlocks(metadata):
    with metadata.session() as session:
        session.add_all(Repo(name=name, description="0", created=NOW) for name in "ab")
    owner = SimpleNamespace(metadata=metadata)

    @retried
    def count(owner, names):
        with owner.metadata.session() as session:
            for name in names:
                row = session.scalars(select(Repo).where(Repo.name == name).with_for_update()).one()
                row.description = str(int(row.description) + 1)
                session.flush()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: count(owner, "ab" if number % 2 else "ba"), range(12)))
    with metadata.reader() as session:
        assert session.scalars(select(Repo.description)).all() == ["12", "12"]
