"""`pachy edit pipeline`: its spec in your editor, and what you save is its next version."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from airflow_pachy.cli.command import command
from airflow_pachy.cli.pipeline_verbs import register
from airflow_pachy.errors import Conflict, InvalidArgument, PachyError

if TYPE_CHECKING:
    from airflow_pachy.cli.session import Session
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.pipelines.lifecycle import PipelineInfo


@command("pachy edit pipeline edges", "pachy edit pipeline edges --editor 'code --wait' --reprocess")
@click.argument("pipeline")
@click.option("--editor", metavar="COMMAND", help="Instead of $VISUAL or $EDITOR.")
@click.option("--reprocess", is_flag=True, help="Forget what was processed: the next job runs every datum.")
def pipeline(session: Session, *, pipeline: str, editor: str | None, reprocess: bool) -> None:
    """Change a pipeline that was made with `pachy create pipeline`, as `pachy update pipeline` does.

    If nothing is changed, nothing happens. If what you saved is no spec, it is kept, and the message says where.
    """
    from airflow_pachy.pipelines.lifecycle import inspect_pipeline

    before = inspect_pipeline(session.pfs, pipeline)
    if not before.managed:
        raise InvalidArgument(f"pipeline {pipeline!r} is defined in a DAG file: edit that")
    place = Path(tempfile.mkdtemp(prefix="pachy-edit-")) / f"{before.name}.json"
    place.write_text(json.dumps(before.spec, indent=2) + "\n")
    try:
        click.edit(filename=str(place), editor=editor)
        spec = _read(place, before)
        if spec.to_spec() != before.spec or reprocess:
            if inspect_pipeline(session.pfs, pipeline).version != before.version:
                raise Conflict(f"pipeline {pipeline!r} was updated by somebody else meanwhile")
            register(session, [spec], update=True, reprocess=reprocess)
        else:
            click.echo(f"{before.name} version {before.version}, nothing was changed")
    except (PachyError, click.ClickException):
        click.echo(f"What you have written is in {place}; mend it and: pachy update pipeline -f {place}", err=True)
        raise
    place.unlink()
    place.parent.rmdir()


def _read(place: Path, before: PipelineInfo) -> PipelineSpec:
    from airflow_pachy.pipelines import PipelineSpec

    specs = PipelineSpec.parse(place)
    if [one.name for one in specs] != [before.name]:
        names = ", ".join(repr(one.name) for one in specs) or "none"
        raise InvalidArgument(
            f"the file has pipelines {names}, and {before.name!r} is edited; a pipeline of another name is another "
            "one: make it with pachy create pipeline"
        )
    return specs[0]
