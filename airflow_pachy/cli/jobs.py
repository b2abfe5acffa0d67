"""`pachy list|inspect|stop|delete job`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import after_option, command, json_option, limit_option
from airflow_pachy.cli.output import print_fields, print_list
from airflow_pachy.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines import JobInfo
    from airflow_pachy.pipelines.infos import JobState


@command(
    "pachy list job",
    "pachy list job --pipeline edges --state failed",
    "pachy list job --limit 100 --json",
)
@click.option("-p", "--pipeline", metavar="NAME", help="Only jobs of this pipeline.")
@click.option(
    "--state",
    type=click.Choice(["planning", "running", "success", "failed", "stopped"]),
    help="Only jobs in this state.",
)
@json_option
@limit_option
@after_option("job")
def list_(
    session: Session,
    *,
    pipeline: str | None,
    state: JobState | None,
    as_json: bool,
    limit: int | None,
    after: str | None,
) -> None:
    """List jobs, the newest first.

    PROGRESS is datums processed + skipped / all of the job.
    """
    from airflow_pachy.pipelines import list_jobs

    jobs = list_jobs(session.pfs, pipeline=pipeline, state=state, after=after, limit=limit)
    print_list(jobs, _columns(), as_json=as_json, limit=limit)


@command(
    "pachy inspect job 6f1c0a4be0d54f7d9a1c3de1f0b7a9c2",
    "pachy inspect job edges@master                  # the job that made this commit",
)
@click.argument("job")
@json_option
def inspect(session: Session, *, job: str, as_json: bool) -> None:
    """Show one job, named by its id or by the commit it made."""
    from airflow_pachy.pipelines import inspect_job

    info = inspect_job(session.pfs, job_id(session.pfs, job))
    fields = [
        ("Job", info.id),
        ("Pipeline", f"{info.pipeline} version {info.version}"),
        ("State", info.state),
        ("Error", info.error or ""),
        ("Airflow", f"dag {info.dag_id}, run {info.run_id}, task {info.stage}"),
        *([("Round", f"{info.round}: the run was cleared after it had succeeded")] if info.round > 1 else []),
        ("Attempt", str(info.attempt)),
        ("Image", info.code.get("image", "")),
        *(("Image was", image) for image in info.images),
        ("Code version", info.code.get("code_version", "")),
        ("DAG version", dag_version(info)),
        ("Started", human.age(info.started)),
        ("Duration", human.duration(info.started, info.finished)),
        ("Datums", _counts(info)),
        ("Downloaded", human.size(info.download_bytes)),
        ("Uploaded", human.size(info.upload_bytes)),
        ("Inputs", ", ".join(f"{i.name} = {i.repo}@{i.commit} ({i.branch})" for i in info.inputs)),
        ("Output", _output(info)),
        ("Author", info.author or ""),
    ]
    print_fields(info, fields, as_json=as_json)


@command('pachy stop job 6f1c0a4be0d54f7d9a1c3de1f0b7a9c2 --reason "wrong input"')
@click.argument("job")
@click.option("--reason", default="stopped by hand", show_default=True, help="Kept with the job.")
def stop(session: Session, *, job: str, reason: str) -> None:
    """Stop a job: it publishes nothing, and what has succeeded in it is remembered.

    Its tasks are ended too if PACHY_AIRFLOW_URL says where Airflow is. To try again: `pachy restart datum`.
    """
    from airflow_pachy.cli.runs import end_tasks
    from airflow_pachy.pipelines import stop_job

    info = stop_job(session.pfs, job_id(session.pfs, job), reason)
    click.echo(end_tasks(session, [info.id]))


@command("pachy delete job 6f1c0a4be0d54f7d9a1c3de1f0b7a9c2")
@click.argument("job")
def delete(session: Session, *, job: str) -> None:
    """Delete what is recorded of a job that failed or was stopped.

    What succeeded in it stays remembered. Jobs stay that made a commit which is there, and the last job that has read
    a branch, which says how far its pipeline has come.
    """
    from airflow_pachy.pipelines import delete_job

    found = job_id(session.pfs, job)
    delete_job(session.pfs, found)
    click.echo(f"Deleted job {found}")


def job_id(pfs: Pfs, text: str) -> str:
    """The id of a job that is named by its id, or by the address of the commit it made.

    Raises `InvalidArgument` for a commit that no job made.
    """
    if "@" not in text:
        return text
    commit = pfs.inspect_commit(text)
    if commit.job is None:
        raise InvalidArgument(f"{text} was put by a user ({commit.author or 'unknown'}), not made by a job")
    return commit.job


def dag_version(info: JobInfo) -> str:
    """`dags-git at 1f3a..., version 01a1...`: what Airflow knows of the DAG's code."""
    code = info.code
    bundle = code.get("bundle", "") + (f" at {code['bundle_version']}" if "bundle_version" in code else "")
    version = f"version {code['dag_version']}" if "dag_version" in code else ""
    return ", ".join(part for part in (bundle, version) if part)


def _output(info: JobInfo) -> str:
    branch = f"{info.output_repo}@{info.output_branch}"
    if info.state == "success":
        return f"{info.output_repo}@{info.output_commit} ({info.output_branch})"
    return f"{branch} (not published yet)" if info.state in {"planning", "running"} else f"{branch} (nothing published)"


def _counts(info: JobInfo) -> str:
    done = info.datums_processed + info.datums_skipped + info.datums_failed + info.datums_recovered
    parts = {
        "processed": info.datums_processed,
        "skipped": info.datums_skipped,
        "recovered": info.datums_recovered,
        "failed": info.datums_failed,
        "unfinished": info.datums_total - done,
    }
    return f"{info.datums_total:,} ({', '.join(f'{n:,} {name}' for name, n in parts.items() if n)})"


def _progress(info: JobInfo) -> str:
    text = f"{info.datums_processed} + {info.datums_skipped} / {info.datums_total}"
    return f"{text} ({info.datums_failed} failed)" if info.datums_failed else text


def _columns() -> list[tuple[str, Callable[[JobInfo], str]]]:
    return [
        ("ID", lambda job: job.id),
        ("PIPELINE", lambda job: job.pipeline),
        ("STARTED", lambda job: human.age(job.started)),
        ("DURATION", lambda job: human.duration(job.started, job.finished)),
        ("ATTEMPT", lambda job: str(job.attempt)),
        ("PROGRESS", _progress),
        ("DL", lambda job: human.size(job.download_bytes)),
        ("UL", lambda job: human.size(job.upload_bytes)),
        ("STATE", lambda job: job.state),
    ]
