"""Spouts: what a task puts into the cluster, and how the triggerer looks after it; the Kubernetes API is a double."""

import asyncio
import json
from copy import deepcopy
from datetime import timedelta
from types import SimpleNamespace

import pytest

from airflow_pachy.dags import pipeline_dag, pipelines_dag
from airflow_pachy.errors import InvalidSpec
from airflow_pachy.hooks.airflow_errors import AirflowException, AirflowFailException
from airflow_pachy.hooks.pfs import PfsHook
from airflow_pachy.operators import PfsSpoutOperator
from airflow_pachy.operators.standing_pod import StandingPod
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.content import ContentWriter
from airflow_pachy.pfs.tree.entries import Entry
from airflow_pachy.pipelines import PipelineSpec
from airflow_pachy.pipelines.lifecycle import create_pipeline, delete_pipeline, start_pipeline, stop_pipeline
from airflow_pachy.pipelines.spouts import find_spout
from airflow_pachy.pipelines.standing import find_standing
from airflow_pachy.pods.rollout import Progress, Rollout
from airflow_pachy.triggers.rollout import DeploymentWatch
from airflow_pachy.triggers.spouts import PfsSpoutTrigger
from airflow_pachy.worker.spout_batches import BatchKey, write_batch

LIFE = "01AAAAAAAAAAAAAAAAAAAAAAAA"
SPEC = {
    "pipeline": {"name": "ticks"},
    "transform": {"image": "user:1", "cmd": ["sh"], "stdin": ["tick $HOME"], "env": {"A": "1"}},
    "spout": {"marker": "offset"},
}
EXTRA = {"storage": "s3://bucket/prefix", "namespace": "data", "helper_image": "helper:1", "worker_secret": "s3-keys"}


class Deferred(Exception):
    def __init__(self, trigger):
        self.trigger = trigger


class Cluster:
    def __init__(self):
        self.deployments, self.services, self.removed = [], [], []

    def apply_deployment(self, wanted, owner):
        self.deployments.append(deepcopy(wanted))
        return wanted

    def apply_service(self, wanted, owner):
        self.services.append(deepcopy(wanted))
        return wanted

    def remove_service(self, name, owner):
        return False

    def remove(self, name, owner):
        self.removed.append(name)


@pytest.fixture
def cluster(monkeypatch):
    cluster = Cluster()
    monkeypatch.setattr(StandingPod, "cluster", cluster)
    monkeypatch.setattr(StandingPod, "client", SimpleNamespace(api_client=None))
    monkeypatch.setattr(StandingPod, "hook", SimpleNamespace(is_in_cluster=False))
    monkeypatch.setattr(StandingPod, "access", lambda _self: {"conn_id": None})
    monkeypatch.setattr(
        "airflow_pachy.pods.apply.Cluster.remove", lambda _self, name, owner: cluster.removed.append(name)
    )
    monkeypatch.setattr("airflow_pachy.pods.apply.Cluster.__init__", lambda *_: None)
    return cluster


@pytest.fixture
def pfs(monkeypatch, tmp_path):
    places = {"storage": f"memory://{tmp_path.name}", "metadata": f"sqlite:///{tmp_path}/pachy.db"}
    with Pfs.open(**places) as pfs:
        monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", json.dumps({"conn_type": "pachy", "extra": EXTRA}))
        monkeypatch.setattr(PfsHook, "get_conn", lambda _self, **_: Pfs.open(**places))
        yield pfs


def task(spec=SPEC, **stage):
    (found,) = pipeline_dag(spec, stage={"runner": "auto", **stage}).tasks
    assert isinstance(found, PfsSpoutOperator)
    return found


@pytest.fixture
def begun(monkeypatch, pfs, cluster):
    """Starts a spout's task; returns the trigger that it waits with."""

    def defer(_self, *, trigger, method_name):
        assert method_name == "resume"
        raise Deferred(trigger)

    monkeypatch.setattr(PfsSpoutOperator, "defer", defer)

    def begin(spec=SPEC, event=None, **stage):
        operator = task(spec, **stage)
        with pytest.raises(Deferred) as deferred:
            operator.execute({}) if event is None else operator.resume({}, event)
        return deferred.value.trigger

    return begin


