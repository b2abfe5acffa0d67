"""`pachy run pipeline`: now, on chosen commits, or on each commit of a range."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.airflow import URL_VARIABLE, NoAirflow
from airflow_pachy.cli.command import command, json_option
from airflow_pachy.cli.output import print_json, print_list
from airflow_pachy.cli.session import environment_of_programs
from airflow_pachy.errors import InvalidArgument, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pipelines.backfill import Backfill, BackfillStep
    from airflow_pachy.pipelines.lifecycle import PipelineInfo


@command(
    "pachy run pipeline edges",
    "pachy run pipeline edges images@master^2        # on chosen commits",
    "pachy run pipeline edges --from images@master.1 --to images@master^",
    "pachy run pipeline edges --from 2024-05-01 --to 2024-05-31 --dry-run",
    "pachy run pipeline edges --dag opencv --reprocess",
)
@click.argument("pipeline")
@click.argument("commits", nargs=-1)
@click.option("--from", "start", metavar="COMMIT|DATE", help="A job for each commit from this one on, in order.")
@click.option("--to", "end", metavar="COMMIT|DATE", help="The last commit of the range; else the newest.")
@click.option("--reprocess", is_flag=True, help="Process datums that were processed, and commits that have a job.")
@click.option("--dry-run", is_flag=True, help="Show what would run.")
@click.option("--dag", "dag_id", metavar="DAG", help="Its DAG, if it has never run and is not named like the pipeline.")
@json_option
def run(
    session: Session,
    *,
    pipeline: str,
    commits: Sequence[str],
    start: str | None,
    end: str | None,
    reprocess: bool,
    dry_run: bool,
    dag_id: str | None,
    as_json: bool,
) -> None:
    """Start a run of the pipeline's DAG now: on the newest commits, on the ones given, or on each of a range.

    Datums that were processed are skipped, and so are commits of a range that a job has published. A range is of
    commits of one input, or of dates (UTC): the other inputs are read as they were then. When it ends in the past,
    one more run puts the output back to the newest commits. A pipeline with cron inputs ticks. Airflow does it: through
    its API if PACHY_AIRFLOW_URL is set, else by the `airflow` command, which must be installed here.
    """
    from airflow_pachy.pipelines.lifecycle import inspect_pipeline

    if commits and (start or end):
        raise click.UsageError("Give commits, or a range with --from and --to; not both.")
    info = inspect_pipeline(session.pfs, pipeline)
    dag = dag_id or _dag_of(session, info.name)
    if start or end:
        from airflow_pachy.pipelines.backfill import plan_backfill

        plan = plan_backfill(session.pfs, info.name, start, end)
        _run_range(plan, dag, reprocess=reprocess, dry_run=dry_run, as_json=as_json)
        return
    chosen = {f"{found.repo}@{branch}": found.id for found, branch in (_chosen(session, info, one) for one in commits)}
    conf: dict[str, Any] = {**({"commits": chosen} if chosen else {}), **({"reprocess": True} if reprocess else {})}
    if dry_run:
        click.echo(f"Would start a run of DAG {dag} with the configuration {json.dumps(conf)}.")
        return
    said = _trigger(dag, None, conf)
    if as_json:
        print_json({"pipeline": info.name, "dag_id": dag, "commits": chosen, "airflow": said})
    else:
        click.echo(f"Started a run of DAG {dag}.")


def start_now(session: Session, info: PipelineInfo) -> str:
    """Start a run of a pipeline's DAG where Airflow's API is known; says what was done, or what to do."""
    dag = _dag_of(session, info.name)
    if not os.environ.get(URL_VARIABLE):
        return f"The next commit starts it; to run it now: pachy run pipeline {info.name}"
    try:
        return f"Started run {_trigger(dag, None, {})} of DAG {dag} on the newest commits."
    except NoAirflow as error:
        return f"The next commit starts it; no run could be started now: {error}"


def end_tasks(session: Session, jobs: Sequence[str]) -> str:
    """End what runs for jobs that were stopped, where Airflow's API is known; says what was done, or what to do."""
    from airflow_pachy.pipelines import inspect_job

    infos = [inspect_job(session.pfs, job) for job in jobs]
    tasks = ", ".join(f"{one.stage}.datums of run {one.run_id} of DAG {one.dag_id}" for one in infos)
    by_hand = f"what runs goes on to its end, unless it is marked failed in Airflow: {tasks}"
    if not os.environ.get(URL_VARIABLE):
        return f"Stopped; {by_hand}"
    from airflow_pachy.cli.airflow_rest import RestAirflow

    airflow = RestAirflow(os.environ[URL_VARIABLE])
    try:
        ended = sum(airflow.end(one.dag_id, one.run_id, f"{one.stage}.datums") for one in infos)
    except NoAirflow as error:
        return f"Stopped, but {error}; {by_hand}"
    return f"Stopped, and ended {ended} running task{'' if ended == 1 else 's'}"


