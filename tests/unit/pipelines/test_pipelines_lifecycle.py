"""Pipelines by name: created, updated, stopped, started, deleted, and what each does to their jobs."""

from __future__ import annotations

import pytest

from airflow_pachy.errors import (
    AlreadyExists,
    HasDependents,
    InvalidArgument,
    PipelineNotFound,
    PipelineStopped,
    RepoNotFound,
)
from airflow_pachy.pipelines import inspect_job
from airflow_pachy.pipelines.lifecycle import (
    create_pipeline,
    delete_pipeline,
    inspect_pipeline,
    list_pipelines,
    pipeline_versions,
    start_pipeline,
    stop_pipeline,
)


def test_a_created_pipeline_has_its_output_before_its_first_job(bench):
    info = create_pipeline(bench.pfs, bench.spec(description="finds edges"))
    assert (info.name, info.version, info.state, info.managed, info.last_job) == ("edges", 1, "running", True, None)
    assert bench.pfs.inspect_repo("edges").description == "finds edges"
    assert bench.pfs.inspect_branch("edges@master").provenance == ("images@master",)
    assert [one.name for one in list_pipelines(bench.pfs)] == ["edges"]


def test_a_pipeline_that_a_dag_defines_registers_itself(bench):
    bench.put(a=b"a")
    bench.run()
    info = inspect_pipeline(bench.pfs, "edges")
    assert (info.version, info.managed, info.last_job) == (1, False, "success")


def test_what_is_in_the_way_of_a_new_pipeline_is_named(bench):
    with pytest.raises(RepoNotFound, match="reads labels, which does not exist"):
        create_pipeline(bench.pfs, bench.spec(input={"pfs": {"repo": "labels", "glob": "/"}}))
    bench.pfs.create_repo("edges")
    with pytest.raises(AlreadyExists, match="writes the repo 'edges', which exists"):
        create_pipeline(bench.pfs, bench.spec())
    bench.pfs.delete_repo("edges")
    create_pipeline(bench.pfs, bench.spec())
    with pytest.raises(AlreadyExists, match="pachy update pipeline"):
        create_pipeline(bench.pfs, bench.spec())


def test_an_update_is_a_new_version_keeps_what_was_done_and_stops_running_jobs(bench):
    bench.put(a=b"a")
    create_pipeline(bench.pfs, bench.spec())
    bench.run()
    bench.put(b=b"b")
    running = bench.plan()
    transform = {"image": "edges:2", "cmd": ["edges"]}
    assert create_pipeline(bench.pfs, bench.spec(transform=transform), update=True).version == 2
    assert inspect_job(bench.pfs, running.job_id).state == "stopped"
    after = bench.plan(spec={"transform": transform})
    assert (after.total, after.skipped) == (2, 1)
    assert [one.version for one in pipeline_versions(bench.pfs, "edges")] == [2, 1]
    assert inspect_pipeline(bench.pfs, "edges", 1).spec["transform"]["image"] == "edges:1"


def test_a_job_leaves_the_spec_of_a_created_pipeline_as_it_was(bench):
    bench.put(a=b"a")
    full = bench.spec(description="all of it", egress={"URL": "s3://bucket/dir"})
    create_pipeline(bench.pfs, full)
    bench.run()
    info = inspect_pipeline(bench.pfs, "edges")
    assert (info.version, info.spec) == (1, full.to_spec())


def test_an_update_that_changes_nothing_is_none(bench):
    bench.put(a=b"a")
    create_pipeline(bench.pfs, bench.spec())
    running = bench.plan()
    assert create_pipeline(bench.pfs, bench.spec(), update=True).version == 1
    assert inspect_job(bench.pfs, running.job_id).state == "running"


def test_a_stopped_pipeline_stays_stopped_when_it_is_updated(bench):
    bench.put(a=b"a")
    create_pipeline(bench.pfs, bench.spec())
    stop_pipeline(bench.pfs, "edges", "too dear")
    info = create_pipeline(bench.pfs, bench.spec(description="cheaper"), update=True)
    assert (info.version, info.state, info.reason) == (2, "stopped", "too dear")


