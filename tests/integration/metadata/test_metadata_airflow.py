"""Our tables beside Airflow's own, by Airflow's own means."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
from airflow import settings
from airflow.utils.db_manager import RunDBManager
from sqlalchemy import inspect
from airflow_pachy.metadata import Metadata
from airflow_pachy.metadata.db_manager import PachyDBManager

RunDBManager._validate(PachyDBManager)
with settings.Session() as session:
    manager = PachyDBManager(session)
    assert not manager.check_migration()
    manager.initdb(**{options})
    assert manager.check_migration()
    manager.upgradedb()
    assert manager.check_migration()
    assert inspect(session.get_bind()).has_table("pachy_repo")

# What Airflow made is what our own code finds ready.
metadata = Metadata.open(settings.SQL_ALCHEMY_CONN)
metadata.ensure_ready()
with settings.Session() as session, settings.engine.begin() as connection:
    PachyDBManager(session).drop_tables(connection)
    left = [name for name in inspect(connection).get_table_names() if name.startswith("pachy_")]
    assert left == [], left
"""


def run(tmp_path, options):
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'airflow.db'}",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(options=options)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_airflow_makes_our_tables_from_the_models(tmp_path):
    run(tmp_path, {})


def test_airflow_makes_our_tables_by_migrations(tmp_path):
    run(tmp_path, {"use_migration_files": True})
