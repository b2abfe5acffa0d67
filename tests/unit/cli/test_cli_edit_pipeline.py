"""`pachy edit pipeline`; the editor is a script."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import JobRequest, PipelineSpec, plan_job

SPEC = {
    "pipeline": {"name": "edges"},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
    "transform": {"image": "edges:1", "cmd": ["edges"]},
}


@pytest.fixture
def edit(pachy, tmp_path, monkeypatch) -> Any:
    """Edits the pipeline as a sed script would; `says` is what comes before."""
    (tmp_path / "edges.json").write_text(json.dumps(SPEC))
    pachy("create", "repo", "images")
    pachy("create", "pipeline", "-f", str(tmp_path / "edges.json"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("VISUAL", raising=False)

    def run(change: str, *options: str, first: str = "true", fails: bool = False) -> Any:
        script = tmp_path / "editor"
        script.write_text(f"#!/bin/sh\n{first}\nsed -i '{change}' \"$1\"\n")
        script.chmod(0o755)
        monkeypatch.setenv("EDITOR", str(script))
        return pachy("edit", "pipeline", "edges", *options, fails=fails)

    return run


def left(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob("pachy-edit-*/*"))


def test_what_is_saved_is_the_next_version(pachy, edit, tmp_path):
    assert edit("s/edges:1/edges:2/").out == "edges version 2\n"
    spec = pachy("inspect", "pipeline", "edges", "--json").documents[0]["spec"]
    assert spec["transform"]["image"] == "edges:2"
    assert left(tmp_path) == []
    assert list(tmp_path.glob("pachy-edit-*")) == []


def test_nothing_happens_when_nothing_is_changed(pachy, edit):
    assert edit("").out == "edges version 1, nothing was changed\n"
    assert edit("", "--reprocess").out == "edges version 1\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("s/glob/blob/", "unknown field 'blob'"),
        ("s/{/(/", "edges.json:1"),
        ('s/"edges"/"corners"/', "the file has pipelines 'corners', and 'edges' is edited"),
    ],
)
def test_what_is_wrong_is_kept_and_can_be_used(pachy, edit, tmp_path, change, words):
    failed = edit(change, fails=True)
    assert words in failed.err
    (kept,) = left(tmp_path)
    assert f"mend it and: pachy update pipeline -f {kept}" in failed.err
    kept.write_text(json.dumps({**SPEC, "description": "mended"}))
    assert pachy("update", "pipeline", "-f", str(kept)).out == "edges version 2\n"


def test_what_somebody_else_has_changed_meanwhile_is_not_lost(edit, tmp_path):
    (tmp_path / "theirs.json").write_text(json.dumps({**SPEC, "description": "theirs"}))
    theirs = f"{sys.executable} -m airflow_pachy.cli update pipeline -f {tmp_path}/theirs.json"
    failed = edit("s/edges:1/edges:2/", first=theirs, fails=True)
    assert "was updated by somebody else meanwhile" in failed.err
    assert len(left(tmp_path)) == 1


def test_a_pipeline_of_a_dag_file_is_edited_there(pachy, airflow_home):
    pachy("create", "repo", "images")
    pachy("put", "file", "images@master:/a", "-f", "-", stdin=b"1")
    place = airflow_home / "pachy"
    with Pfs.open((place / "objects").as_uri(), f"sqlite:///{place}/pachy.db") as pfs:
        plan_job(pfs, JobRequest(PipelineSpec.from_dict(SPEC), "dag", "run", "edges"))
    assert "is defined in a DAG file: edit that" in pachy("edit", "pipeline", "edges", fails=True).err


def test_an_editor_that_fails_and_a_pipeline_that_is_not_there(pachy, edit):
    failed = edit("", first="exit 3", fails=True)
    assert "Editing failed" in failed.err
    assert "there is no pipeline 'other'" in pachy("edit", "pipeline", "other", fails=True).err
