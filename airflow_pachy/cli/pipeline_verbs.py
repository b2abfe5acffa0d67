"""`pachy create|update|list|inspect|delete|start|stop pipeline`. All of them work while Airflow is down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import after_option, command, json_option, limit_option
from airflow_pachy.cli.output import print_fields, print_list
from airflow_pachy.cli.pipelines import read_defaults, read_source, spec_options, template_arguments
from airflow_pachy.cli.standing import take_down
from airflow_pachy.errors import InvalidArgument, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.pipelines.lifecycle import PipelineInfo
    from airflow_pachy.pipelines.standing import StandingInfo

F = TypeVar("F", bound="Callable[..., Any]")


def _push_options(function: F) -> F:
    for option in (
        click.option(
            "--tls-verify",
            type=bool,
            default=True,
            metavar="BOOL",
            help="With --push-images: false for a registry without TLS, or with a certificate of its own.",
        ),
        click.option(
            "--registry", metavar="HOST/PATH", help="With --push-images: where to push, if not where the name says."
        ),
        click.option(
            "--push-images", is_flag=True, help="Tag, push and pin the images, with docker, podman or buildah."
        ),
    ):
        function = option(function)
    return function


@command(
    "pachy create pipeline -f edges.json",
    "pachy create pipeline -f template.jsonnet --arg suffix=1",
    "cat edges.yaml | pachy create pipeline -f -",
)
@spec_options()
@_push_options
def create(
    session: Session,
    *,
    files: Sequence[str],
    args: Sequence[str],
    defaults: Sequence[str],
    push_images: bool,
    registry: str | None,
    tls_verify: bool,
) -> None:
    """Register pipelines with their output repos.

    Their DAGs come from a file of the DAGs folder that says `globals().update(load_pipelines())`; pipelines whose
    specs lie in a folder there (`load_pipelines("folder/")`) need no `create`.
    """
    specs = _specs(files, args, defaults)
    register(session, _pushed(specs, registry, tls_verify=tls_verify) if push_images else specs, update=False)


@command(
    "pachy update pipeline -f edges.json",
    "pachy update pipeline -f edges.json --reprocess",
    "pachy update pipeline -f edges.json --push-images --registry registry.example.com/team",
    "pachy update pipeline -f edges.json --push-images --registry localhost:5000 --tls-verify=false",
)
@spec_options()
@click.option("--reprocess", is_flag=True, help="Forget what was processed: the next job runs every datum.")
@_push_options
def update(
    session: Session,
    *,
    files: Sequence[str],
    args: Sequence[str],
    defaults: Sequence[str],
    reprocess: bool,
    push_images: bool,
    registry: str | None,
    tls_verify: bool,
) -> None:
    """Make the next version of pipelines, or create them.

    Running jobs of the version before are stopped. Datums that were processed are skipped still, also
    by new code, unless `code_version` changes or --reprocess is given.
    """
    specs = _specs(files, args, defaults)
    specs = _pushed(specs, registry, tls_verify=tls_verify) if push_images else specs
    register(session, specs, update=True, reprocess=reprocess)


def _specs(files: Sequence[str], args: Sequence[str], defaults: Sequence[str]) -> list[PipelineSpec]:
    """The pipelines of the files, each after those that make what it reads."""
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.pipelines.folders import PlacedPipeline, in_order

    arguments, beneath = template_arguments(args, files), read_defaults(defaults)
    placed = [
        PlacedPipeline(spec, file)
        for file in files
        for spec in PipelineSpec.parse(read_source(file), arguments=arguments, defaults=beneath)
    ]
    if not placed:
        raise InvalidArgument(f"there is no pipeline in {', '.join(files)}")
    return [one.spec for one in in_order(placed)]


def _pushed(specs: list[PipelineSpec], registry: str | None, *, tls_verify: bool) -> list[PipelineSpec]:
    """The specs with the digests of their images: all are in the registry before the first pipeline is changed."""
    from airflow_pachy.pipelines.images import push_image

    pushed = []
    for spec in specs:
        pushed.append(push_image(spec, registry=registry, tls_verify=tls_verify))
        click.echo(f"{spec.name}: {spec.transform.image} is {pushed[-1].transform.image}", err=True)
    return pushed


def register(session: Session, specs: list[PipelineSpec], *, update: bool, reprocess: bool = False) -> None:
    """Create or update the pipelines, end the tasks of jobs that this stops, and say which versions there are now."""
    from airflow_pachy.cli.runs import end_tasks
    from airflow_pachy.pipelines.lifecycle import create_pipeline, live_jobs

    for spec in specs:
        running = live_jobs(session.pfs, spec.name) if update else []
        info = create_pipeline(session.pfs, spec, update=update, reprocess=reprocess)
        click.echo(f"{info.name} version {info.version}")
        if stopped := sorted(set(running) - set(live_jobs(session.pfs, spec.name))):
            click.echo(end_tasks(session, stopped))


@command("pachy list pipeline", "pachy list pipeline --json", "pachy list pipeline --history edges")
@click.option("--history", metavar="PIPELINE", help="Instead: all versions of this pipeline, the newest first.")
@json_option
@limit_option
@after_option("pipeline")
def list_(session: Session, *, history: str | None, as_json: bool, limit: int | None, after: str | None) -> None:
    """List pipelines by name."""
    from airflow_pachy.pipelines.lifecycle import list_pipelines, pipeline_versions

    if history is not None:
        print_list(pipeline_versions(session.pfs, history)[:limit], _columns(), as_json=as_json, limit=limit)
        return
    print_list(list_pipelines(session.pfs, after=after, limit=limit), _columns(), as_json=as_json, limit=limit)


@command(
    "pachy inspect pipeline edges", "pachy inspect pipeline edges --version 2", "pachy inspect pipeline edges --json"
)
@click.argument("pipeline")
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="A version it had before.")
@json_option
def inspect(session: Session, *, pipeline: str, version: int | None, as_json: bool) -> None:
    """Show one pipeline and its spec."""
    from airflow_pachy.pipelines.lifecycle import inspect_pipeline
    from airflow_pachy.pipelines.standing import find_standing

    info = inspect_pipeline(session.pfs, pipeline, version)
    stands = find_standing(session.pfs, pipeline)
    fields = [
        ("Pipeline", info.name),
        ("Version", str(info.version)),
        ("State", info.state + (f" ({info.reason})" if info.reason else "")),
        ("Defined", "with pachy create pipeline" if info.managed else "in a DAG file"),
        ("Output", info.output),
        *([("Stands", _where(stands))] if stands else [("Last job", info.last_job or "")]),
        ("Created", human.age(info.created)),
        ("Updated", human.age(info.updated)),
        ("Author", info.author or ""),
    ]
    print_fields(info, fields, as_json=as_json)
    if not as_json:
        click.echo(json.dumps(info.spec, indent=2, sort_keys=True))


@command(
    "pachy delete pipeline edges", "pachy delete pipeline edges --keep-repo", "pachy delete pipeline edges --force"
)
@click.argument("pipeline")
@click.option("--keep-repo", is_flag=True, help="Keep its output repo, as a repo like any other.")
@click.option("--force", is_flag=True, help="Also when others read its output.")
def delete(session: Session, *, pipeline: str, keep_repo: bool, force: bool) -> None:
    """Delete a pipeline, its output repo and what it remembers of processed datums; its jobs stay on record.

    What stands in the cluster for a service or spout goes first; --force deletes the pipeline also when that fails.
    """
    from airflow_pachy.pipelines.lifecycle import delete_pipeline, inspect_pipeline

    inspect_pipeline(session.pfs, pipeline)
    try:
        take_down(session, pipeline)
    except Unavailable as error:
        if not force:
            raise
        click.echo(f"warning: {error}", err=True)
    delete_pipeline(session.pfs, pipeline, keep_repo=keep_repo, force=force)


@command("pachy stop pipeline edges", 'pachy stop pipeline edges --reason "bad labels in May"')
@click.argument("pipeline")
@click.option("--reason", default="stopped by hand", help="For whoever wonders.")
def stop(session: Session, *, pipeline: str, reason: str) -> None:
    """Stop a pipeline and its running jobs: commits to its inputs start nothing until `pachy start pipeline`.

    What stands in the cluster for a service or spout is taken away.
    """
    from airflow_pachy.cli.runs import end_tasks
    from airflow_pachy.pipelines.lifecycle import live_jobs, stop_pipeline

    running = live_jobs(session.pfs, pipeline)
    stop_pipeline(session.pfs, pipeline, reason)
    if running:
        click.echo(end_tasks(session, running))
    info = take_down(session, pipeline)
    if info is not None:
        click.echo(f"Deleted Deployment {info.name} in namespace {info.namespace}.")


@command("pachy start pipeline edges")
@click.argument("pipeline")
def start(session: Session, *, pipeline: str) -> None:
    """Let a stopped pipeline run again: its next job reads the newest commits.

    A service stands again after the next run of its DAG. That run starts now if PACHY_AIRFLOW_URL says where Airflow
    is, else with the next commit.
    """
    from airflow_pachy.cli.runs import start_now
    from airflow_pachy.pipelines.lifecycle import start_pipeline

    info = start_pipeline(session.pfs, pipeline)
    click.echo(start_now(session, info))


def _where(stands: StandingInfo) -> str:
    reads = ", ".join(f"{branch}={commit}" for branch, commit in sorted(stands.commits.items()))
    what = f"{stands.state}: {stands.message}" if stands.message else stands.state
    return f"{stands.kind} {stands.name} in namespace {stands.namespace}{f' with {reads}' if reads else ''} ({what})"


def _columns() -> list[tuple[str, Callable[[PipelineInfo], str]]]:
    return [
        ("PIPELINE", lambda one: one.name),
        ("VERSION", lambda one: str(one.version)),
        ("STATE", lambda one: one.state),
        ("LAST JOB", lambda one: one.last_job or "-"),
        ("OUTPUT", lambda one: one.output),
        ("UPDATED", lambda one: human.age(one.updated)),
        ("DEFINED", lambda one: "created" if one.managed else "DAG file"),
    ]
