"""The job engine on database servers and a real S3, with planners and assemblers side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_pachy.errors import Conflict
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, list_jobs, plan_job
from airflow_pachy.testing.pipelines import InProcessRunner

pytestmark = pytest.mark.s3

SPEC = {
    "pipeline": {"name": "edges"},
    "transform": {"cmd": ["edges"]},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
}


def upper(inputs):
    return {path: content.upper() for path, content in inputs["images"].items()}


@pytest.fixture
def pfs(server_url, real_s3):
    with Pfs.open(real_s3.url, server_url, real_s3.s3) as client:
        client.create_repo("images")
        with client.commit("images@master") as commit:
            for number in range(20):
                commit.put_file(f"/f{number:02d}", b"x%d" % number)
        yield client


def run(pfs, run_id, stage="stage", **changed):
    request = JobRequest(PipelineSpec.from_dict({**SPEC, **changed}), "dag", run_id, stage)
    plan = plan_job(pfs, request)
    InProcessRunner(pfs, upper).run(plan)
    return assemble_job(pfs, plan.job_id)


def test_a_job_and_an_incremental_one(pfs):
    run(pfs, "one")
    pfs.put_file("images@master:/f00", b"changed")
    job = run(pfs, "two")
    assert (job.state, job.datums_processed, job.datums_skipped) == ("success", 1, 19)
    assert pfs.get_file("edges@master:/f00") == b"CHANGED"
    assert pfs.get_file("edges@master:/f19") == b"X19"


def test_stages_of_one_run_that_plan_at_once_read_one_version(pfs):
    def stage(number):
        if number % 2:
            pfs.put_file("images@master:/more", b"%d" % number)
        return run(pfs, "run", f"stage{number}", pipeline={"name": f"edges{number}"})

    with ThreadPoolExecutor(6) as pool:
        jobs = list(pool.map(stage, range(6)))
    assert len({job.inputs[0].commit for job in jobs}) == 1


def test_one_job_planned_by_several_processes_is_one_job(pfs):
    request = JobRequest(PipelineSpec.from_dict(SPEC), "dag", "run", "stage")

    def attempt(number):
        try:
            return plan_job(pfs, request)
        except Conflict as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        plans = [plan for plan in pool.map(attempt, range(4)) if not isinstance(plan, Exception)]
    assert plans
    assert len(list(list_jobs(pfs))) == 1
    last = plan_job(pfs, request)
    InProcessRunner(pfs, upper).run(last)
    assert assemble_job(pfs, last.job_id).state == "success"
    assert len(list(pfs.list_commits("edges@master"))) == 1


def test_assembling_at_once_publishes_once(pfs):
    plan = plan_job(pfs, JobRequest(PipelineSpec.from_dict(SPEC), "dag", "run", "stage"))
    InProcessRunner(pfs, upper).run(plan)
    with ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(lambda _: assemble_job(pfs, plan.job_id), range(4)))
    assert {job.output_commit for job in jobs} == {plan.output_commit}
    assert {job.datums_processed for job in jobs} == {20}
    assert len(list(pfs.list_commits("edges@master"))) == 1
