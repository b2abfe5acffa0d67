"""Links from a datum to its lines in Airflow's UI: the log of the try of the task that ran its datum set.

The record that a worker left of a datum names job, set and try, and the job names DAG, run and task, so nothing is
stored for the links. Airflow's address is whatever is configured where they are read.
"""

from __future__ import annotations

import os
import re
from configparser import Error, RawConfigParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlalchemy import select

from airflow_pachy.metadata.models import Job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_pachy.pfs.client import Pfs

_RECORD = re.compile(r"jobs/(?P<job>[^/]+)/\d+-(?P<set>\d+)/(?P<try>\d+)[-/]")


def task_path(dag_id: str, run_id: str, task_id: str, map_index: int = -1, try_number: int | None = None) -> str:
    """The path of a task instance's page in Airflow's UI, which shows the log of the try."""
    parts = ["dags", dag_id, "runs", run_id, "tasks", task_id, *(["mapped", str(map_index)] if map_index >= 0 else [])]
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    return path if try_number is None else f"{path}?try_number={try_number}"


def airflow_url(environment: Mapping[str, str] | None = None) -> str:
    """Where Airflow's UI is: `PACHY_AIRFLOW_URL`, else `[api] base_url` of Airflow's configuration, else ""."""
    environment = os.environ if environment is None else environment
    given = environment.get("PACHY_AIRFLOW_URL") or environment.get("AIRFLOW__API__BASE_URL")
    return (given or _configured_url(environment)).rstrip("/")


def _configured_url(environment: Mapping[str, str]) -> str:
    # Read without Airflow, whose import takes longer than all that this command does.
    home = environment.get("AIRFLOW_HOME") or "~/airflow"
    path = Path(environment.get("AIRFLOW_CONFIG") or f"{home}/airflow.cfg").expanduser()
    config = RawConfigParser()
    try:
        config.read(path)
    except (Error, UnicodeDecodeError):
        return ""  # Airflow itself will say so, whenever it is used
    return config.get("api", "base_url", fallback="")


class LogLinks:
    """Makes links, and remembers the jobs that it has looked up."""

    def __init__(self, pfs: Pfs, base_url: str | None = None) -> None:
        self._pfs = pfs
        self._base_url = airflow_url() if base_url is None else base_url
        self._jobs: dict[str, tuple[str, str, str] | None] = {}

    def of_record(self, record: str | None) -> str | None:
        """The link to the log of the try that wrote a record; None without a record, or when its job is gone.

        Only the path where Airflow's address is not known.
        """
        match = _RECORD.match(record or "")
        job = self._job(match["job"]) if match else None
        if match is None or job is None:
            return None
        dag_id, run_id, stage = job
        path = task_path(dag_id, run_id, f"{stage}.datums", int(match["set"]), int(match["try"]))
        return f"{self._base_url}{path}"

    def _job(self, job_id: str) -> tuple[str, str, str] | None:
        if job_id not in self._jobs:
            with self._pfs.metadata.reader() as session:
                row = session.execute(select(Job.dag_id, Job.run_id, Job.stage).where(Job.id == job_id)).one_or_none()
            self._jobs[job_id] = None if row is None else (row[0], row[1], row[2])
        return self._jobs[job_id]
