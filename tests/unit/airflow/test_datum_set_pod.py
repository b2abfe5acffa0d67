"""The pod of a datum set, built from connection and arguments; no cluster involved."""

import json

import pytest

from airflow_pachy.hooks.airflow_errors import AirflowFailException
from airflow_pachy.hooks.pfs import PfsHook
from airflow_pachy.operators.datum_set import DatumSetOperator, choose_runner
from airflow_pachy.operators.datum_set_pod import DatumSetPodOperator
from airflow_pachy.triggers.pods import ContainerState, DatumSetPodTrigger

KEY = "jobs/0123456789abcdef/plan/0001-000002.json"
EXTRA = {
    "storage": "s3://bucket/prefix",
    "endpoint_url": "http://outside:9000",
    "worker_endpoint_url": "http://inside:9000",
    "region_name": "eu",
    "namespace": "data",
    "helper_image": "helper:1",
    "worker_secret": "s3-keys",
}


@pytest.fixture
def hook(monkeypatch):
    connection = {"conn_type": "pachy", "login": "key", "password": "hush", "extra": EXTRA}
    monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", json.dumps(connection))
    return PfsHook()


def task(**arguments):
    return DatumSetOperator(**{"task_id": "datums", "plan_key": KEY, "image": "user:1", **arguments})


def build(hook, **arguments):
    operator = DatumSetPodOperator.of_task(task(**arguments), hook)
    return operator, operator.build_pod_request_obj(dry_run=True)


def test_the_helper_stands_beside_the_users_container(hook):
    _, pod = build(hook, container_resources={"limits": {"memory": "1Gi"}})
    base, helper = pod.spec.containers
    assert (base.name, base.image, base.resources.limits) == ("base", "user:1", {"memory": "1Gi"})
    assert (helper.name, helper.image) == ("helper", "helper:1")
    env = {one.name: one.value for one in helper.env}
    assert env["PACHY_STORAGE"] == "s3://bucket/prefix"
    assert env["PACHY_SET_PLAN"] == KEY
    assert env["PACHY_S3_ENDPOINT"] == "http://inside:9000"
    assert env["PACHY_S3_REGION"] == "eu"
    assert helper.env_from[0].secret_ref.name == "s3-keys"
    assert pod.metadata.namespace == "data"
    assert pod.metadata.name.startswith("pachy-0123456789ab-2-")


def test_no_credential_reaches_the_users_container_or_the_pods_text(hook):
    _, pod = build(hook)
    base = pod.spec.containers[0]
    assert not base.env
    assert not base.env_from
    assert "hush" not in str(pod)
    assert pod.spec.automount_service_account_token is False


def test_pod_arguments_reach_the_pod(hook):
    _, pod = build(hook, pod={"node_selector": {"disk": "ssd"}, "priority_class_name": "low"})
    assert pod.spec.node_selector == {"disk": "ssd"}
    assert pod.spec.priority_class_name == "low"


def test_secrets_may_be_written_as_in_specs(hook):
    secrets = [{"name": "token", "env_var": "TOKEN", "key": "t"}, {"name": "certs", "mount_path": "/certs"}]
    _, pod = build(hook, secrets=secrets)
    base = pod.spec.containers[0]
    assert base.env[0].value_from.secret_key_ref.name == "token"
    assert "/certs" in [mount.mount_path for mount in base.volume_mounts]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": ""}, "image is required"),
        ({"pod": {"node_selectr": {}}}, "node_selectr"),
        ({"container_resources": {"memory": "1Gi"}}, "memory"),
    ],
)
def test_what_cannot_make_a_pod_is_said(hook, arguments, message):
    with pytest.raises(AirflowFailException, match=message):
        build(hook, **arguments)


def test_without_a_helper_image_it_says_where_to_set_one(hook, monkeypatch):
    extra = {**EXTRA, "helper_image": ""}
    monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", json.dumps({"conn_type": "pachy", "extra": extra}))
    with pytest.raises(AirflowFailException, match="no helper image is configured"):
        build(PfsHook())


def test_results_never_travel_by_xcom(hook):
    operator, _ = build(hook)
    assert operator.do_xcom_push is False


def test_waiting_is_for_the_whole_pod_and_resumes_the_mapped_task(hook):
    from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
    from airflow.providers.common.compat.sdk import TaskDeferred, timezone

    operator, _ = build(hook)
    plain = KubernetesPodTrigger(
        pod_name="p", pod_namespace="n", trigger_start_time=timezone.utcnow(), base_container_name="base"
    )
    with pytest.raises(TaskDeferred) as deferred:
        operator.defer(trigger=plain, method_name="trigger_reentry")
    assert deferred.value.method_name == "resume"
    path, kwargs = deferred.value.trigger.serialize()
    assert path == "airflow_pachy.triggers.pods.DatumSetPodTrigger"
    assert DatumSetPodTrigger(**kwargs).serialize() == (path, kwargs)


def pod(phase, **containers):
    from kubernetes.client import models as k8s

    def state(code):
        if code is None:
            return k8s.V1ContainerState(running=k8s.V1ContainerStateRunning())
        return k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=code))

    statuses = [
        k8s.V1ContainerStatus(name=name, state=state(code), image="i", image_id="i", ready=False, restart_count=0)
        for name, code in containers.items()
    ]
    return k8s.V1Pod(status=k8s.V1PodStatus(phase=phase, container_statuses=statuses))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (pod("Running", base=0, helper=None), ContainerState.RUNNING),
        (pod("Running", base=121, helper=None), ContainerState.RUNNING),
        (pod("Running", base=0, helper=0), ContainerState.TERMINATED),
        (pod("Running", base=121, helper=121), ContainerState.FAILED),
        (pod("Succeeded", base=0, helper=0), ContainerState.TERMINATED),
        (pod("Failed"), ContainerState.FAILED),
        (pod("Pending"), ContainerState.WAITING),
    ],
)
def test_a_pod_has_ended_when_all_its_containers_have(seen, expected):
    from airflow.providers.common.compat.sdk import timezone

    trigger = DatumSetPodTrigger(
        pod_name="p", pod_namespace="n", trigger_start_time=timezone.utcnow(), base_container_name="base"
    )
    assert trigger.define_pod_container_state(seen) is expected
    assert trigger.define_container_state(seen) is expected


@pytest.mark.parametrize(
    ("asked", "extra", "expected"),
    [
        ("auto", {"storage": "s3://b/p"}, "kubernetes"),
        ("auto", {"storage": "file:///tmp/x"}, "local"),
        ("auto", {}, "local"),
        ("auto", {"storage": "s3://b/p", "runner": "local"}, "local"),
        ("local", {"storage": "s3://b/p", "runner": "kubernetes"}, "local"),
        ("kubernetes", {"storage": "s3://b/p", "runner": "local"}, "kubernetes"),
    ],
)
def test_the_runner_is_what_fits(monkeypatch, asked, extra, expected):
    monkeypatch.delenv("PACHY_STORAGE", raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", json.dumps({"conn_type": "pachy", "extra": extra}))
    assert choose_runner(asked, PfsHook().settings) == expected


def test_pods_need_storage_that_they_can_reach(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", json.dumps({"conn_type": "pachy", "extra": {}}))
    with pytest.raises(AirflowFailException, match="needs storage that pods can reach"):
        choose_runner("kubernetes", PfsHook().settings)
