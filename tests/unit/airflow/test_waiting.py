"""Waiting: one-shot triggers, sensors, and the order of jobs that write one branch."""

import asyncio
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG

from airflow_pachy.hooks.airflow_errors import AirflowFailException, AirflowSkipException
from airflow_pachy.operators.plan import PlanOperator
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import assemble_job, inspect_job
from airflow_pachy.sensors import PfsCommitSensor, PfsFileSensor, PfsJobSensor
from airflow_pachy.testing.pipelines import InProcessRunner
from airflow_pachy.triggers import PfsCommitStateTrigger, PfsFileTrigger, PfsJobTrigger

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:
    from airflow.exceptions import TaskDeferred


@pytest.fixture
def pfs(tmp_path, monkeypatch):
    monkeypatch.setenv("PACHY_STORAGE", (tmp_path / "objects").as_uri())
    monkeypatch.setenv("PACHY_METADATA", f"sqlite:///{tmp_path}/pachy.db")
    with Pfs.open() as pfs:
        pfs.create_repo("images")
        yield pfs


async def payload(trigger):
    async for event in trigger.run():
        return event.payload
    return None


async def fired(trigger):
    return await asyncio.wait_for(payload(trigger), 30)


async def test_a_commit_is_waited_for(pfs):
    waiting = asyncio.create_task(fired(PfsCommitStateTrigger(address="images@master", poll_interval=0.01)))
    pfs.start_commit("images@master")
    pfs.put_file("images@master:/a", b"a")
    pfs.finish_commit("images@master")
    commit = pfs.inspect_commit("images@master").id
    expected = {"status": "done", "repo": "images", "branch": "master", "commit": commit, "state": "finished"}
    assert await waiting == expected


async def test_a_repo_that_is_not_there_ends_the_waiting(pfs):
    event = await fired(PfsCommitStateTrigger(address="imgs@master", poll_interval=0.01))
    assert event["status"] == "error"
    assert "imgs" in event["message"]


async def test_only_a_newer_commit_counts_if_asked(pfs):
    pfs.put_file("images@master:/a", b"a")
    old = pfs.inspect_commit("images@master").id
    trigger = PfsCommitStateTrigger(address="images@master", newer_than=old, poll_interval=0.01)
    waiting = asyncio.create_task(fired(trigger))
    pfs.put_file("images@master:/b", b"b")
    assert (await waiting)["commit"] == pfs.inspect_commit("images@master").id


async def test_files_are_waited_for_by_glob_and_number(pfs):
    pfs.put_file("images@master:/a.png", b"a")
    trigger = PfsFileTrigger(address="images@master:/*.png", min_count=2, poll_interval=0.01)
    waiting = asyncio.create_task(fired(trigger))
    pfs.put_file("images@master:/b.png", b"b")
    assert await waiting == {"status": "done", "paths": ["/a.png", "/b.png"]}


@pytest.mark.parametrize(
    "trigger",
    [
        PfsCommitStateTrigger(address="images@master", newer_than="c" * 32, pfs_conn_id="lab", poll_interval=3),
        PfsFileTrigger(address="images@master:/*", min_count=4),
        PfsJobTrigger(jobs=["a", "b"]),
    ],
)
def test_triggers_come_back_from_airflows_database(trigger):
    path, kwargs = trigger.serialize()
    assert path.endswith(type(trigger).__name__)
    assert type(trigger)(**kwargs).serialize() == (path, kwargs)


def test_a_sensor_looks_before_it_defers(pfs):
    sensor = PfsFileSensor(task_id="s", path="images@master:/*", timeout=60)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})
    assert deferred.value.method_name == "resume"
    assert deferred.value.timeout.total_seconds() == 60
    pfs.put_file("images@master:/a", b"a")
    assert sensor.resume({}, {"status": "done", "paths": ["/a"]}) == {"paths": ["/a"]}
    assert PfsFileSensor(task_id="t", path="images@master:/*").execute({}) == {"paths": ["/a"]}


def test_a_sensor_pokes_if_told(pfs):
    sensor = PfsCommitSensor(task_id="s", commit="images@master", deferrable=False)
    assert sensor.poke({}) is False
    pfs.put_file("images@master:/a", b"a")
    assert sensor.poke({}).xcom_value["commit"] == pfs.inspect_commit("images@master").id


def test_a_sensor_says_why_it_gives_up(pfs):
    with pytest.raises(AirflowFailException, match="imgs"):
        PfsCommitSensor(task_id="s", commit="imgs@master").execute({})
    with pytest.raises(AirflowFailException, match="no job"):
        PfsJobSensor(task_id="j", job_id="0" * 32).execute({})


