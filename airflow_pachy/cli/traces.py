"""`pachy trace file`: from a file back to what made it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import command, json_option
from airflow_pachy.cli.jobs import dag_version
from airflow_pachy.cli.output import print_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pipelines.tracing import FileTrace


@command("pachy trace file montage@master:/montage.png", "pachy trace file edges@master^:/a.png --json")
@click.argument("address")
@json_option
def file(session: Session, *, address: str, as_json: bool) -> None:
    """Show how a file came to be: datum, input files, image, program, Airflow run and log.

    The program is shown with all that it was given: standard input, environment, user, directory.

    For everything made from a commit see `pachy list commit --subvenance`, for all that a commit was made from
    `--provenance`.
    """
    from airflow_pachy.pipelines.tracing import trace_file

    trace = trace_file(session.pfs, address)
    # Most programs are given little of what there is, whose names would only push the values to the right.
    fields = [(name, value) for name, value in _fields(trace) if value]
    print_fields(trace, [("File", f"{trace.commit}:{trace.file.path}"), *fields], as_json=as_json)


def _fields(trace: FileTrace) -> list[tuple[str, str]]:
    job = trace.made_by
    if job is None or trace.published_by is None:
        return [("Made by", trace.author or "no job"), ("Description", trace.description)]
    transform = trace.transform or {}
    carried = "" if job.id == trace.published_by.id else f", carried over since; published by {trace.published_by.id}"
    fields = [
        ("Datum", trace.datum or ""),
        ("Ran because", trace.reason or ""),
        *((f"Input {one.name}", one.address) for one in trace.inputs),
        ("Pipeline", f"{trace.pipeline} version {trace.version}"),
        ("Image", job.code.get("image", "") or transform.get("image", "")),
        *(("Image was", image) for image in job.images),
        *_code(transform),
        ("Code version", job.code.get("code_version", "") or trace.code_version or ""),
        ("Job", f"{job.id}{carried}"),
        ("DAG version", dag_version(job)),
        ("Airflow run", f"{job.dag_id} / {job.run_id}"),
        ("Log of", f"{trace.task}[{trace.datum_set}]" if trace.datum_set is not None else trace.task or ""),
        ("Log", trace.log or ""),
        ("Author", trace.author or ""),
    ]
    if trace.result is not None:
        tries = f"{trace.result.tries} {'try' if trace.result.tries == 1 else 'tries'}"
        fields.append(("Took", f"{trace.result.process_us / 1e6:.2f} s in {tries}"))
        fields.append(("Size", human.size(trace.file.size_bytes)))
    return fields


def _code(transform: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What it takes to run the same again, besides image and input."""
    secrets = [one["name"] + _place_of_secret(one) for one in transform.get("secrets", ())]
    batch = transform.get("batch", 0)
    return [
        ("Command", shlex.join(transform.get("cmd", ()))),
        *(("Stdin", line) for line in transform.get("stdin", ())),
        *(("Environment", f"{name}={value}") for name, value in transform.get("env", {}).items()),
        ("Secrets", ", ".join(secrets)),
        ("Directory", transform.get("working_dir") or ""),
        ("User", transform.get("user") or ""),
        ("Good exit codes", ", ".join(map(str, [0, *codes])) if (codes := transform.get("accept_return_code")) else ""),
        ("On failure", shlex.join(transform.get("err_cmd", ()))),
        *(("Its stdin", line) for line in transform.get("err_stdin", ())),
        ("In one process", f"up to {batch} datums" if batch else ""),
    ]


def _place_of_secret(secret: Mapping[str, Any]) -> str:
    places = [secret.get("mount_path"), f"${secret['env_var']}" if secret.get("env_var") else None]
    return f" as {' and '.join(filter(None, places))}"
