"""`pachy trace file`: from a file back to what made it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import command, json_option
from airflow_pachy.cli.jobs import dag_version
from airflow_pachy.cli.output import print_fields

if TYPE_CHECKING:
    from airflow_pachy.cli.session import Session
    from airflow_pachy.pipelines.tracing import FileTrace


@command("pachy trace file montage@master:/montage.png", "pachy trace file edges@master^:/a.png --json")
@click.argument("address")
@json_option
def file(session: Session, *, address: str, as_json: bool) -> None:
    """Show how a file came to be: datum, input files, image, code version, Airflow run and log.

    For everything made from a commit see `pachy list commit --subvenance`, for all that a commit was made from
    `--provenance`.
    """
    from airflow_pachy.pipelines.tracing import trace_file

    trace = trace_file(session.pfs, address)
    print_fields(trace, [("File", f"{trace.commit}:{trace.file.path}"), *_fields(trace)], as_json=as_json)


def _fields(trace: FileTrace) -> list[tuple[str, str]]:
    job = trace.made_by
    if job is None or trace.published_by is None:
        return [("Made by", trace.author or "no job"), ("Description", trace.description)]
    transform = trace.transform or {}
    carried = "" if job.id == trace.published_by.id else f", carried over since; published by {trace.published_by.id}"
    fields = [
        ("Datum", trace.datum or ""),
        *((f"Input {one.name}", one.address) for one in trace.inputs),
        ("Pipeline", f"{trace.pipeline} version {trace.version}"),
        ("Image", job.code.get("image", "") or transform.get("image", "")),
        *(("Image was", image) for image in job.images),
        ("Command", shlex.join(transform.get("cmd", []))),
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
