"""Lets `airflow db migrate` create and upgrade our tables when they are kept beside Airflow's own.

The only module here that imports Airflow: it is named by the provider's `db-managers` and loaded by Airflow's
database commands alone. Tasks and triggers may not use Airflow's database; a deployment that keeps our tables there
gives them a connection of their own to it.
"""

from __future__ import annotations

from airflow.utils.db_manager import BaseDBManager

from airflow_pachy.metadata.models import Base
from airflow_pachy.metadata.schema import ALEMBIC_FILE, MIGRATION_DIR
from airflow_pachy.metadata.version import VERSION_TABLE


class PachyDBManager(BaseDBManager):
    """Our tables, prefixed `pachy_`, with a version table of their own."""

    metadata = Base.metadata
    version_table_name = VERSION_TABLE
    migration_dir = str(MIGRATION_DIR)
    alembic_file = str(ALEMBIC_FILE)
    supports_table_dropping = True
