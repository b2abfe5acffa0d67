"""Deleting jobs: only those that led to nothing, and without making another one run."""

from __future__ import annotations

import pytest

from airflow_pachy.cli import main
from airflow_pachy.errors import Conflict, Denied, JobNotFound
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import delete_job, fail_job, inspect_job, list_jobs, stop_job


def failed(bench, name):
    """A job that failed on a commit with one more file."""
    bench.put(**{name: name.encode()})
    plan = bench.plan()
    fail_job(bench.pfs, plan.job_id, "went wrong")
    return plan.job_id


def test_a_failed_job_that_another_has_followed_is_gone(bench):
    job = failed(bench, "a")
    bench.put(b=b"b")
    done = bench.run()
    delete_job(bench.pfs, job)
    assert [one.id for one in list_jobs(bench.pfs)] == [done.id]
    with pytest.raises(JobNotFound):
        delete_job(bench.pfs, job)
    bench.put(c=b"c")
    assert bench.run().datums_processed == 1


def test_what_succeeded_in_it_stays_remembered(bench):
    bench.put(a=b"a")
    plan = bench.plan()
    bench.process(plan)
    stop_job(bench.pfs, plan.job_id)
    bench.put(b=b"b")
    again = bench.run()
    assert (again.datums_skipped, again.datums_processed) == (1, 1)
    delete_job(bench.pfs, plan.job_id)
    bench.put(c=b"c")
    assert bench.run().datums_processed == 1
    assert bench.output() == {"/a": b"A", "/b": b"B", "/c": b"C"}


def test_the_last_reader_of_a_branch_stays(bench):
    job = failed(bench, "a")
    with pytest.raises(Conflict, match="last of pipeline 'edges' that has read images@master"):
        delete_job(bench.pfs, job)
    assert inspect_job(bench.pfs, job).state == "failed"


def test_a_job_that_runs_or_whose_commit_is_there_stays(bench):
    bench.put(a=b"a")
    done = bench.run()
    bench.put(b=b"b")
    plan = bench.plan()
    with pytest.raises(Conflict, match="stop it first"):
        delete_job(bench.pfs, plan.job_id)
    with pytest.raises(Conflict, match=f"made edges@{done.output_commit}"):
        delete_job(bench.pfs, done.id)


def test_who_may_not_write_the_output_deletes_nothing(bench, tmp_path):
    places = (f"memory://{tmp_path.name}", f"sqlite:///{tmp_path}/pachy.db")
    with Pfs.open(*places) as admin, Pfs.open(*places, principal="user:bob") as bob:
        admin.create_repo("images")
        bench.pfs = admin
        job = failed(bench, "a")
        failed(bench, "b")
        admin.grant("edges", "user:bob", "READER")
        with pytest.raises(Denied, match="WRITER"):
            delete_job(bob, job)
        delete_job(admin, job)


def test_the_command_tells_what_it_did(bench, tmp_path, capsys):
    places = ((tmp_path / "objects").as_uri(), f"sqlite:///{tmp_path}/pachy.db")
    with Pfs.open(*places) as pfs:
        pfs.create_repo("images")
        bench.pfs = pfs
        job = failed(bench, "a")
        failed(bench, "b")
    options = ["--storage", places[0], "--metadata", places[1]]
    assert main([*options, "delete", "job", job]) == 0
    assert job in capsys.readouterr().out
    assert main([*options, "delete", "job", job]) == 1
    assert "there is no job" in capsys.readouterr().err