def test_a_pipeline_that_lost_its_name_and_kept_its_repo_is_another_one(bench):
    bench.put(a=b"a")
    create_pipeline(bench.pfs, bench.spec())
    bench.run()
    delete_pipeline(bench.pfs, "edges", keep_repo=True)
    assert bench.output() == {"/a": b"A"}
    with pytest.raises(AlreadyExists, match="writes the repo 'edges', which exists already"):
        create_pipeline(bench.pfs, bench.spec())
    other = bench.spec(output_repo="edges2")
    create_pipeline(bench.pfs, other)
    assert bench.plan(spec={"output_repo": "edges2"}).to_run == 1


def test_reprocess_forgets_what_was_done(bench):
    bench.put(a=b"a", b=b"b")
    create_pipeline(bench.pfs, bench.spec())
    bench.run()
    create_pipeline(bench.pfs, bench.spec(), update=True, reprocess=True)
    assert bench.plan().to_run == 2


def test_a_spec_that_says_reprocess_means_the_update_it_comes_with(bench):
    bench.put(a=b"a", b=b"b")
    create_pipeline(bench.pfs, bench.spec(reprocess=True))
    bench.run()
    create_pipeline(bench.pfs, bench.spec(), update=True)
    assert bench.plan().to_run == 0
    assert create_pipeline(bench.pfs, bench.spec(reprocess=True), update=True).version == 1
    bench.run()
    assert bench.plan().to_run == 0


def test_a_stopped_pipeline_plans_nothing_and_starts_again_with_the_newest_commit(bench):
    bench.put(a=b"a")
    bench.run()
    bench.put(b=b"b")
    running = bench.plan()
    info = stop_pipeline(bench.pfs, "edges", "too dear")
    assert (info.state, info.reason) == ("stopped", "too dear")
    assert inspect_job(bench.pfs, running.job_id).error == "pipeline 'edges' was stopped: too dear"
    with pytest.raises(PipelineStopped, match=r"stopped \(too dear\).*pachy start pipeline edges"):
        bench.plan(latest=False)
    bench.put(c=b"c")
    newest = bench.pfs.inspect_branch("images@master").head
    assert start_pipeline(bench.pfs, "edges").state == "running"
    plan = bench.plan(latest=False)
    assert [one.commit for one in inspect_job(bench.pfs, plan.job_id).inputs] == [newest]
    assert not plan.more


def test_deleting_takes_the_output_or_leaves_it(bench):
    bench.put(a=b"a")
    bench.run()
    delete_pipeline(bench.pfs, "edges", keep_repo=True)
    assert bench.output() == {"/a": b"A"}
    assert bench.pfs.inspect_branch("edges@master").provenance == ()
    bench.pfs.delete_repo("edges")
    bench.run()
    delete_pipeline(bench.pfs, "edges")
    with pytest.raises(RepoNotFound):
        bench.pfs.inspect_repo("edges")
    with pytest.raises(PipelineNotFound, match="pachy list pipeline"):
        inspect_pipeline(bench.pfs, "edges")


def test_a_pipeline_that_others_read_is_kept_unless_forced(bench):
    create_pipeline(bench.pfs, bench.spec())
    reader = bench.spec(pipeline={"name": "montage"}, input={"pfs": {"repo": "edges", "glob": "/"}})
    create_pipeline(bench.pfs, reader)
    with pytest.raises(HasDependents, match="montage@master is computed from edges"):
        delete_pipeline(bench.pfs, "edges")
    delete_pipeline(bench.pfs, "edges", force=True)
    assert [one.name for one in list_pipelines(bench.pfs)] == ["montage"]


def test_an_address_is_not_a_name(bench):
    with pytest.raises(InvalidArgument, match="is an address"):
        inspect_pipeline(bench.pfs, "edges@master")
