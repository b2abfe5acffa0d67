"""The table of fields is what the models are, what the documentation says, and what is told of a file."""

import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines import PipelineSpec
from airflow_pachy.pipelines.inputs.base import KINDS
from airflow_pachy.pipelines.reading import explain
from airflow_pachy.pipelines.reading.documentation import with_tables
from airflow_pachy.pipelines.reading.field_table import all_fields, sections
from airflow_pachy.pipelines.reading.fields import Treatment

PAGE = Path(__file__).resolve().parents[3] / "docs" / "pipeline-spec.md"
# What `versions` turns into other fields, and the objects that have no model.
CONVERTED = (
    "inputs",
    "parallelism",
    "shards",
    "no_skip",
    "transform.overwrite",
    "details",
    "parallelism_spec.strategy",
)
TRIGGER = "input.pfs.trigger"
# Names that only we have for a trigger's conditions, and for what spec readers do.
OURS_ONLY = {"input.pfs.s3"}


def model_paths(model, at):
    """The dotted paths of a model's fields and of the models inside."""
    for name, field in model.model_fields.items():
        path = f"{at}{name}"
        yield path
        for inner in models_in(field.annotation):
            yield from model_paths(inner, f"{path}.")


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in models_in(part)]


def known_to_models():
    paths = set(model_paths(PipelineSpec, ""))
    for kind, model in KINDS.items():
        if kind != "atom":
            paths |= {f"input.{kind}"} | {
                path for path in model_paths(model, f"input.{kind}.") if ".members" not in path
            }
    return paths


def canonical_path(row):
    parts = row.plain_path.replace("input.atom", "input.pfs").split(".")
    for place, older in ((0, "chunk_spec"), (0, "resource_spec")):
        if parts[place] == older:
            parts[place] = {"chunk_spec": "datum_set_spec", "resource_spec": "resource_requests"}[older]
    return ".".join(parts)


def test_every_field_that_is_accepted_has_a_place_in_the_models():
    known = known_to_models()
    missing = [
        row.path
        for row in all_fields()
        if row.treatment is not Treatment.REFUSED
        and not row.dropped
        and not row.plain_path.startswith((*CONVERTED, "egress.url", TRIGGER + "."))
        and canonical_path(row) not in known
    ]
    assert missing == []


def test_every_field_of_the_models_is_in_the_table():
    told = {canonical_path(row) for row in all_fields()}
    objects = {path.rpartition(".")[0] for path in told}
    assert known_to_models() - told - objects - OURS_ONLY - {"pipeline"} == set()


def test_rows_are_whole_and_unique():
    paths = [row.path for row in all_fields()]
    assert len(paths) == len(set(paths))
    assert all(row.note and row.versions and len(row.note) <= 140 for row in all_fields())
    assert all(row.treatment is not Treatment.REFUSED or len(row.note) > 20 for row in all_fields())
    assert len(sections()) > 8


def test_the_documentation_has_the_table():
    page = PAGE.read_text()
    assert with_tables(page) == page, f"python -m airflow_pachy.pipelines.reading.documentation {PAGE}"
    with pytest.raises(ValueError, match="has no lines"):
        with_tables("# no marks")


SPEC = """{
  "pipeline": {"name": "edges"},
  "transform": {"image": "i", "cmd": ["c"], "errCmd": ["e"]},
  "input": {"cross": [{"pfs": {"repo": "a", "glob": "/"}}, {"pfs": {"repo": "b", "glob": "/", "lazy": false}}]},
  "standby": true,
  "spec_commit": {"id": "x"},
  "job_timeout": "1h"
}"""


def test_each_field_of_a_file_is_told_as_it_was_written():
    (report,) = explain(SPEC)
    assert (report.name, report.problems) == ("edges", ())
    assert report.spec.job_timeout.total_seconds() == 3600
    told = {field.path: field for field in report.fields}
    assert [(told[path].line, told[path].treatment) for path in ("transform.errCmd", "standby", "job_timeout")] == [
        (3, "honoured"),
        (5, "accepted"),
        (7, "mapped"),
    ]
    assert told["input.cross[1].pfs.repo"].line == 4
    assert "spec_commit" in told
    assert told["on_collision"].line is None
    assert "1.x had" in told["on_collision"].note


def test_what_is_refused_is_told_with_everything_else():
    (report,) = explain(SPEC.replace('"standby": true', '"tf_job": {"a": 1}, "sdandby": 1'))
    assert report.spec is None
    assert [field.treatment for field in report.fields if field.path == "tf_job"] == ["refused"]
    assert len(report.problems) == 2
    elsewhere, here = (
        explain(SPEC.replace('"repo": "a"', f'"repo": "a", "project": "{one}"')) for one in ("x", "default")
    )
    for (told,), fate in ((elsewhere, "refused"), (here, "accepted")):
        assert [one.treatment for one in told.fields if one.path == "input.cross[0].pfs.project"] == [fate]
    with pytest.raises(InvalidSpec):
        explain("{")


def test_several_documents_are_told_one_by_one():
    good, bad = explain(f'{SPEC}\n{{"pipeline": {{"name": "b"}}}}')
    assert (good.name, bad.name) == ("edges", "b")
    assert not good.problems
    assert any("transform" in problem for problem in bad.problems)
