"""Looking after the data: every night, garbage is collected and the root is checked.

Retention is set per repo (`pachy update retention images --keep-days 90`); repos without one keep everything.
The check fails its task when something is wrong, and its log says what to do.
"""

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, task

from airflow_pachy.hooks import PfsHook
from airflow_pachy.operators import PfsGcOperator


@task
def check() -> None:
    with PfsHook().get_conn() as pfs:
        problems = pfs.fsck(fix=True)
    for problem in problems:
        print(problem)
    left = [problem for problem in problems if not problem.fixed]
    if left:
        raise RuntimeError(f"{len(left)} problems are left, the first: {left[0]}")


with DAG(
    "pachy_maintenance",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["pachy"],
    doc_md=__doc__,
):
    PfsGcOperator(task_id="collect_garbage", grace=timedelta(days=7), execution_timeout=timedelta(hours=6)) >> check()
