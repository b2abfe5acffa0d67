"""`pachy draw pipeline`: which repos and pipelines there are, and what leads from one to the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from airflow_pachy.cli.command import command
from airflow_pachy.cli.pipelines import inputs_of, spec_options
from airflow_pachy.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.pipelines.drawing import Arrow


@command(
    "pachy draw pipeline                             # all that were created or have run",
    "pachy draw pipeline edges montage",
    "pachy draw pipeline -f pipelines/               # specs",
    "pachy draw pipeline -f dags/opencv.py           # the stages of a DAG file, which is executed",
)
@click.argument("pipelines", nargs=-1, metavar="[PIPELINE]...")
@spec_options(required=False)
def pipeline(
    session: Session, *, pipelines: Sequence[str], files: Sequence[str], args: Sequence[str], defaults: Sequence[str]
) -> None:
    """Print repos and pipelines as a Mermaid flowchart, which GitHub and most documentation tools draw.

    Arrows into a pipeline have its globs on them; a dotted one is read but starts nothing.
    """
    from airflow_pachy.pipelines.drawing import mermaid

    if files and pipelines:
        raise InvalidArgument("give names of pipelines or files with -f, not both")
    arrows = list(_from_files(files, args, defaults) if files else _from_database(session, pipelines))
    if not arrows:
        raise InvalidArgument("there is no pipeline to draw" + (f" in {', '.join(files)}" if files else " yet"))
    click.echo(mermaid(arrows), nl=False)


def _from_files(files: Sequence[str], args: Sequence[str], defaults: Sequence[str]) -> Iterator[Arrow]:
    from airflow_pachy.operators.drawing import dag_arrows, read_dags
    from airflow_pachy.pipelines import PipelineSpec

    specs = [file for file in files if not file.endswith(".py")]
    for one in inputs_of(specs, args, defaults, None) if specs else ():
        if isinstance(one, PipelineSpec):
            yield from _of(one)
    for file in files:
        if file.endswith(".py"):
            if not Path(file).is_file():
                raise FileNotFoundError(f"there is no file {file}")
            for dag in read_dags(Path(file)):
                yield from dag_arrows(dag)


def _from_database(session: Session, names: Sequence[str]) -> Iterator[Arrow]:
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.pipelines.lifecycle import inspect_pipeline, list_pipelines

    infos = [inspect_pipeline(session.pfs, name) for name in names] if names else list_pipelines(session.pfs)
    for info in infos:
        yield from _of(PipelineSpec.from_dict(info.spec, origin=f"pipeline {info.name}"))


def _of(spec: PipelineSpec) -> Iterator[Arrow]:
    from airflow_pachy.pipelines.drawing import pipeline_arrows

    return pipeline_arrows(spec)
