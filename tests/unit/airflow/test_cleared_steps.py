"""Steps of a stage that somebody clears without `plan`: what has published is not run again, and they say so."""

import logging
from types import SimpleNamespace

import pytest

from airflow_pachy.errors import DatumFailed
from airflow_pachy.hooks.airflow_errors import AirflowFailException, AirflowSkipException
from airflow_pachy.operators.assemble import AssembleOperator
from airflow_pachy.operators.datum_set import DatumSetOperator
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, list_jobs, plan_job
from airflow_pachy.pipelines.jobs import stop_job
from airflow_pachy.testing.pipelines import CodeFailed, InProcessRunner

SPEC = {
    "pipeline": {"name": "edges"},
    "transform": {"image": "i", "cmd": ["c"]},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
}


@pytest.fixture
def pfs(tmp_path, monkeypatch):
    storage, metadata = (tmp_path / "objects").as_uri(), f"sqlite:///{tmp_path}/pachy.db"
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("PACHY_STORAGE", storage)
    monkeypatch.setenv("PACHY_METADATA", metadata)
    with Pfs.open(storage=storage, metadata=metadata) as pfs:
        pfs.create_repo("images")
        pfs.put_file("images@master:/a", b"1")
        yield pfs


@pytest.fixture
def plan(pfs):
    return plan_job(pfs, JobRequest(PipelineSpec.from_dict(SPEC), "dag", "run", "edges"))


def process(pfs, plan, code=lambda inputs: {"out": b""}):
    InProcessRunner(pfs, code).run(plan)
    return assemble_job(pfs, plan.job_id)


def run_set(plan, try_number):
    # The runner that does not exist is refused when there is something to run.
    task = DatumSetOperator(task_id="edges.datums", plan_key=plan.sets[0], runner="there")
    task.execute({"ti": SimpleNamespace(try_number=try_number)})


def assemble(plan, try_number):
    pulled = {"id": plan.job_id}
    ti = SimpleNamespace(try_number=try_number, xcom_pull=lambda **_: pulled)
    logged = type("AssembleOperator", (AssembleOperator,), {"log": logging.getLogger("task")})
    task = logged(task_id="edges.assemble", stage="edges", plan_task_id="edges.plan")
    return AssembleOperator.execute.__wrapped__(task, {"ti": ti})


def test_a_set_of_a_job_that_has_published_is_skipped_and_says_what_to_clear(pfs, plan):
    process(pfs, plan)
    with pytest.raises(AirflowSkipException) as skipped:
        run_set(plan, 2)
    for part in (f"nothing was run: job {plan.job_id} has published", "clear edges.plan and what comes after it"):
        assert part in str(skipped.value)
    assert len(list(list_jobs(pfs))) == 1


def test_a_set_of_a_stopped_job_is_not_run(pfs, plan):
    stop_job(pfs, plan.job_id)
    with pytest.raises(AirflowFailException, match=r"was stopped, and is not continued set by set: clear edges\.plan"):
        run_set(plan, 2)


@pytest.mark.parametrize("try_number", [1, 2])
def test_a_set_of_a_job_that_goes_on_is_run(plan, try_number):
    with pytest.raises(AirflowFailException, match="runner is 'there'"):
        run_set(plan, try_number)


def test_a_set_of_a_job_that_has_failed_is_run_again(pfs, plan):
    def code(inputs):
        raise CodeFailed("not yet")

    with pytest.raises(DatumFailed):
        process(pfs, plan, code)
    with pytest.raises(AirflowFailException, match="runner is 'there'"):
        run_set(plan, 2)


def test_assembling_again_gives_the_same_and_does_not_claim_to_have_published(pfs, plan, caplog):
    InProcessRunner(pfs, lambda inputs: {"out": b""}).run(plan)
    first = assemble(plan, 1)
    assert "Published edges@master as commit" in caplog.text
    caplog.clear()
    assert assemble(plan, 2) == first
    assert "Published" not in caplog.text
    assert f"An earlier try has published edges@master as commit {first['commit']}; this one has" in caplog.text
    assert "clear edges.plan and what comes after it" in caplog.text
    assert len(list(pfs.list_commits("edges@master"))) == 1
