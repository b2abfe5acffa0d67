"""Stages inside a real Airflow, with datums as local processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_pachy.pipelines import inspect_job

HERE = Path(__file__).parent

pytestmark = pytest.mark.slow


@pytest.fixture
def words(pfs):
    """The repo `words` with two files; the same for all tests."""
    from airflow_pachy.errors import RepoNotFound

    try:
        pfs.inspect_repo("words")
    except RepoNotFound:
        pfs.create_repo("words")
        with pfs.commit("words@master") as commit:
            commit.put_file("/a", b"alpha")
            commit.put_file("/b", b"beta")
    return pfs


def files(pfs, branch):
    return {info.path: pfs.get_file(f"{branch}:{info.path}") for info in pfs.glob_file(branch, "/*")}


def live_jobs(pfs):
    from airflow_pachy.pipelines import list_jobs

    return [job for job in list_jobs(pfs) if job.state in ("planning", "running")]


def open_commits(pfs):
    return [str(info) for repo in pfs.list_repos() for info in pfs.list_commits(repo.name) if info.state == "open"]


def test_two_stages_between_other_tasks(airflow, words):
    run = airflow.run("upper")
    assert run.state == "success", run.log[-4000:]
    assert files(words, "upper@master") == {"/a": b"ALPHA", "/b": b"BETA"}
    assert files(words, "counted@master") == {"/bytes": b"9\n"}
    assert run.xcom("after") == words.inspect_commit("counted@master").id
    assert run.xcom("upper.plan", "job")["to_run"] == 2
    assert [task["label"] for name, task in run.tasks.items() if name.startswith("upper.datums")] == ["set 0"]


def test_provenance_leads_back_to_the_input(airflow, words):
    counted = words.inspect_commit("counted@master")
    assert {info.repo for info in words.provenance(str(counted))} == {"upper", "words"}


def test_an_unchanged_input_runs_nothing_and_publishes_quickly(airflow, words):
    before = words.inspect_commit("upper@master")
    run = airflow.run("upper")
    assert run.state == "success"
    assert run.xcom("upper.plan", "job")["to_run"] == 0
    assert run.states()["upper.datums"] == "skipped"
    assert files(words, "upper@master") == {"/a": b"ALPHA", "/b": b"BETA"}
    assert words.inspect_commit("upper@master").tree == before.tree


def test_only_what_is_new_runs(airflow, words):
    words.put_file("words@master:/c", b"gamma")
    run = airflow.run("upper")
    assert run.state == "success"
    assert run.xcom("upper.plan", "job")["to_run"] == 1
    assert files(words, "upper@master")["/c"] == b"GAMMA"
    assert files(words, "counted@master") == {"/bytes": b"14\n"}


def test_failing_code_ends_the_run_with_all_that_helps(airflow, words):
    run = airflow.run("exit3")
    assert run.state == "failed"
    assert run.states()["exit3.datums[0]"] == "failed", (
        "not up_for_retry: retrying the user's code is datum_tries' business"
    )
    for text in ("exit code 3", "after 2 tries", "/b", "b is bad", "clear this task"):
        assert text in run.log
    assert run.states()["exit3.assemble"] == "failed"
    assert live_jobs(words) == []
    assert open_commits(words) == []
    assert words.inspect_branch("exit3@master").head is None


def test_after_the_cause_is_gone_only_the_failed_datum_runs(airflow, words, tmp_path):
    (tmp_path / "flag").touch()
    run = airflow.run("exit3", flag=str(tmp_path / "flag"))
    assert run.state == "success", run.log[-4000:]
    assert run.xcom("exit3.plan", "job")["to_run"] == 1
    assert files(words, "exit3@master") == {"/a": b"alpha", "/b": b"beta", "/c": b"gamma"}


def test_restarting_failed_datums_runs_only_what_failed(airflow, words, tmp_path):
    words.put_file("words@master:/b", b"other")
    words.put_file("words@master:/d", b"delta")
    run = airflow.run("exit3", flag=str(tmp_path / "flag"))
    assert run.state == "failed"
    job = run.xcom("exit3.plan", "job")["id"]
    (tmp_path / "flag").touch()
    folder = str(HERE / "dags")
    done = subprocess.run(
        [sys.executable, HERE / "restart_and_resume.py", folder, "exit3", run.run_id, job],
        env=airflow.environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "1 datum runs again in exit3.datums[0]" in done.stdout
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["state"] == "success"
    assert answer["before"]["exit3.datums[0]"] == ["failed", 1]
    assert answer["after"]["exit3.datums[0]"] == ["success", 2]
    assert answer["after"]["exit3.plan[-1]"] == answer["before"]["exit3.plan[-1]"] == ["success", 1]
    info = inspect_job(words, job)
    assert (info.state, info.datums_processed, info.datums_failed) == ("success", 2, 0)
    assert files(words, "exit3@master")["/b"] == b"other"


def test_a_glob_that_matches_nothing_publishes_an_empty_commit(airflow, words):
    run = airflow.run("nothing")
    assert run.state == "success", run.log[-4000:]
    assert run.states()["nothing.datums"] == "skipped"
    assert words.inspect_commit("nothing@master").file_count == 0


def test_a_collision_names_the_path_and_both_datums(airflow, words):
    run = airflow.run("collision")
    assert run.state == "failed"
    assert "/same" in run.log
    assert live_jobs(words) == []
    assert open_commits(words) == []


def test_a_missing_repo_is_said_shortly_and_not_retried(airflow, words):
    run = airflow.run("missing")
    assert run.state == "failed"
    assert run.states()["missing.plan"] == "failed"
    assert "'wrods'" in run.log
    assert live_jobs(words) == []


def test_a_stage_that_is_skipped_is_skipped_as_a_whole(airflow, words):
    run = airflow.run("skipped")
    assert run.state == "success"
    assert {run.states()[f"never.{step}"] for step in ("plan", "datums", "assemble")} == {"skipped"}


def test_put_copy_wait_and_promote(airflow, pfs):
    pfs.create_repo("notes", update=True)
    run = airflow.run("single_actions")
    assert run.state == "success", run.log[-4000:]
    assert pfs.get_file("notes@stable:/c.txt") == b"hello single_actions"
    assert run.xcom("wait_file") == {"paths": ["/c.txt"]}
    assert run.xcom("wait_commit")["commit"] == pfs.inspect_commit("notes@draft").id
