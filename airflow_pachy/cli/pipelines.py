"""`pachy validate pipeline`, the datums of a spec, and where pipeline commands get their specs from."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import command, json_option
from airflow_pachy.cli.output import print_json, print_list
from airflow_pachy.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.pipelines.inputs import DatumInput, Input
    from airflow_pachy.pipelines.reading.document import Document
    from airflow_pachy.pipelines.reading.report import FieldReport, SpecReport
    from airflow_pachy.pipelines.reading.sources import SpecSource

F = TypeVar("F", bound="Callable[..., Any]")

STDIN = "-"


def _with_folders(ctx: click.Context, option: click.Parameter, files: tuple[str, ...]) -> tuple[str, ...]:
    """The files as given, and of folders those that `load_pipelines` would read."""
    found: list[str] = []
    for file in files:
        if file == STDIN or not Path(file).is_dir():
            found.append(file)
            continue
        from airflow_pachy.pipelines.reading.sources import SUFFIXES

        inside = sorted(str(path) for path in Path(file).rglob("*") if path.suffix in SUFFIXES)
        if not inside:
            raise click.BadParameter(f"there are no specs in {file}: no {', '.join(SUFFIXES)}", ctx, option)
        found += inside
    return tuple(found)


def spec_options(*, required: bool = True) -> Callable[[F], F]:
    """`-f`, `--arg` and `--defaults`: which specs, with which arguments of a template, over which defaults."""

    def decorate(function: F) -> F:
        for option in (
            click.option(
                "--defaults",
                multiple=True,
                metavar="FILE",
                help="Fields for what the spec leaves open: the cluster's, then the project's (repeatable).",
            ),
            click.option(
                "--arg",
                "args",
                multiple=True,
                metavar="NAME=VALUE",
                help="Argument of a template (repeatable).",
            ),
            click.option(
                "-f",
                "--file",
                "files",
                multiple=True,
                required=required,
                metavar="FILE",
                callback=_with_folders,
                help="A spec file: JSON, YAML or Jsonnet; a folder of such; - for standard input (repeatable).",
            ),
        ):
            function = option(function)
        return function

    return decorate


def read_source(file: str) -> SpecSource:
    """What `-f` names. Raises `FileNotFoundError`."""
    return sys.stdin.read() if file == STDIN else Path(file)


def read_input(text: str) -> Input:
    """An input from its JSON or YAML text. Raises `InvalidSpec` as for the `input` of a spec."""
    from airflow_pachy.errors import InvalidSpec
    from airflow_pachy.pipelines.reading.canonical import canonical
    from airflow_pachy.pipelines.reading.document import Document
    from airflow_pachy.pipelines.reading.sources import read_documents
    from airflow_pachy.pipelines.snapshot import input_of

    (document, *more) = read_documents(text, origin="--input")
    if more:
        raise InvalidSpec("--input: there are several inputs; combine them with 'cross' or 'union'")
    read = canonical(Document({"input": document.value}, "--input"))
    if read.problems:
        raise InvalidSpec("\n".join(problem.replace(", a pipeline without a name", "") for problem in read.problems))
    return input_of(read.document.value["input"])


def template_arguments(args: Sequence[str], files: Sequence[str]) -> dict[str, str]:
    """What `--arg` gives. Raises `InvalidArgument`, also when none of the files is a template."""
    if args and all(file.endswith((".json", ".yaml", ".yml")) for file in files):
        raise InvalidArgument(f"--arg is for Jsonnet templates, and {', '.join(files)} is none: name it NAME.jsonnet")
    found = {}
    for arg in args:
        name, equals, value = arg.partition("=")
        if not name or not equals:
            raise InvalidArgument(f"--arg {arg!r} is not of the form name=value")
        found[name] = value
    return found


def read_defaults(files: Sequence[str]) -> list[Document]:
    """The documents that `--defaults` names, in their order. Raises `InvalidSpec`, `FileNotFoundError`."""
    from airflow_pachy.pipelines.reading.sources import read_documents

    return [document for file in files for document in read_documents(read_source(file))]


@dataclass(frozen=True, slots=True)
class DryDatum:
    """A datum that would be: its id if the pipeline exists, and what it would read, as `name:/path@commit`."""

    pipeline: str
    id: str
    inputs: tuple[DatumInput, ...]
    size_bytes: int


def inputs_of(
    files: Sequence[str], args: Sequence[str], defaults: Sequence[str], given: str | None
) -> list[PipelineSpec | Input]:
    """The pipelines of the specs, or the input given as JSON."""
    if given is not None:
        return [read_input(given)]
    from airflow_pachy.pipelines import PipelineSpec

    beneath, arguments = read_defaults(defaults), template_arguments(args, files)
    return [
        spec for file in files for spec in PipelineSpec.parse(read_source(file), arguments=arguments, defaults=beneath)
    ]


def dry_run(pfs: Pfs, things: Sequence[PipelineSpec | Input]) -> Iterator[DryDatum]:
    """The datums of the present heads. Ids are those of the pipelines, where these have run already."""
    from airflow_pachy.pipelines import PipelineSpec, list_datums
    from airflow_pachy.pipelines.registry import known_identity

    for thing in things:
        spec = thing if isinstance(thing, PipelineSpec) else None
        identity = known_identity(pfs, spec) if spec else None
        for datum in list_datums(pfs, thing.input if isinstance(thing, PipelineSpec) else thing, identity=identity):
            size = sum(item.size_bytes for item in datum.inputs)
            yield DryDatum(spec.name if spec else "", datum.id if identity else "", datum.inputs, size)


DRY_RUN_COLUMNS: list[tuple[str, Callable[[DryDatum], str]]] = [
    ("PIPELINE", lambda datum: datum.pipeline or "-"),
    ("INPUTS", lambda datum: ", ".join(f"{item.name}:/{item.path}" for item in datum.inputs)),
    ("SIZE", lambda datum: human.size(datum.size_bytes)),
    ("ID", lambda datum: datum.id or "-"),
]


@command(
    "pachy validate pipeline -f edges.json",
    "pachy validate pipeline -f template.jsonnet --arg suffix=1 --arg src=images",
    "pachy validate pipeline -f old/*.json --defaults cluster.json --json",
)
@spec_options()
@json_option
def validate(
    session: Session,  # noqa: ARG001 - every command gets it
    *,
    files: Sequence[str],
    args: Sequence[str],
    defaults: Sequence[str],
    as_json: bool,
) -> int:
    """Say what becomes of each field of a pipeline spec, of whatever Pachyderm version, without running anything.

    A field is honoured, mapped to what Airflow or Kubernetes has for it, accepted where nothing is left to do, or
    refused with the alternative. Exits with 1 if anything is refused or wrong, or if two of the pipelines claim one
    name or output, or read each other in a circle.
    """
    from airflow_pachy.pipelines.folders import PlacedPipeline, problems_together
    from airflow_pachy.pipelines.reading.report import explain

    beneath, arguments = read_defaults(defaults), template_arguments(args, files)
    reports = [report for file in files for report in explain(read_source(file), arguments=arguments, defaults=beneath)]
    for number, report in enumerate(reports):
        if as_json:
            print_json(_as_json(report))
            continue
        if number:
            click.echo()
        _print(report)
    together = problems_together([PlacedPipeline(report.spec, report.origin) for report in reports if report.spec])
    for problem in together:
        click.echo(click.style(problem, fg="red"), err=as_json)
    return 1 if together or any(report.problems for report in reports) else 0


def _print(report: SpecReport) -> None:
    label = f"pipeline {report.name}" if report.name else "a pipeline without a name"
    verdict = click.style("refused", fg="red") if report.problems else click.style("ok", fg="green")
    click.echo(f"{report.origin}: {label}: {verdict}")
    columns: list[tuple[str, Callable[[FieldReport], str]]] = [
        ("LINE", lambda field: str(field.line or "-")),
        ("FIELD", lambda field: field.path),
        ("IS", lambda field: field.treatment),
        ("HOW", lambda field: field.note),
    ]
    print_list(report.fields, columns, as_json=False)
    for problem in report.problems:
        click.echo(click.style(problem, fg="red"))


def _as_json(report: SpecReport) -> dict[str, Any]:
    return {
        "origin": report.origin,
        "pipeline": report.name,
        "ok": not report.problems,
        "fields": report.fields,
        "problems": report.problems,
        "spec": report.spec.to_spec() if report.spec else None,
    }
