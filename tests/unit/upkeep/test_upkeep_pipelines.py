"""Garbage collection, checks and rebuilding know what pipelines and jobs need."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from airflow_pachy.metadata import Metadata
from airflow_pachy.metadata.models import Job, Pipeline
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.pfs.root import Root
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, inspect_job, list_job_datums, plan_job
from airflow_pachy.testing.pipelines import InProcessRunner

NOW = timedelta(0)
GRACE = timedelta(days=7)


def doubled(inputs):
    """Outputs of more than inline size, a function of the input."""
    return {path: content * 2 for files in inputs.values() for path, content in files.items()}


def spec(**more):
    return PipelineSpec.from_dict(
        {
            "pipeline": {"name": "double"},
            "transform": {"image": "x", "cmd": ["x"]},
            "input": {"pfs": {"repo": "r", "glob": "/*"}},
            **more,
        }
    )


@pytest.fixture
def pfs(world):
    world.pfs.create_repo("r")
    for name in ("a", "b", "c"):
        world.pfs.put_file(f"r@master:/{name}", name.encode() * 600)
    return world.pfs


def run(pfs, run_id, **more):
    plan = plan_job(pfs, JobRequest(spec(**more), "dag", run_id, "stage"))
    runner = InProcessRunner(pfs, doubled)
    runner.run(plan)
    return assemble_job(pfs, plan.job_id), runner.processed


def collect(world):
    world.client().gc(dry_run=False, grace=NOW)


def test_a_job_that_runs_keeps_its_plans_and_records(pfs, world):
    plan = plan_job(pfs, JobRequest(spec(), "dag", "run", "stage"))
    collect(world)
    pfs = world.client()
    InProcessRunner(pfs, doubled).run(plan)
    collect(world)
    assemble_job(world.client(), plan.job_id)
    collect(world)
    assert world.files("double@master") == {f"/{name}": name.encode() * 1200 for name in ("a", "b", "c")}


def test_plans_of_published_jobs_go_and_their_records_stay(pfs, world):
    job, _ = run(pfs, "one")
    world.pass_time(GRACE * 2)
    world.client().gc(dry_run=False)
    left = world.keys(f"jobs/{job.id}/")
    assert [key for key in left if "/plan/" in key] == []
    assert [key for key in left if key.endswith(".parquet")] != []
    assert len(list(list_job_datums(world.client(), job.id))) == 3


@pytest.mark.parametrize("rule", ["error", "append"])
def test_what_is_remembered_can_be_published_again(pfs, world, rule):
    run(pfs, "one", on_collision=rule)
    pfs.delete_file("r@master:/a")
    run(pfs, "two", on_collision=rule)
    world.pass_time(GRACE * 2)
    world.client().gc(dry_run=False, keep_last=1)
    collect(world)
    pfs = world.client()
    assert world.files("double@master") == {"/b": b"b" * 1200, "/c": b"c" * 1200}
    # The file comes back: its output is remembered, and still there.
    pfs.put_file("r@master:/a", b"a" * 600)
    _, processed = run(pfs, "three", on_collision=rule)
    assert processed == []
    assert world.files("double@master") == {f"/{name}": name.encode() * 1200 for name in ("a", "b", "c")}


def test_a_stopped_half_of_a_job_is_not_lost(pfs, world):
    plan = plan_job(pfs, JobRequest(spec(datum_set_spec={"number": 1}), "dag", "run", "stage", max_sets=3))
    InProcessRunner(pfs, doubled).run_set(plan.sets[0])
    world.pass_time(GRACE * 2)
    world.client().gc(dry_run=False)
    again = plan_job(world.client(), JobRequest(spec(), "dag", "run", "stage"))
    assert (again.total, again.to_run) == (3, 2)


def test_the_check_finds_lost_records(pfs, world):
    run(pfs, "one")
    assert world.client().fsck(deep=True) == []
    (record, *_) = [key for key in world.keys("jobs/") if key.endswith(".parquet")]
    world.aged.delete([record])
    problems = world.client().fsck()
    assert [record in str(one) for one in problems] == [True]


def test_pipelines_and_jobs_are_rebuilt(pfs, world, tmp_path):
    job, _ = run(pfs, "one")
    running = plan_job(pfs, JobRequest(spec(), "dag", "two", "stage"))
    metadata = Metadata.open(f"sqlite:///{tmp_path / 'rebuilt.db'}")
    metadata.ensure_ready()
    fresh = Pfs(Root(world.aged, metadata, ContentReader(world.aged)))
    assert fresh.fsck(rebuild=True) == []

    def kept(one):
        with one.metadata.reader() as session:
            pipelines = [dict(row) for row in session.execute(select(Pipeline.__table__)).mappings()]
            done = [dict(row) for row in session.execute(select(Job.__table__).where(Job.id == job.id)).mappings()]
        return pipelines, done

    assert kept(fresh) == kept(pfs)
    assert inspect_job(fresh, job.id) == inspect_job(pfs, job.id)
    broken = inspect_job(fresh, running.job_id)
    assert broken.state == "failed"
    assert "rebuilt" in broken.error
    # The memory came along: what was done is not done again, also by the job that was running.
    again = plan_job(fresh, JobRequest(spec(), "dag", "two", "stage"))
    assert again.to_run == 0
    assert assemble_job(fresh, again.job_id).state == "success"
    assert fresh.fsck(deep=True) == []
    metadata.close()


def test_a_job_without_a_sign_of_life_is_given_up(pfs, world):
    """Its process died: what it read is not kept for ever, and what it did is not done again."""
    plan = plan_job(pfs, JobRequest(spec(), "dag", "run", "stage"))
    InProcessRunner(pfs, doubled).run(plan)
    world.pass_time(timedelta(days=4))
    pfs = world.client()
    assert pfs.gc(max_age=timedelta(days=5)).expired_jobs == ()
    told = pfs.gc()
    assert told.expired_jobs == (plan.job_id,)
    assert inspect_job(pfs, plan.job_id).state == "running"
    assert pfs.gc(dry_run=False).expired_jobs == (plan.job_id,)
    job = inspect_job(pfs, plan.job_id)
    assert (job.state, job.datums_processed) == ("failed", 3)
    assert "no sign of life" in job.error
    assert pfs.inspect_commit(f"double@{plan.output_commit}").state == "error"
    assert pfs.gc(dry_run=False).expired_jobs == ()
    again, processed = run(pfs, "two")
    assert (again.state, processed) == ("success", [])


def test_a_job_that_is_alive_after_all_carries_on(pfs, world):
    plan = plan_job(pfs, JobRequest(spec(), "dag", "run", "stage"))
    world.pass_time(timedelta(days=4))
    pfs = world.client()
    assert pfs.gc(dry_run=False).expired_jobs == (plan.job_id,)
    InProcessRunner(pfs, doubled).run(plan)
    assert assemble_job(pfs, plan.job_id).state == "success"
    assert len(world.files("double@master")) == 3


def test_records_are_a_sign_of_life(pfs, world):
    plan = plan_job(pfs, JobRequest(spec(), "dag", "run", "stage"))
    world.pass_time(timedelta(days=4))
    pfs = world.client()
    InProcessRunner(pfs, doubled).run(plan)
    assert pfs.gc(dry_run=False).expired_jobs == ()
    world.pass_time(timedelta(days=4))
    assert world.client().gc(dry_run=False).expired_jobs == (plan.job_id,)


def test_what_a_job_that_was_given_up_read_may_be_forgotten(pfs, world):
    first = pfs.inspect_branch("r@master").head
    plan_job(pfs, JobRequest(spec(), "dag", "run", "stage"))
    pfs.put_file("r@master:/d", b"d")
    world.pass_time(timedelta(days=4))
    pfs = world.client()
    assert f"r@{first}" not in pfs.gc(dry_run=False, keep_last=1, max_age=timedelta(days=9)).forgotten
    assert f"r@{first}" in pfs.gc(dry_run=False, keep_last=1).forgotten