@pytest.fixture
def watched(monkeypatch):
    """What the triggerer sees of the Deployment, one after the other; the last for ever."""
    looks = [Rollout(Progress.READY)]

    async def look(_self):
        return looks.pop(0) if len(looks) > 1 else looks[0]

    monkeypatch.setattr(DeploymentWatch, "look", look)
    return looks


def fire(trigger, *, until=None):
    """The trigger's event; its clock moves a second with each look, up to `until` seconds from now."""
    now = [0.0]

    def clock():
        now[0] += 1
        return now[0]

    async def first():
        return (await anext(again.run())).payload

    _, kwargs = trigger.serialize()
    json.dumps(kwargs)
    again = PfsSpoutTrigger(**{**kwargs, "until": until or 1000, "poll_interval": 0}, clock=clock)
    return asyncio.run(first())


def leave(pfs, sequence, *files):
    with ContentWriter(pfs.store) as writer:
        entries = [Entry(path, writer.write(content)) for path, content in files]
    write_batch(pfs.store, BatchKey(find_spout(pfs, "ticks").stream, LIFE, sequence), entries, started_us=1)


def test_a_spec_becomes_a_deployment_with_the_helper_beside_the_code(pfs, cluster, begun):
    begun()
    (made,) = cluster.deployments
    assert (made.metadata.name, made.spec.replicas, made.spec.strategy.type) == ("pachy-ticks", 1, "Recreate")
    pod = made.spec.template.spec
    base, helper = pod.containers
    (place,) = pod.init_containers
    assert (helper.name, helper.args, place.args, pod.restart_policy) == ("helper", ["spout"], ["place"], "Always")
    assert (helper.env_from[0].secret_ref.name, base.env_from, place.env_from) == ("s3-keys", [], None)
    assert base.command == ["/pfs/.pfs/busybox", "sh", "/pfs/.pfs/spout.sh", "sh"]
    env = {one.name: one.value for one in helper.env}
    assert (env["PACHY_SPOUT_STREAM"], env["PACHY_SPOUT_MARKER"]) == (find_spout(pfs, "ticks").stream, "offset")
    assert {one.name: one.value for one in place.env}["PACHY_STDIN"] == "tick $$HOME\n"
    assert base.readiness_probe is None
    assert {one.name: one.value for one in base.env}["PPS_PIPELINE_NAME"] == "ticks"
    assert pfs.inspect_branch("ticks@master").head is None
    assert cluster.services == []


def test_its_dag_runs_without_end_one_run_at_a_time():
    dag = pipeline_dag(SPEC)
    assert (dag.max_active_runs, dag.catchup, type(dag.timetable).__name__) == (1, False, "ContinuousTimetable")
    spec = PipelineSpec.parse(SPEC)[0]
    with pytest.raises(InvalidSpec, match="needs a DAG of its own"):
        pipelines_dag([spec], dag_id="all")


def test_a_spout_may_listen_too(pfs, cluster, begun):
    begun(SPEC | {"spout": {"service": {"internal_port": 514, "type": "ClusterIP"}}})
    (service,) = cluster.services
    assert (service.spec.type, service.spec.ports[0].port) == ("ClusterIP", 514)
    assert cluster.deployments[0].spec.template.spec.containers[0].readiness_probe.tcp_socket.port == 514


def test_the_triggerer_commits_what_is_written(pfs, begun, watched):
    trigger = begun()
    for number in range(1, 24):
        leave(pfs, number, ("log", b"%d," % number))
    event = fire(trigger, until=20)
    assert (event["status"], event["committed"]) == ("done", 23)
    assert pfs.get_file("ticks@master:/log") == b"".join(b"%d," % number for number in range(1, 24))
    assert task().resume({}, event) == {"pipeline": "ticks", "commits": 23}


