"""`pachy validate pipeline`, and `pachy list datum` of what does not exist yet."""

from __future__ import annotations

import json

import pytest

from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import JobRequest, PipelineSpec, plan_job

SPEC = {
    "pipeline": {"name": "edges"},
    "transform": {"image": "i", "cmd": ["c"]},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
}


@pytest.fixture
def edges(tmp_path):
    file = tmp_path / "edges.json"
    file.write_text(json.dumps(SPEC, indent=1))
    return str(file)


def test_a_good_spec_is_told_field_by_field(pachy, edges):
    ran = pachy("validate", "pipeline", "-f", edges)
    assert ran.lines[0] == f"{edges}: pipeline edges: ok"
    assert ran.lines[1].split() == ["LINE", "FIELD", "IS", "HOW"]
    assert ran.lines[2].split()[:3] == ["3", "pipeline.name", "honoured"]


def test_a_refused_spec_ends_with_1_and_says_why(pachy, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(
        "pipeline: {name: bad}\ntransform: {cmd: [c]}\ntf_job: {tf_job: x}\ninput: {pfs: {repo: a, glob: /}}\n"
    )
    ran = pachy("validate", "pipeline", "-f", str(file), fails=True)
    assert ran.code == 1
    assert ran.lines[0] == f"{file}: pipeline bad: refused"
    assert f"{file}:3, pipeline 'bad': tf_job: 'tf_job' is not supported" in ran.out
    (document,) = pachy("validate", "pipeline", "-f", str(file), "--json", fails=True).documents
    assert (document["ok"], document["spec"], len(document["problems"])) == (False, None, 1)
    assert ("tf_job", 3, "refused") in [(one["path"], one["line"], one["treatment"]) for one in document["fields"]]


def test_several_files_and_standard_input(pachy, edges):
    other = json.dumps({**SPEC, "pipeline": {"name": "other"}}).encode()
    ran = pachy("validate", "pipeline", "-f", edges, "-f", "-", "--json", stdin=other)
    assert [document["pipeline"] for document in ran.documents] == ["edges", "other"]
    assert ran.documents[0]["spec"]["input"]["pfs"]["repo"] == "images"


def test_a_folder_is_every_spec_in_it(pachy, tmp_path, edges):
    folder = tmp_path / "specs" / "deeper"
    folder.mkdir(parents=True)
    (folder / "b.yaml").write_text(json.dumps({**SPEC, "pipeline": {"name": "b"}}))
    (folder.parent / "a.json").write_text(json.dumps({**SPEC, "pipeline": {"name": "a"}}))
    (folder.parent / "README.md").write_text("no spec")
    ran = pachy("validate", "pipeline", "-f", str(folder.parent), "-f", edges, "--json")
    assert [document["pipeline"] for document in ran.documents] == ["a", "b", "edges"]
    (tmp_path / "empty").mkdir()
    assert "there are no specs in" in pachy("validate", "pipeline", "-f", str(tmp_path / "empty"), fails=True).err


def test_templates_and_defaults(pachy, tmp_path, edges):
    template = tmp_path / "t.jsonnet"
    template.write_text("function(name) " + json.dumps(SPEC).replace('"edges"', "name"))
    defaults = tmp_path / "cluster.json"
    defaults.write_text('{"createPipelineRequest": {"datumTries": 9}}')
    arguments = ("validate", "pipeline", "-f", str(template), "--defaults", str(defaults), "--json")
    (document,) = pachy(*arguments, "--arg", "name=mine").documents
    assert (document["pipeline"], document["spec"]["datum_tries"]) == ("mine", 9)
    assert "--arg name=value" in pachy(*arguments, fails=True).err
    assert "not of the form name=value" in pachy(*arguments, "--arg", "name", fails=True).err
    assert "is for Jsonnet templates" in pachy("validate", "pipeline", "-f", edges, "--arg", "a=b", fails=True).err
    assert "No such file" in pachy("validate", "pipeline", "-f", "none.json", fails=True).err


def test_datums_of_a_spec_that_never_ran(pachy, images, edges):
    ran = pachy("list", "datum", "-f", edges)
    assert ran.rows == [["edges", "images:/2024", "2.93 KiB", "-"], ["edges", "images:/a.png", "100 B", "-"]]
    (first,) = pachy("list", "datum", "-f", edges, "--limit", "1", "--json").documents
    assert (first["pipeline"], first["id"], first["inputs"][0]["path"]) == ("edges", "", "2024")
    assert pachy("list", "repo", "--json").documents[0]["name"] == "images"
    assert len(pachy("list", "repo", "--json").documents) == 1


def test_datums_of_an_input(pachy, images):
    node = {"group": [{"pfs": {"repo": "images", "glob": "/**.(png)", "groupBy": "$1"}}]}
    (row,) = pachy("list", "datum", "--input", json.dumps(node)).rows
    assert row[1] == "images:/2024/b.png, images:/a.png"
    told = pachy("list", "datum", "--input", '{"pfs": {"repo": "images", "globb": "/"}}', fails=True).err
    assert "input.pfs.globb: unknown field 'globb', did you mean 'glob'?" in told
    assert "--input" in told
    assert (
        "there is no repo" in pachy("list", "datum", "--input", '{"pfs": {"repo": "x", "glob": "/"}}', fails=True).err
    )


def test_datums_of_a_pipeline_that_ran_have_its_ids(pachy, images, edges):
    with Pfs.open() as pfs:
        plan = plan_job(pfs, JobRequest(PipelineSpec.from_dict(SPEC), "dag", "run", "stage"))
    planned = [row["id"] for row in pachy("list", "datum", plan.job_id, "--json").documents]
    found = [one["id"] for one in pachy("list", "datum", "-f", edges, "--json").documents]
    assert sorted(found) == sorted(planned)


@pytest.mark.parametrize(
    "arguments",
    [[], ["edges@master", "--input", "{}"], ["--input", '{"pfs": {"repo": "a", "glob": "/"}}', "--state", "failed"]],
)
def test_one_thing_is_listed(pachy, arguments):
    assert pachy("list", "datum", *arguments, fails=True).code == 2
