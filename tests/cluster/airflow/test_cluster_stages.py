"""Stages of a real Airflow in a real cluster on a real S3: the same bytes wherever the datums run."""

import pytest

from airflow_pachy.errors import RepoNotFound
from airflow_pachy.pipelines import inspect_job, list_jobs

pytestmark = pytest.mark.slow
CONTENT = {"/a": b"alpha", "/b": b"beta", "/c": b"gamma\n" * 1000, "/d": bytes(range(97, 123))}


@pytest.fixture
def words(pfs):
    try:
        pfs.inspect_repo("words")
    except RepoNotFound:
        pfs.create_repo("words")
        with pfs.commit("words@master") as commit:
            for path, content in CONTENT.items():
                commit.put_file(path, content)
    return pfs


def published(pfs, branch):
    tree = pfs.tree(branch)
    return {entry.path: (entry.content.hash, entry.executable) for entry in tree.entries()}


def test_local_processes_are_the_reference(airflow, words):
    run = airflow.run("upper_local")
    assert run.state == "success", run.log[-4000:]
    assert words.get_file("upper_local@master:/deep/b") == b"BETA"
    assert len(published(words, "upper_local@master")) == len(CONTENT)


@pytest.mark.parametrize("runner", ["sync", "deferred"])
def test_pods_give_the_same_bytes(airflow, words, runner):
    run = airflow.run(f"upper_{runner}", timeout=500)
    assert run.state == "success", run.log[-8000:]
    assert set(run.states().values()) == {"success"}, run.log[-8000:]
    assert run.xcom(f"upper_{runner}.plan", "job")["sets"] == 2
    assert published(words, f"upper_{runner}@master") == published(words, "upper_local@master")
    assert "b done" in run.log, "the user's output is in the task's log"
    (image,) = inspect_job(words, run.xcom(f"upper_{runner}.plan", "job")["id"]).images
    assert "sha256:" in image, "provenance has what the tag meant"


@pytest.mark.parametrize("runner", ["sync", "deferred"])
def test_failing_code_fails_its_set_at_once_and_keeps_the_rest(airflow, words, runner):
    run = airflow.run(f"exit3_{runner}", timeout=500)
    states = run.states()
    assert run.state == "failed"
    assert sorted(states[f"exit3_{runner}.datums[{number}]"] for number in (0, 1)) == ["failed", "success"]
    for text in ("exit code 3", "/b", "b is bad", "clear this task"):
        assert text in run.log
    assert words.inspect_branch(f"exit3_{runner}@master").head is None
    (job,) = [job for job in list_jobs(words) if job.pipeline == f"exit3_{runner}"]
    assert (job.state, job.datums_processed, job.datums_failed) == ("failed", 3, 1)


def test_an_image_that_is_not_there_is_said_and_not_retried(airflow, words):
    run = airflow.run("no_image", timeout=500)
    assert run.states()["no_image.datums[0]"] == "failed"
    assert "no-such-image:local" in run.log