def test_a_stopped_spout_is_taken_down_and_comes_back_when_it_is_started(pfs, cluster, begun, watched):
    trigger = begun()
    stop_pipeline(pfs, "ticks", "enough")
    event = fire(trigger)
    assert (event["status"], "enough" in event["message"]) == ("stopped", True)
    waiting = begun(event=event)
    assert cluster.removed == ["pachy-ticks"]
    assert find_standing(pfs, "ticks") is None
    leave_after_stop = fire(waiting, until=20)
    assert leave_after_stop["status"] == "done", "it waits without looking at the cluster"
    start_pipeline(pfs, "ticks")
    event = fire(waiting)
    assert event["status"] == "started"
    begun(event=event)
    assert len(cluster.deployments) == 2


def test_another_version_ends_the_run_so_that_the_next_one_puts_it_in_place(pfs, cluster, begun, watched):
    trigger = begun()
    create_pipeline(pfs, PipelineSpec.from_dict(SPEC | {"description": "new"}), update=True)
    event = fire(trigger)
    assert (event["status"], "version 2" in event["message"]) == ("updated", True)
    task().resume({}, event)
    begun(SPEC | {"description": "new"})
    old, new = (one.spec.template.metadata.annotations["airflow-pachy/version"] for one in cluster.deployments)
    assert (old, new) == ("1", "2")


def test_a_deployment_that_somebody_deleted_is_made_again(pfs, cluster, begun, watched):
    trigger = begun()
    watched[:] = [Rollout(Progress.READY), Rollout(Progress.GONE, "it was deleted by somebody")]
    event = fire(trigger)
    assert event["status"] == "gone"
    begun(event=event)
    assert len(cluster.deployments) == 2


def test_how_the_pod_is_can_be_seen(pfs, begun, watched):
    trigger = begun()
    assert find_standing(pfs, "ticks").state == "rolling"
    watched[:] = [Rollout(Progress.READY)]
    fire(trigger, until=20)
    assert (find_standing(pfs, "ticks").state, find_standing(pfs, "ticks").message) == ("running", "")
    watched[:] = [Rollout(Progress.FAILED, "the user's process has ended 7 times")]
    fire(trigger, until=40)
    assert (find_standing(pfs, "ticks").state, "7 times" in find_standing(pfs, "ticks").message) == ("failed", True)


def test_while_kubernetes_is_away_commits_go_on(pfs, begun, monkeypatch):
    async def away(_self):
        raise ConnectionError("no route")

    monkeypatch.setattr(DeploymentWatch, "look", away)
    trigger = begun()
    leave(pfs, 1, ("a", b"1"))
    assert fire(trigger, until=20)["committed"] == 1


def test_what_cannot_be_committed_fails_the_task_by_name(pfs, begun, watched):
    trigger = begun()
    leave(pfs, 1, ("a/b", b"1"))
    leave(pfs, 2, ("a", b"1"))
    event = fire(trigger)
    assert event["status"] == "failed"
    with pytest.raises(AirflowException, match="cannot be committed"):
        task().resume({}, event)
    assert find_standing(pfs, "ticks").state == "failed"


def test_a_deleted_spout_ends_its_run(pfs, cluster, begun, watched):
    trigger = begun()
    delete_pipeline(pfs, "ticks", force=True)
    event = fire(trigger)
    assert event["status"] == "deleted"
    task().resume({}, event)
    assert cluster.removed == ["pachy-ticks"]


def test_without_kubernetes_it_says_what_to_do(pfs, cluster, monkeypatch):
    connection = {"conn_type": "pachy", "extra": {**EXTRA, "storage": "file:///data"}}
    monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", json.dumps(connection))
    with pytest.raises(AirflowFailException, match=r"a spout runs in Kubernetes only.*file:///data"):
        task().execute({})


def test_a_local_runner_is_refused_where_kubernetes_would_be_there(pfs, cluster):
    with pytest.raises(AirflowFailException, match="here the runner is local"):
        task(runner="local").execute({})


def test_retries_are_the_authors_the_dags_or_ours():
    delay = timedelta(seconds=30)
    assert (task().retries, task().retry_delay) == (20, delay)
    assert task(retries=1).retries == 1
    (found,) = pipeline_dag(SPEC, default_args={"retries": 3}).tasks
    assert found.retries == 3


def test_how_long_a_run_looks_after_it_can_be_said():
    assert task(run_for=timedelta(minutes=5)).run_for == timedelta(minutes=5)
