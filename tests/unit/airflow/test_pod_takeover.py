"""A later try of a task takes over the pod of an earlier one, whose process must not end it any more."""

import json
from types import SimpleNamespace

import pytest
from airflow.providers.cncf.kubernetes.utils.pod_manager import OnFinishAction
from kubernetes.client import models as k8s
from kubernetes.client.exceptions import ApiException

from airflow_pachy.hooks.pfs import PfsHook
from airflow_pachy.operators.datum_set import DatumSetOperator
from airflow_pachy.operators.datum_set_pod import DatumSetPodOperator
from airflow_pachy.operators.pod_finding import belongs_to_later_try, find_running
from airflow_pachy.pods.names import ATTEMPT_ANNOTATION, TRY_ANNOTATION


class Api:
    """As much of the API server as this needs."""

    def __init__(self, *pods):
        self.pods = {pod.metadata.name: pod for pod in pods}
        self.deleted = []

    def list_namespaced_pod(self, _namespace, label_selector):
        return SimpleNamespace(items=list(self.pods.values()))

    def read_namespaced_pod(self, name, _namespace):
        if name not in self.pods:
            raise ApiException(status=404)
        return self.pods[name]

    def patch_namespaced_pod(self, name, namespace, patch):
        pod = self.read_namespaced_pod(name, namespace)
        pod.metadata.annotations.update(patch["metadata"]["annotations"])
        return pod

    def delete_namespaced_pod(self, name, namespace, **_options):
        self.deleted.append(name)


def running(name="p", created=1):
    metadata = k8s.V1ObjectMeta(
        name=name, namespace="n", annotations={ATTEMPT_ANNOTATION: "0001-01ABC"}, creation_timestamp=created
    )
    return k8s.V1Pod(metadata=metadata, spec=k8s.V1PodSpec(containers=[]), status=k8s.V1PodStatus(phase="Running"))


@pytest.fixture
def operator(monkeypatch):
    extra = {"storage": "s3://bucket/prefix", "namespace": "n", "helper_image": "helper:1"}
    monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", json.dumps({"conn_type": "pachy", "extra": extra}))

    def make(api, pod, try_number):
        task = DatumSetOperator(
            task_id="datums", plan_key="jobs/0123456789abcdef/plan/0001-000002.json", image="user:1"
        )
        made = DatumSetPodOperator.of_task(task, PfsHook())
        made.client, made.pod, made.try_number = api, pod, try_number
        return made

    return make


def test_the_process_of_an_earlier_try_leaves_the_pod_alone(operator):
    api = Api(running())
    assert find_running(api, "n", {"a": "b"}, 2).metadata.annotations[TRY_ANNOTATION] == "2"
    operator(api, api.pods["p"], 1).on_kill()
    assert api.deleted == []
    operator(api, api.pods["p"], 2).on_kill()
    assert api.deleted == ["p"]


def test_a_pod_that_nobody_took_over_is_deleted(operator):
    api = Api(running())
    operator(api, api.pods["p"], 1).on_kill()
    assert api.deleted == ["p"]


def test_an_api_server_that_does_not_answer_leaves_the_deletion_to_be_tried(operator):
    api = Api(running())

    def away(_name, _namespace):
        raise ApiException(status=500, reason="away")

    api.read_namespaced_pod = away
    operator(api, running(), 1).on_kill()
    assert api.deleted == ["p"]


def test_of_two_pods_the_newer_is_taken_over_and_the_other_deleted():
    api = Api(running("old", 1), running("new", 2))
    assert find_running(api, "n", {}, 3).metadata.name == "new"
    assert api.deleted == ["old"]


@pytest.mark.parametrize(("action", "left"), [("delete_pod", []), ("keep_pod", ["p"]), ("delete_succeeded_pod", ["p"])])
def test_a_pod_that_ended_after_its_try_had_died_is_deleted_unless_pods_are_to_be_kept(operator, action, left):
    pod = running()
    pod.status.phase = "Succeeded"
    task = operator(Api(pod), None, 2)
    task.on_finish_action = OnFinishAction(action)
    assert task._find_running() is None
    assert [name for name in task.client.pods if name not in task.client.deleted] == left


def test_a_pod_that_goes_while_it_is_taken_over_is_none():
    api = Api(running())
    api.patch_namespaced_pod = lambda *_arguments: api.read_namespaced_pod("gone", "n")
    assert find_running(api, "n", {}, 2) is None


@pytest.mark.parametrize(
    ("annotations", "later"),
    [
        ({ATTEMPT_ANNOTATION: "0001-X"}, False),
        ({ATTEMPT_ANNOTATION: "0003-X"}, True),
        ({ATTEMPT_ANNOTATION: "0001-X", TRY_ANNOTATION: "3"}, True),
        ({TRY_ANNOTATION: "2"}, False),
        ({TRY_ANNOTATION: "nonsense"}, False),
        (None, False),
    ],
)
def test_whose_a_pod_is(annotations, later):
    pod = k8s.V1Pod(metadata=k8s.V1ObjectMeta(annotations=annotations))
    assert belongs_to_later_try(pod, 2) is later
