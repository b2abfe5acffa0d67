"""`pachy trace file`: all that it takes to make a file again."""

from __future__ import annotations

import pytest

from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, plan_job
from airflow_pachy.testing.pipelines import InProcessRunner

TRANSFORM = {
    "image": "edges:1",
    "cmd": ["sh", "-e"],
    "stdin": ["cd /pfs/images", "wc -c * > /pfs/out/sizes"],
    "env": {"LC_ALL": "C", "LEVEL": "2"},
    "secrets": [{"name": "login", "env_var": "PASSWORD", "key": "word"}, {"name": "certs", "mount_path": "/certs"}],
    "accept_return_code": [3],
    "err_cmd": ["sh"],
    "err_stdin": ["echo failed"],
    "working_dir": "/app",
    "user": "1000:100",
    "batch": 7,
}


@pytest.fixture
def made(pachy):
    spec = {
        "pipeline": {"name": "sizes"},
        "transform": TRANSFORM,
        "input": {"pfs": {"repo": "images", "glob": "/*"}},
        "code_version": "v7",
    }
    with Pfs.open() as pfs:
        pfs.create_repo("images")
        pfs.put_file("images@master:/a", b"a")
        plan = plan_job(pfs, JobRequest(PipelineSpec.from_dict(spec), "dag", "run", "sizes"))
        InProcessRunner(pfs, lambda inputs: {"sizes": b"1"}).run(plan)
        return assemble_job(pfs, plan.job_id)


def test_a_file_is_shown_with_all_that_its_program_was_given(pachy, made) -> None:
    shown = [line.split(":", 1) for line in pachy("trace", "file", "sizes@master:/sizes").lines]
    fields = [(name, value.strip()) for name, value in shown]
    source = made.inputs[0]
    for field in (
        ("Ran because", "new"),
        ("Input images", f"images@{source.commit}:/a"),
        ("Image", "edges:1"),
        ("Command", "sh -e"),
        ("Stdin", "cd /pfs/images"),
        ("Stdin", "wc -c * > /pfs/out/sizes"),
        ("Environment", "LC_ALL=C"),
        ("Environment", "LEVEL=2"),
        ("Secrets", "login as $PASSWORD, certs as /certs"),
        ("Directory", "/app"),
        ("User", "1000:100"),
        ("Good exit codes", "0, 3"),
        ("On failure", "sh"),
        ("Its stdin", "echo failed"),
        ("In one process", "up to 7 datums"),
        ("Code version", "v7"),
        ("Airflow run", "dag / run"),
    ):
        assert field in fields
    (document,) = pachy("trace", "file", "sizes@master:/sizes", "--json").documents
    assert document["transform"]["stdin"] == TRANSFORM["stdin"]


def test_what_was_not_given_is_not_shown(pachy, made) -> None:
    with Pfs.open() as pfs:
        pfs.put_file("images@master:/a", b"other")
    shown = pachy("trace", "file", "images@master:/a").out
    assert "Made by" in shown
    assert "Stdin" not in shown
