"""From a file of a commit back to the datum, its inputs, the code and the run."""

from __future__ import annotations

import pytest

from airflow_pachy.errors import InvalidArgument, PathNotFound
from airflow_pachy.pipelines import assemble_job
from airflow_pachy.pipelines.job_rows import note_image
from airflow_pachy.pipelines.lifecycle import delete_pipeline
from airflow_pachy.pipelines.tracing import trace_file


def test_a_file_is_traced_to_its_datum_code_and_run(bench):
    bench.put(a=b"a")
    source = bench.pfs.inspect_branch("images@master").head
    job = bench.run("first", spec={"code_version": "v7"})
    trace = trace_file(bench.pfs, "edges@master:/a")
    assert [(one.name, one.address) for one in trace.inputs] == [("images", f"images@{source}:/a")]
    assert trace.reason == "new"
    assert (trace.pipeline, trace.version, trace.code_version) == ("edges", 1, "v7")
    assert trace.transform == {"image": "edges:1", "cmd": ["edges"]}
    assert (trace.made_by.id, trace.made_by.run_id, trace.published_by.id) == (job.id, "first", job.id)
    assert (trace.task, trace.datum_set) == ("stage.datums", 0)
    assert [one.path for one in trace.result.outputs] == ["a"]


def test_a_file_that_was_carried_over_is_traced_to_the_job_that_ran_its_datum(bench):
    bench.put(a=b"a")
    source = bench.pfs.inspect_branch("images@master").head
    first = bench.run("first")
    bench.put(b=b"b")
    second = bench.run("second", spec={"transform": {"image": "edges:2", "cmd": ["edges"]}})
    old, new = (trace_file(bench.pfs, f"edges@master:/{name}") for name in "ab")
    assert (old.made_by.id, old.published_by.id) == (first.id, second.id)
    assert (old.version, old.transform["image"]) == (1, "edges:1")
    assert old.inputs[0].address == f"images@{source}:/a"
    assert (new.made_by.id, new.transform["image"]) == (second.id, "edges:2")


def test_a_file_that_was_put_has_no_datum(bench):
    bench.put(a=b"a")
    trace = trace_file(bench.pfs, "images@master:/a")
    assert (trace.datum, trace.made_by, trace.inputs) == (None, None, ())


def test_the_code_of_a_deleted_pipeline_is_gone_but_not_its_job(bench):
    bench.put(a=b"a")
    job = bench.run("first")
    delete_pipeline(bench.pfs, "edges", keep_repo=True)
    trace = trace_file(bench.pfs, "edges@master:/a")
    assert (trace.made_by.id, trace.transform) == (job.id, None)


def test_a_directory_and_a_missing_file(bench):
    bench.put(a=b"a")
    bench.run()
    with pytest.raises(InvalidArgument, match="is a directory"):
        trace_file(bench.pfs, "edges@master:/")
    with pytest.raises(PathNotFound):
        trace_file(bench.pfs, "edges@master:/nope")


def test_what_code_ran_outlives_the_pipeline(bench):
    bench.put(a=b"a")
    code = {"bundle": "dags", "bundle_version": "1f3a", "dag_version": "01a1"}
    job = bench.run("first", spec={"code_version": "v7"})
    assert job.code == {"image": "edges:1", "code_version": "v7"}
    bench.put(b=b"b")
    plan = bench.plan("second", code=code)
    bench.process(plan)
    for _ in range(2):
        note_image(bench.pfs, plan.job_id, "docker.io/edges@sha256:12")
    note_image(bench.pfs, plan.job_id, "docker.io/edges@sha256:34")
    assemble_job(bench.pfs, plan.job_id)
    delete_pipeline(bench.pfs, "edges", keep_repo=True)
    made_by = trace_file(bench.pfs, "edges@master:/b").made_by
    assert made_by.code == {"image": "edges:1", **code}
    assert made_by.images == ("docker.io/edges@sha256:12", "docker.io/edges@sha256:34")