def _dag_of(session: Session, pipeline: str) -> str:
    """The DAG of its last job, else the one that is named like it."""
    from airflow_pachy.pipelines import list_jobs

    last = next(iter(list_jobs(session.pfs, pipeline=pipeline, limit=1)), None)
    return last.dag_id if last else pipeline


def _run_range(plan: Backfill, dag: str, *, reprocess: bool, dry_run: bool, as_json: bool) -> None:
    steps = plan.to_run(reprocess=reprocess)
    if dry_run:
        print_list(plan.steps, _columns(reprocess=reprocess), as_json=as_json)
        return
    if not steps:
        what = f"all {len(plan.steps)} commits have" if plan.steps else "there are no commits, so none has"
        click.echo(f"Nothing to run: {what} a job; --reprocess runs them again.")
        return
    extra: dict[str, Any] = {"reprocess": True} if reprocess else {}
    # Runs of a DAG start in the order in which they were asked for, and its jobs run one at a time.
    began = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    confs = [{"commits": dict(step.commits), **extra} for step in steps]
    if plan.is_past:
        confs.append({})
    for number, conf in enumerate(confs):
        run_id = _trigger(dag, f"range__{began}__{number:05d}", conf)
        if as_json:
            print_json({"pipeline": plan.pipeline, "dag_id": dag, "run_id": run_id, "commits": conf.get("commits", {})})
    if not as_json:
        skipped = len(plan.steps) - len(steps)
        click.echo(
            f"Started {len(steps)} runs of DAG {dag}, one for each commit, one after the other"
            + (f"; {skipped} commits have a job already" if skipped else "")
            + ("; a last run puts the output back to the newest commits" if plan.is_past else "")
            + "."
        )


def _chosen(session: Session, info: PipelineInfo, address: str) -> tuple[Any, str]:
    """The commit, and the branch of the pipeline's input that is to be read there. Raises `InvalidArgument`."""
    from airflow_pachy.pipelines import PipelineSpec

    found = session.pfs.inspect_commit(address)
    leaves = PipelineSpec.from_dict(info.spec).input.leaves()
    branches = {leaf.branch for leaf in leaves if leaf.repo == found.repo and leaf.commit is None}
    if len(branches) == 1:
        return found, branches.pop()
    if found.branch in branches:
        return found, found.branch
    inputs = ", ".join(
        sorted({f"{leaf.repo}@{leaf.branch}" for leaf in PipelineSpec.from_dict(info.spec).input.leaves()})
    )
    raise InvalidArgument(f"pipeline {info.name!r} does not read {found.repo}@{found.branch}; its inputs are {inputs}")


def _trigger(dag: str, run_id: str | None, conf: dict[str, Any]) -> str:
    """Have Airflow start a run; returns its id, or what the command said."""
    if url := os.environ.get(URL_VARIABLE):
        from airflow_pachy.cli.airflow_rest import RestAirflow

        return RestAirflow(url).trigger(dag, run_id, conf)
    program = shutil.which("airflow")
    if program is None:
        raise InvalidArgument(
            f"there is no `airflow` command here, and {URL_VARIABLE} is not set; start DAG {dag!r} in Airflow's UI, "
            f"with the configuration {json.dumps(conf)}"
        )
    named = ["--run-id", run_id] if run_id else []
    words = [program, "dags", "trigger", dag, *named, "--output", "json", "--conf", json.dumps(conf)]
    environment = environment_of_programs() | {"PYTHONWARNINGS": "ignore"}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"airflow did not start DAG {dag!r}: {said[-1] if said else 'it said nothing'}")
    return run_id or done.stdout.strip()


def _columns(*, reprocess: bool) -> list[tuple[str, Any]]:
    def state(step: BackfillStep) -> str:
        return "run" if reprocess or step.job is None else f"done in job {step.job}"

    return [
        ("COMMITS", lambda step: ", ".join(f"{branch}={commit}" for branch, commit in sorted(step.commits.items()))),
        ("SINCE", lambda step: human.age(step.moment)),
        ("", state),
    ]
