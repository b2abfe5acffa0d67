"""Jobs have the rights of whoever runs them and those of their pipeline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_pachy.errors import Denied
from airflow_pachy.pipelines import inspect_job, inspect_job_datum, list_job_datums, list_jobs, stop_job
from airflow_pachy.pipelines.jobs import job_state, live_jobs_of
from airflow_pachy.pipelines.lifecycle import (
    create_pipeline,
    delete_pipeline,
    inspect_pipeline,
    start_pipeline,
    stop_pipeline,
)
from airflow_pachy.pipelines.tracing import trace_file


@pytest.fixture
def ada(as_):
    """Owner of `images`, which has one file."""
    client = as_("user:ada")
    client.create_repo("images")
    client.put_file("images@master:/a", b"a")
    return client


def test_a_job_reads_what_its_pipeline_may_read(bench, ada, as_):
    ada.grant("images", "pipeline:edges", "READER")
    job = replace(bench, pfs=as_("robot:airflow")).run()
    assert job.state == "success"
    assert ada.acl("images") == {"pipeline:edges": "READER", "user:ada": "OWNER"}
    assert as_("robot:airflow").acl("edges") == {"pipeline:edges": "WRITER", "robot:airflow": "OWNER"}
    assert as_(None).inspect_commit("edges@master").author == "robot:airflow"


def test_a_pipeline_that_lost_its_right_stops(bench, ada, as_):
    ada.grant("images", "pipeline:edges", "READER")
    runner = replace(bench, pfs=as_("robot:airflow"))
    runner.run()
    ada.put_file("images@master:/b", b"b")
    ada.grant("images", "pipeline:edges", "NONE")
    with pytest.raises(Denied, match=r"robot:airflow \(also as pipeline:edges\) may not read repo 'images'"):
        runner.run()
    assert len(list(as_(None).list_commits("edges@master"))) == 1


def test_another_runner_may_publish_for_the_pipeline(bench, ada, as_):
    ada.grant("images", "allUsers", "READER")
    replace(bench, pfs=as_("robot:airflow")).run()
    ada.put_file("images@master:/b", b"b")
    assert replace(bench, pfs=as_("dag:edges")).run("again").state == "success"
    with pytest.raises(Denied, match="write to repo 'edges'"):
        as_("dag:edges").put_file("edges@master:/x", b"")


def test_jobs_are_seen_by_those_who_may_read_all_of_it(bench, ada, as_):
    """The output alone is not enough: a job tells what it has read."""
    ada.grant("images", "pipeline:edges", "READER")
    job = replace(bench, pfs=as_("robot:airflow")).run()
    datum = next(list_job_datums(as_(None), job.id)).id
    as_("robot:airflow").grant("edges", "user:bob", "READER")
    as_("robot:airflow").grant("edges", "user:ada", "READER")
    for who, sees in ((None, True), ("user:ada", True), ("user:bob", False), ("user:cy", False)):
        pfs = as_(who)
        assert [one.id for one in list_jobs(pfs)] == ([job.id] if sees else [])
        asked = (
            lambda pfs=pfs: inspect_job(pfs, job.id),
            lambda pfs=pfs: list(list_job_datums(pfs, job.id)),
            lambda pfs=pfs: inspect_job_datum(pfs, job.id, datum),
            lambda pfs=pfs: trace_file(pfs, "edges@master:/a"),
        )
        for ask in asked:
            if sees:
                assert ask()
            else:
                with pytest.raises(Denied, match="may not read repo"):
                    ask()
        assert job_state(pfs, job.id) == "success"


def test_a_group_or_everybody_may_be_granted_a_sight_of_jobs(bench, ada, as_):
    ada.grant("images", "pipeline:edges", "READER")
    ada.grant("images", "group:lab", "READER")
    job = replace(bench, pfs=as_("robot:airflow")).run()
    as_("robot:airflow").grant("edges", "allUsers", "READER")
    assert [one.id for one in list_jobs(as_("user:bob,group:lab"))] == [job.id]
    assert list(list_jobs(as_("user:bob"))) == []


def test_what_is_left_out_leaves_no_holes_in_pages(bench, ada, as_):
    """A page is full if there is enough to fill it, whatever else lies in between."""
    seen = []
    for number in range(6):
        spec = {"pipeline": {"name": f"edges{number}"}}
        ada.grant("images", f"pipeline:edges{number}", "READER")
        job = replace(bench, pfs=as_("robot:airflow")).run(spec=spec)
        if number % 2:
            as_("robot:airflow").grant(f"edges{number}", "user:ada", "READER")
            seen.insert(0, job.id)
    assert [one.id for one in list_jobs(ada)] == seen
    assert [one.id for one in list_jobs(ada, limit=2)] == seen[:2]
    assert [one.id for one in list_jobs(ada, limit=2, after=seen[1])] == seen[2:]


def test_who_comes_next_on_a_branch_is_told_of_jobs_that_it_may_not_read(bench, ada, as_):
    ada.grant("images", "pipeline:edges", "READER")
    plan = replace(bench, pfs=as_("robot:airflow")).plan()
    assert [job.id for job in live_jobs_of(as_("user:cy"), "edges", "master")] == [plan.job_id]


@pytest.fixture
def job(bench, ada, as_):
    """A job of `edges` that runs, and that user:bob may see."""
    for principal in ("pipeline:edges", "user:bob"):
        ada.grant("images", principal, "READER")
    planned = replace(bench, pfs=as_("robot:airflow")).plan()
    as_(None).grant("edges", "user:bob", "READER")
    return planned.job_id


STOPPING = {
    "stop job": lambda pfs, job, spec: stop_job(pfs, job),
    "stop": lambda pfs, job, spec: stop_pipeline(pfs, "edges"),
    "start": lambda pfs, job, spec: start_pipeline(pfs, "edges"),
    "update": lambda pfs, job, spec: create_pipeline(pfs, spec, update=True),
    "delete": lambda pfs, job, spec: delete_pipeline(pfs, "edges"),
    "delete and keep": lambda pfs, job, spec: delete_pipeline(pfs, "edges", keep_repo=True),
}


@pytest.mark.parametrize("deed", STOPPING)
def test_who_may_only_read_the_output_neither_stops_nor_changes_what_makes_it(bench, job, as_, deed):
    before = inspect_pipeline(as_(None), "edges")
    spec = bench.spec(transform={"image": "other:1", "cmd": ["other"]})
    with pytest.raises(Denied, match=r"user:bob may not .* repo 'edges'"):
        STOPPING[deed](as_("user:bob"), job, spec)
    assert inspect_job(as_(None), job).state == "running"
    assert inspect_pipeline(as_(None), "edges") == before


def test_who_may_write_the_output_stops_jobs_and_pipelines_and_only_an_owner_deletes(job, as_):
    as_(None).grant("edges", "user:bob", "WRITER")
    bob = as_("user:bob")
    assert stop_job(bob, job).state == "stopped"
    assert stop_pipeline(bob, "edges").state == "stopped"
    assert start_pipeline(bob, "edges").state == "running"
    with pytest.raises(Denied, match="OWNER"):
        delete_pipeline(bob, "edges")
    delete_pipeline(bob, "edges", keep_repo=True)
    assert bob.inspect_repo("edges").name == "edges"


def test_a_new_pipeline_does_not_take_somebodys_repo_from_another(bench, job, as_):
    as_("user:cy").create_repo("cys")
    spec = bench.spec(output_repo="cys")
    as_(None).grant("edges", "user:bob", "WRITER")
    with pytest.raises(Denied, match="repo 'cys'"):
        create_pipeline(as_("user:bob"), spec, update=True)
