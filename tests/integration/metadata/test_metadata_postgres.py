"""The metadata database on a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from multiprocessing import get_context

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import delete, select

from airflow_pachy.errors import MetadataUnavailable, SchemaMismatch
from airflow_pachy.metadata import Metadata
from airflow_pachy.metadata.models import Base, Repo
from airflow_pachy.metadata.version import VERSION_TABLE

pytestmark = pytest.mark.postgres


def test_migrations_make_what_the_models_say(postgres_url):
    metadata = Metadata.open(postgres_url)
    metadata.ensure_ready()
    with metadata.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    metadata.close()


def test_times_come_back_in_utc(postgres_url):
    metadata = Metadata.open(postgres_url)
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


def test_many_processes_may_create_the_tables_at_once(postgres_url):
    with get_context("spawn").Pool(4) as pool:
        pool.map(_make_ready, [postgres_url] * 8)
    metadata = Metadata.open(postgres_url)
    with metadata.session() as session:
        session.execute(delete(Repo))
    metadata.close()


def test_a_server_that_is_down_is_named_without_its_password():
    metadata = Metadata.open("postgresql://someone:hush@127.0.0.1:1/db")
    with pytest.raises(MetadataUnavailable) as caught, metadata.session() as session:
        session.execute(select(Repo))
    assert "127.0.0.1:1" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_missing_tables_are_said_to_be_missing(postgres_url):
    metadata = Metadata.open(postgres_url)
    with pytest.raises(SchemaMismatch, match="pachy db upgrade"), metadata.reader() as session:
        session.execute(select(Repo))
    metadata.close()
