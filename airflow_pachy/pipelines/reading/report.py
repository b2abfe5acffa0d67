"""What becomes of each field of a spec, for `pachy validate pipeline`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines.reading.canonical import canonical
from airflow_pachy.pipelines.reading.document import dotted
from airflow_pachy.pipelines.reading.fields import Treatment
from airflow_pachy.pipelines.reading.sources import read_documents
from airflow_pachy.pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_pachy.pipelines.reading.canonical import Finding
    from airflow_pachy.pipelines.reading.document import Document
    from airflow_pachy.pipelines.reading.sources import SpecSource


@dataclass(frozen=True, slots=True)
class FieldReport:
    """One field as the author wrote it: its path, its line if known, what becomes of it ("honoured", ...) and how."""

    path: str
    line: int | None
    treatment: str
    note: str


@dataclass(frozen=True, slots=True)
class SpecReport:
    """One document: its fields in order, what is wrong with it (whole messages), and the pipeline if nothing is."""

    origin: str
    name: str
    fields: tuple[FieldReport, ...]
    problems: tuple[str, ...]
    spec: PipelineSpec | None


def explain(
    source: SpecSource,
    *,
    arguments: Mapping[str, str] | None = None,
    defaults: Iterable[Mapping[str, Any] | Document] = (),
) -> list[SpecReport]:
    """A report of each document in `source`; arguments as those of `PipelineSpec.parse`.

    Raises `InvalidSpec` for a source that is no document at all, `FileNotFoundError`.
    """
    beneath = list(defaults)
    return [_explain(document, beneath) for document in read_documents(source, arguments)]


def _explain(document: Document, defaults: list[Mapping[str, Any] | Document]) -> SpecReport:
    read = canonical(document)
    pipeline = read.document.value.get("pipeline")
    name = str(pipeline.get("name") or "") if isinstance(pipeline, dict) else ""
    fields = [
        FieldReport(dotted(found.path), found.mark.line if found.mark else None, _fate(found), found.field.note)
        for found in read.findings
    ]
    spec, problems = None, []
    try:
        spec = PipelineSpec.from_document(document, defaults)
    except InvalidSpec as error:
        problems = str(error).splitlines()
    else:
        fields += _consequences(spec, {report.path for report in fields})
    return SpecReport(document.origin, name, tuple(fields), tuple(problems), spec)


def _fate(found: Finding) -> str:
    return found.field.fate if found.field.allows(found.value) else Treatment.REFUSED.value


def _consequences(spec: PipelineSpec, given: set[str]) -> Iterator[FieldReport]:
    """What the spec has become that no single field of it says."""
    if spec.on_collision == "append" and "on_collision" not in given:
        note = "append, as before 2.0: the spec has fields that only 1.x had; say on_collision: error to change that"
        yield FieldReport("on_collision", None, "mapped", note)
