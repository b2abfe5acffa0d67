"""`pachy list|inspect|restart datum`."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import after_option, command, json_option, limit_option
from airflow_pachy.cli.jobs import job_id
from airflow_pachy.cli.output import print_fields, print_json, print_list
from airflow_pachy.cli.pipelines import DRY_RUN_COLUMNS, dry_run, inputs_of, spec_options
from airflow_pachy.errors import DatumNotFound, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines import JobDatum
    from airflow_pachy.pipelines.infos import JobDatumState
    from airflow_pachy.pipelines.restarting import Restart
    from airflow_pachy.worker.records import DatumResult

_ID_LENGTH = 32


@command(
    "pachy list datum edges@master                   # of the job that made this commit",
    "pachy list datum 6f1c0a4be0d54f7d9a1c3de1f0b7a9c2 --state failed",
    "pachy list datum edges@master --limit 100 --json",
    "pachy list datum -f edges.json                  # those a pipeline would have now, without running it",
    'pachy list datum --input \'{"pfs": {"repo": "images", "glob": "/*"}}\'',
)
@click.argument("job", required=False)
@spec_options(required=False)
@click.option("--input", "input_", metavar="JSON", help="An input as in a spec.")
@click.option(
    "--state",
    type=click.Choice(["pending", "success", "skipped", "failed", "recovered"]),
    help="Only datums in this state.",
)
@json_option
@limit_option
@after_option("cursor")
def list_(
    session: Session,
    *,
    job: str | None,
    files: Sequence[str],
    args: Sequence[str],
    defaults: Sequence[str],
    input_: str | None,
    state: JobDatumState | None,
    as_json: bool,
    limit: int | None,
    after: str | None,
) -> None:
    """List the datums of a job, and why each of them ran or was skipped. The job is named by id or by its commit.

    With --json each datum has a "cursor", which --after takes.

    With -f or --input it lists what a pipeline would find now at the heads of its branches, without running it.
    """
    if (job is not None) + bool(files) + (input_ is not None) != 1:
        raise click.UsageError("Name a job, or a spec with -f, or an input with --input; one of them.")
    if job is None:
        if state or after:
            raise click.UsageError("--state and --after are for the datums of a job.")
        things = inputs_of(files, args, defaults, input_)
        print_list(dry_run(session.pfs, things), DRY_RUN_COLUMNS, as_json=as_json, limit=limit)
        return
    from airflow_pachy.pipelines import list_job_datums

    datums = list_job_datums(session.pfs, job_id(session.pfs, job), state=state, after=after, limit=limit)
    print_list(datums, _columns(), as_json=as_json, limit=limit)


@command(
    "pachy inspect datum edges@master 3a7bd3e2360a3d29eea436fcfb7e44c7",
    "pachy inspect datum edges@master 3a7bd --json",
)
@click.argument("job")
@click.argument("datum")
@json_option
def inspect(session: Session, *, job: str, datum: str, as_json: bool) -> None:
    """Show one datum of a job: why it ran or failed, how long it took, the end of its log.

    The beginning of the datum's id is enough.
    """
    info = find_datum(session.pfs, job_id(session.pfs, job), datum)
    result = read_record(session.pfs, info)
    if as_json:
        outputs = [entry.path for entry in result.outputs] if result else []
        print_json({"datum": info, "result": replace(result, outputs=()) if result else None, "outputs": outputs})
        return
    fields = [("Datum", info.id), ("State", info.state), ("Because", info.reason), ("Error", info.error)]
    fields.append(("Inputs", _inputs(info)))
    if result is not None:
        fields += _measured(result)
    fields.append(("Log", info.log or ""))
    print_fields(info, fields, as_json=False)
    if result is not None and result.log_tail:
        click.echo(f"\nThe end of its log:\n{result.log_tail.rstrip()}")


@command(
    "pachy restart datum 6f1c0a4be0d54f7d9a1c3de1f0b7a9c2   # all that failed",
    "pachy restart datum 6f1c0a4be0d54f7d9a1c3de1f0b7a9c2 3a7bd /b.png",
)
@click.argument("job")
@click.argument("datums", nargs=-1, metavar="[DATUM|PATH]...")
@json_option
def restart(session: Session, *, job: str, datums: Sequence[str], as_json: bool) -> None:
    """Process datums of a job again: the ones named by id or by a path they read, else all that have failed.

    A datum that is running is stopped first. What has succeeded is kept, also in the same datum set. Airflow does it,
    by clearing the tasks of these datum sets and the one that publishes; see `pachy logs` for how Airflow is found.
    """
    from airflow_pachy.cli.airflow import NoAirflow, find_airflow
    from airflow_pachy.pipelines.restarting import plan_restart

    found = job_id(session.pfs, job)
    plan = plan_restart(session.pfs, found, [one.id for name in datums for one in _named(session.pfs, found, name)])
    info = plan.job
    try:
        cleared = find_airflow().clear(info.dag_id, info.run_id, plan.tasks)
    except NoAirflow as error:
        raise NoAirflow(f"{error}. By hand: {_by_hand(plan)}") from error
    if not cleared:
        raise NoAirflow(f"Airflow has no run {info.run_id!r} of DAG {info.dag_id} any more; start a new one")
    if as_json:
        print_json({"job": info.id, "datums": plan.datums, "tasks": [_task(*one) for one in plan.tasks]})
    else:
        what = "1 datum runs" if len(plan.datums) == 1 else f"{len(plan.datums)} datums run"
        click.echo(f"{what} again in {', '.join(_task(*one) for one in plan.tasks[:-1])} of run {info.run_id}")


def _named(pfs: Pfs, job: str, name: str) -> list[JobDatum]:
    """The datum of an id, or those that read a path."""
    from airflow_pachy.pipelines import list_job_datums

    if "/" not in name:
        return [find_datum(pfs, job, name)]
    path = f"/{name.strip('/')}"
    found = [one for one in list_job_datums(pfs, job) if any(read == path for _, read in one.inputs)]
    if not found:
        raise DatumNotFound(f"no datum of job {job} reads {path}; list them with: pachy list datum {job}")
    return found


def _task(task_id: str, map_index: int) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"


def _by_hand(plan: Restart) -> str:
    job = plan.job
    tasks = ", ".join(_task(*one) for one in plan.tasks)
    line = f"airflow dags clear {shlex.quote(job.dag_id)} --run-id {shlex.quote(job.run_id)} --only-failed --yes"
    return (
        f"clear the task instances {tasks} of run {job.run_id!r} of DAG {job.dag_id} in Airflow's UI, or, for all that "
        f"failed in that run: {line}"
    )


def find_datum(pfs: Pfs, job: str, datum: str) -> JobDatum:
    """A datum of a job by the beginning of its id. Raises `DatumNotFound`, `InvalidArgument` if several begin so."""
    from airflow_pachy.pipelines import inspect_job_datum, list_job_datums

    if len(datum) == _ID_LENGTH:
        return inspect_job_datum(pfs, job, datum)
    found = list(list_job_datums(pfs, job, prefix=datum))
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidArgument(f"{len(found)} datums of job {job} begin with {datum}; give more of the id")
    raise DatumNotFound(f"job {job} has no datum {datum}; list them with: pachy list datum {job}")


def read_record(pfs: Pfs, info: JobDatum) -> DatumResult | None:
    """What the worker wrote down; None for a datum that has not run."""
    from airflow_pachy.worker.records import decode_results

    return decode_results(pfs.store.get(info.record), key=info.record)[info.row] if info.record else None


def _measured(result: DatumResult) -> list[tuple[str, str]]:
    outputs = len(result.outputs)
    size_bytes = sum(entry.content.size_bytes for entry in result.outputs)
    seconds = [f"{name} {us / 1e6:.2f} s" for name, us in _steps(result)]
    return [
        ("Tries", str(result.tries)),
        ("Exit code", "-" if result.exit_code is None else str(result.exit_code)),
        ("Took", ", ".join(seconds)),
        ("Downloaded", human.size(result.download_bytes)),
        ("Output", f"{outputs} {'file' if outputs == 1 else 'files'}, {human.size(size_bytes)}"),
    ]


def _steps(result: DatumResult) -> list[tuple[str, int]]:
    return [("download", result.download_us), ("process", result.process_us), ("upload", result.upload_us)]


def _inputs(datum: JobDatum) -> str:
    return ", ".join(f"{name}:{path}" for name, path in datum.inputs)


def _columns() -> list[tuple[str, Callable[[JobDatum], str]]]:
    return [
        ("ID", lambda datum: datum.id),
        ("INPUTS", _inputs),
        ("STATE", lambda datum: datum.state),
        ("BECAUSE", lambda datum: datum.error.partition("\n")[0] or datum.reason),
        ("LOG", lambda datum: datum.log or ""),
    ]
