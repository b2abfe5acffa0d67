"""Alembic's entry: migrates on a connection handed over by us, or on the URL that Airflow's db command sets."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from airflow_pachy.metadata.models import Base
from airflow_pachy.metadata.version import VERSION_TABLE


def include_object(_object: Any, name: str | None, kind: str, _reflected: bool, _compare_to: Any) -> bool:
    """Leave the tables of others alone when we live beside them."""
    return kind != "table" or str(name).startswith("pachy_")


def options() -> dict[str, Any]:
    """What every run is configured with."""
    return {
        "target_metadata": Base.metadata,
        "version_table": VERSION_TABLE,
        "include_object": include_object,
        "render_as_batch": True,
        "compare_type": True,
    }


def run_on(connection: Any) -> None:
    """Run the migrations on an open connection."""
    context.configure(connection=connection, **options())
    with context.begin_transaction():
        context.run_migrations()


def run_as_sql(url: str | None) -> None:
    """Print the migrations as SQL."""
    context.configure(url=url, literal_binds=True, dialect_opts={"paramstyle": "named"}, **options())
    with context.begin_transaction():
        context.run_migrations()


def run() -> None:
    """Choose the connection."""
    url = context.config.get_main_option("sqlalchemy.url")
    if context.is_offline_mode():
        run_as_sql(url)
        return
    connection = context.config.attributes.get("connection")
    if connection is not None:
        run_on(connection)
        return
    engine = create_engine(str(url), poolclass=NullPool)
    with engine.begin() as own:
        run_on(own)


run()