class TaskInstance:
    """What `plan` asks of its task instance; `runs` are the states of the DAG runs that Airflow knows."""

    dag_id, try_number, id = "d", 1, "0001"

    def __init__(self, run_id, runs):
        self.run_id, self.runs, self.xcoms = run_id, runs, {}

    def get_dr_count(self, *, dag_id, run_ids, states=None):
        assert dag_id == "d"
        return sum(run in self.runs and (states is None or self.runs[run] in states) for run in run_ids)

    def xcom_push(self, key, value):
        self.xcoms[key] = value


def plan(run_id, runs, conf=None, events=(), **options):
    with DAG("d", schedule=None):
        operator = PlanOperator(
            task_id="plan",
            stage="s",
            input={"pfs": {"repo": "images", "glob": "/*"}},
            output_branch="out@master",
            cmds=["true"],
            options={},
            **options,
        )
    ti = TaskInstance(run_id, runs)
    run = SimpleNamespace(run_type="asset_triggered" if events else "manual", conf=conf, consumed_asset_events=events)
    keys = operator._plan({"ti": ti, "dag_run": run})
    return keys, ti.xcoms["job"]["id"]


def test_a_job_waits_for_the_older_one_of_its_branch(pfs):
    pfs.put_file("images@master:/a", b"a")
    runs = {"first": "running", "second": "running"}
    _, first = plan("first", runs)
    with pytest.raises(TaskDeferred) as deferred:
        plan("second", runs)
    assert deferred.value.trigger.jobs == [first]


def test_who_asks_for_all_datums_by_hand_gets_them_though_nothing_is_new(pfs):
    pfs.put_file("images@master:/a", b"a")
    runs = dict.fromkeys(("first", "second", "third"), "success")
    options = {"new_only": True, "latest": False}
    keys, first = plan("first", {"first": "running"}, **options)
    InProcessRunner(pfs, lambda inputs: {}).run_set(keys[0])
    assemble_job(pfs, first)
    with pytest.raises(AirflowSkipException):
        plan("second", runs, **options)
    keys, third = plan("third", runs, {"reprocess": True}, **options)
    assert (len(keys), inspect_job(pfs, third).datums_skipped) == (1, 0)


def test_the_second_event_of_a_commit_does_nothing(pfs):
    def woken(run_id, *uris):
        events = [SimpleNamespace(asset=SimpleNamespace(uri=uri)) for uri in uris]
        keys, job = plan(run_id, {run_id: "running"}, events=events)
        for key in keys:
            InProcessRunner(pfs, lambda inputs: {}).run_set(key)
        return assemble_job(pfs, job)

    pfs.put_file("images@master:/a", b"a")
    woken("by the trigger", "pfs://images/master")
    with pytest.raises(AirflowSkipException, match="no input has a commit that this pipeline has not read"):
        woken("by the outlet", "pfs://images/master")
    assert len(list(pfs.list_commits("out@master"))) == 1
    assert woken("by something else, too", "pfs://images/master", "s3://bucket/labels").datums_skipped == 1


def test_a_job_does_not_wait_for_itself(pfs):
    pfs.put_file("images@master:/a", b"a")
    runs = {"first": "running"}
    assert plan("first", runs)[1] == plan("first", runs)[1]


@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_job_whose_run_has_ended_is_closed_by_the_next(pfs, state):
    pfs.put_file("images@master:/a", b"a")
    _, first = plan("first", {"first": "running"})
    plan("second", {"first": state, "second": "running"})
    assert inspect_job(pfs, first).state == "failed"
    assert "ended without assembling" in inspect_job(pfs, first).error


def test_a_run_that_airflow_does_not_know_is_given_time(pfs):
    pfs.put_file("images@master:/a", b"a")
    _, first = plan("first", {"first": "running"})
    with pytest.raises(TaskDeferred):
        plan("second", {"second": "running"})
    assert inspect_job(pfs, first).state == "running"


async def test_the_wait_ends_with_the_job(pfs):
    from airflow_pachy.pipelines import fail_job

    pfs.put_file("images@master:/a", b"a")
    _, first = plan("first", {"first": "running"})
    waiting = asyncio.create_task(fired(PfsJobTrigger(jobs=[first], poll_interval=0.01)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    fail_job(pfs, first, "enough")
    assert await waiting == {"status": "done", "jobs": {first: "failed"}}
