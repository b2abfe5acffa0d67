"""A task that is told to end: Airflow calls `on_kill` in a signal's handler, and what that interrupted goes on."""

import json
from types import SimpleNamespace

import pytest
from kubernetes.client import models as k8s
from kubernetes.client.exceptions import ApiException

from airflow_pachy.hooks.airflow_errors import AirflowException
from airflow_pachy.hooks.pfs import PfsHook
from airflow_pachy.operators import datum_set_pod
from airflow_pachy.operators.datum_set import DatumSetOperator
from airflow_pachy.pods.names import PLAN_ANNOTATION, SetName

KEY = "jobs/0123456789abcdef/plan/0001-000002.json"
FIRST = "pachy-0123456789abcdef-1-2-1"


def context(try_number=1):
    return {"ti": SimpleNamespace(try_number=try_number, start_date=None)}


def pod_of(name, phase=None):
    labels = SetName.of_plan(KEY).labels
    metadata = k8s.V1ObjectMeta(name=name, namespace="n", labels=labels, annotations={PLAN_ANNOTATION: KEY})
    return k8s.V1Pod(metadata=metadata, spec=k8s.V1PodSpec(containers=[]), status=k8s.V1PodStatus(phase=phase))


class Api:
    """Pods by name; `meanwhile` is called while a pod is being made."""

    def __init__(self):
        self.pods, self.made, self.meanwhile = {}, [], lambda: None

    def create_namespaced_pod(self, _namespace, pod):
        self.meanwhile()
        pod.status.phase = "Running"
        self.pods[pod.metadata.name] = pod
        self.made.append(pod.metadata.name)
        return pod

    def read_namespaced_pod(self, name, _namespace):
        if name not in self.pods:
            raise ApiException(status=404)
        return self.pods[name]

    def list_namespaced_pod(self, _namespace, label_selector):
        wanted = dict(part.split("=") for part in label_selector.split(","))
        return SimpleNamespace(
            items=[pod for pod in self.pods.values() if wanted.items() <= pod.metadata.labels.items()]
        )

    def delete_namespaced_pod(self, name, namespace, **_options):
        self.pods.pop(name, None)


class Report:
    """A set of which `unfinished` datums have no record."""

    plan = SimpleNamespace(time_is_up=lambda _now: None)
    failed = ()

    def __init__(self, unfinished):
        self.unfinished = unfinished

    def counts(self):
        return f"{self.unfinished} datums are not done"


@pytest.fixture
def task(monkeypatch):
    """The operator, with an API server and without a log; 3 of its datums are not done."""
    extra = {"storage": "s3://bucket/prefix", "namespace": "n", "helper_image": "helper:1"}
    monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", json.dumps({"conn_type": "pachy", "extra": extra}))
    mapped = DatumSetOperator(task_id="datums", plan_key=KEY, image="user:1", deferrable=False, pod={"get_logs": False})
    made = datum_set_pod.DatumSetPodOperator.of_task(mapped, PfsHook())
    made.client = Api()
    monkeypatch.setattr(made, "_wants_sidecar", lambda: False)
    monkeypatch.setattr(made, "_end_pod", lambda *_arguments: setattr(made, "pod", None))
    monkeypatch.setattr(made, "_report", lambda: Report(3))
    monkeypatch.setattr(made, "build_pod_request_obj", lambda _context: pod_of(named(made)))
    made.mapped = mapped
    return made


def named(task):
    return SetName.of_plan(KEY).pod_name(task.try_number, task.lost)


def on_sleep(monkeypatch, act):
    monkeypatch.setattr(datum_set_pod.time, "sleep", lambda _seconds: act())


def test_a_task_that_is_killed_while_it_waits_deletes_its_pod_and_makes_no_other(task, monkeypatch):
    on_sleep(monkeypatch, task.on_kill)
    with pytest.raises(AirflowException, match="told to end"):
        task.run(context())
    assert (task.client.made, task.client.pods) == ([FIRST], {})


def test_a_pod_that_is_gone_is_replaced_but_not_by_a_task_that_was_told_to_end(task, monkeypatch):
    on_sleep(monkeypatch, task.client.pods.clear)
    monkeypatch.setattr(task, "budget", 2)
    with pytest.raises(AirflowException, match="3 datums are not done"):
        task.run(context())
    assert task.client.made == [FIRST, f"{FIRST}-1", f"{FIRST}-2"]

    def kill_at_the_pause():
        task.client.pods.clear()
        task.stop.set()

    task.client.made.clear()
    task.lost = 0
    on_sleep(monkeypatch, kill_at_the_pause)
    with pytest.raises(AirflowException, match="told to end"):
        task.run(context())
    assert task.client.made == [FIRST]


def test_a_task_that_is_killed_while_its_pod_is_made_deletes_it(task, monkeypatch):
    on_sleep(monkeypatch, lambda: pytest.fail("it waits for its pod"))
    task.client.meanwhile = task.on_kill
    with pytest.raises(AirflowException, match="told to end"):
        task.run(context())
    assert (task.client.made, task.client.pods) == ([FIRST], {})


def test_a_task_that_is_killed_before_its_pod_makes_none(task):
    task.mapped.on_kill()
    with pytest.raises(AirflowException, match="told to end"):
        task.run(context())
    assert task.client.made == []


@pytest.mark.parametrize(("try_number", "left"), [(1, 1), (2, 0)])
def test_a_further_try_deletes_what_an_earlier_one_has_left_when_its_set_is_done(task, monkeypatch, try_number, left):
    other = pod_of("late", "Succeeded")
    monkeypatch.setattr(task, "_report", lambda: Report(0))
    task.client.meanwhile = lambda: task.client.pods.update(late=other)
    on_sleep(monkeypatch, lambda: task.client.pods.pop(f"{FIRST[:-1]}{try_number}"))
    task.run(context(try_number))
    assert len(task.client.pods) == left
