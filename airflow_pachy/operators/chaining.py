"""Runs that start runs: after one commit comes the next, also when Airflow has lost its event.

Several commits in quick succession may wake a DAG once only. So a stage that plans a job for one commit and sees
more waiting asks Airflow for another run of its DAG. The run's id names the job before it, so that asking twice
(after a retry, or by two stages) makes one run.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from airflow.sdk import Context

    from airflow_pachy.pipelines import PlanTry

CONF_KEY = "pachy"
COMMITS_KEY = "commits"
"""Key in a run's conf: commits to read, chosen by hand, by `repo@branch`."""
REPROCESS_KEY = "reprocess"
"""Key in a run's conf: process all datums, also those that were processed before."""

log = logging.getLogger(__name__)


def reads_in_order(context: Context) -> bool:
    """Whether data has started this run, by an asset event or by a run before it: then each commit has its turn.

    Scheduled and manual runs read the newest commits.
    """
    run = context["dag_run"]
    conf = run.conf or {}
    return str(getattr(run.run_type, "value", run.run_type)) == "asset_triggered" or bool(conf.get(CONF_KEY))


def is_woken_by(context: Context, assets: Collection[str]) -> bool:
    """Whether nothing but events of these assets, by URI, or a run that saw more commits, has started the run.

    Then it has nothing to do when all their commits are read: events are wake-ups, and there may be two of one commit,
    such as that of a task's outlet besides that of the branch.
    """
    run = context["dag_run"]
    if (run.conf or {}).get(CONF_KEY):
        return True
    consumed = {event.asset.uri for event in getattr(run, "consumed_asset_events", None) or ()}
    return bool(consumed) and consumed <= set(assets)


def is_by_hand(context: Context) -> bool:
    """Whether a person started this run, and no schedule, data or run before it."""
    run = context["dag_run"]
    return str(getattr(run.run_type, "value", run.run_type)) == "manual" and not (run.conf or {}).get(CONF_KEY)


def commits_by_hand(context: Context) -> Mapping[str, str]:
    """What the run's conf says is to be read: `{"commits": {"images@master": "<commit>"}}`. Raises `TypeError`."""
    commits = (context["dag_run"].conf or {}).get(COMMITS_KEY) or {}
    if not isinstance(commits, dict) or not all(isinstance(one, str) for pair in commits.items() for one in pair):
        raise TypeError(
            f"the run's conf has {COMMITS_KEY!r}: {commits!r}; write it as "
            '{"commits": {"images@master": "<commit id or master^>"}}'
        )
    return commits


def reprocess_by_hand(context: Context) -> bool:
    """Whether the run's conf asks for all datums, `{"reprocess": true}`. Raises `TypeError`."""
    asked = (context["dag_run"].conf or {}).get(REPROCESS_KEY) or False
    if not isinstance(asked, bool):
        raise TypeError(f"the run's conf has {REPROCESS_KEY!r}: {asked!r}; write true or false")
    return asked


def backfilled_moment(context: Context) -> datetime | None:
    """For a run of `airflow backfill`: the time whose data it is about, the end of its data interval."""
    run = context["dag_run"]
    if str(getattr(run.run_type, "value", run.run_type)) != "backfill":
        return None
    return getattr(run, "data_interval_end", None) or run.logical_date


def code_of_dag(context: Context) -> dict[str, str]:
    """Which version of the DAG the task runs: its bundle's, a commit where DAGs come from git, and Airflow's own id."""
    ti: Any = context["ti"]
    bundle = getattr(ti, "bundle_instance", None)
    known = {
        "bundle": getattr(bundle, "name", None),
        "bundle_version": getattr(bundle, "version", None),
        "dag_version": getattr(ti, "dag_version_id", None),
    }
    return {name: str(value) for name, value in known.items() if value}


def try_of(context: Context) -> PlanTry:
    """The try of the task that runs, and how often somebody has cleared its run."""
    from airflow_pachy.pipelines import PlanTry

    ti = context["ti"]
    cleared = getattr(context["dag_run"], "clear_number", 0)
    return PlanTry(ti.try_number, str(getattr(ti, "id", "")), cleared or 0)


def start_next_run(context: Context, job_id: str) -> str | None:
    """Ask Airflow for the run that follows the one which planned `job_id`; returns its id, or None if it said no."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun

    dag_id, run_id = context["ti"].dag_id, f"after__{job_id}"
    message: dict[str, Any] = {"conf": {CONF_KEY: {"after": job_id}}, "reset_dag_run": False}
    try:
        answer = task_runner.SUPERVISOR_COMMS.send(TriggerDagRun(dag_id=dag_id, run_id=run_id, **message))
    except Exception as error:  # noqa: BLE001 - whatever Airflow's channel raises: this job is worth more than the next
        log.warning("Could not start run %s of %s (%s); the next commit's event will", run_id, dag_id, error)
        return None
    if isinstance(answer, ErrorResponse):
        if answer.error.name != "DAGRUN_ALREADY_EXISTS":
            log.warning("Airflow did not start run %s of %s: %s", run_id, dag_id, answer.error)
            return None
        return run_id
    log.info("More commits are waiting: run %s will process the next", run_id)
    return run_id
