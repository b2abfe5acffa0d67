"""Links from datums to logs are those that the UI of this Airflow has."""

from types import SimpleNamespace

import pytest
from airflow.models.taskinstance import TaskInstance

from airflow_pachy.pipelines.log_links import airflow_url, task_path

RUN_ID = "manual__2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize("map_index", [-1, 7])
def test_a_link_is_the_one_that_airflow_itself_makes(monkeypatch, map_index):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://localhost:8080")
    ti = SimpleNamespace(dag_id="dag", run_id=RUN_ID, task_id="stage.datums", map_index=map_index, try_number=2)
    assert airflow_url() + task_path("dag", RUN_ID, "stage.datums", map_index, 2) == TaskInstance.log_url.fget(ti)
