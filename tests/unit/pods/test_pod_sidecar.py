"""The native sidecar (Kubernetes 1.29 on) as the API documents it, since the clusters of the tests may be older."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from kubernetes.client import ApiClient, VersionInfo
from kubernetes.client import models as k8s

from airflow_pachy.hooks.pfs import PfsHook
from airflow_pachy.operators.datum_set import DatumSetOperator
from airflow_pachy.operators.datum_set_pod import DatumSetPodOperator
from airflow_pachy.pods.parts import add_to_pod, build_pod_parts
from airflow_pachy.pods.request import PodRequest
from airflow_pachy.pods.shape import knows_sidecars, lost_its_sidecar
from airflow_pachy.pods.watching import Limits, look

REQUEST = PodRequest("helper:1", "s3://b/p", "jobs/j/plan/0001-000000.json", "0001-A", sidecar=True)


class Answer:
    def __init__(self, document):
        self.data = json.dumps(document)


def written(pod):
    """What goes to the API server, as a manifest."""
    return ApiClient().sanitize_for_serialization(pod)


def test_the_manifest_has_the_documented_fields():
    base = k8s.V1Container(name="x", image="y")
    pod = add_to_pod(k8s.V1Pod(spec=k8s.V1PodSpec(containers=[base])), build_pod_parts(REQUEST))
    spec = written(pod)["spec"]
    assert [one["name"] for one in spec["containers"]] == ["base"]
    place, helper = spec["initContainers"]
    assert (place["name"], "restartPolicy" in place) == ("place", False), "ordinary: it ends before the helper starts"
    assert helper["restartPolicy"] == "Always"
    assert helper["startupProbe"]["exec"]["command"][0] == "/bin/busybox"
    assert spec["restartPolicy"] == "Never", "of the pod: the user's container is not restarted"
    assert "livenessProbe" not in helper, "a probe that fails would restart a helper that waits for S3"
    assert {"name": "PACHY_SIDECAR", "value": "1"} in helper["env"]


def test_what_the_server_gives_back_is_read_with_the_field():
    base = k8s.V1Container(name="x", image="y")
    pod = add_to_pod(k8s.V1Pod(spec=k8s.V1PodSpec(containers=[base])), build_pod_parts(REQUEST))
    document = written(pod)
    same = ApiClient().deserialize(Answer(document), "V1Pod")
    assert written(same) == document
    assert not lost_its_sidecar(pod, same)
    del document["spec"]["initContainers"][1]["restartPolicy"]
    assert lost_its_sidecar(pod, ApiClient().deserialize(Answer(document), "V1Pod"))


@pytest.mark.parametrize(
    ("major", "minor", "git_version", "known"),
    [
        ("1", "20", "v1.20.2", False),
        ("1", "28+", "v1.28.15-eks-1", False),
        ("1", "29+", "v1.29.3-gke.1093000", True),
        ("1", "33+k3s1", "v1.33.1+k3s1", True),
        ("1", "33", "v1.33.1+rke2r1", True),
        ("", "", "v1.31.0+vmware.1", True),
        ("", "", "v1.21.4", False),
        ("", "", "dev", False),
        ("2", "0", "v2.0.0", True),
    ],
)
def test_versions_as_distributions_write_them(major, minor, git_version, known):
    rest = dict.fromkeys(("build_date", "compiler", "git_commit", "git_tree_state", "go_version", "platform"), "")
    assert knows_sidecars(VersionInfo(major=major, minor=minor, git_version=git_version, **rest)) is known


@pytest.fixture
def operator(monkeypatch):
    extra = {"storage": "s3://bucket/prefix", "namespace": "n", "helper_image": "helper:1"}
    monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", json.dumps({"conn_type": "pachy", "extra": extra}))
    task = DatumSetOperator(task_id="datums", plan_key="jobs/0123456789abcdef/plan/0001-000002.json", image="user:1")
    made = DatumSetPodOperator.of_task(task, PfsHook())
    made.sidecar = True
    return made


def test_airflow_follows_the_users_container_and_waits_for_no_other(operator):
    pod = operator.build_pod_request_obj(dry_run=True)
    assert operator.base_container_name == "base" == pod.spec.containers[0].name
    assert operator.container_logs == "base"
    assert [one.name for one in pod.spec.containers] == ["base"]
    assert [one.restart_policy for one in pod.spec.init_containers] == [None, "Always"]


def state(name, code=None):
    ended = k8s.V1ContainerStateTerminated(exit_code=code) if code is not None else None
    running = None if ended else k8s.V1ContainerStateRunning()
    seen = k8s.V1ContainerState(running=running, terminated=ended)
    return k8s.V1ContainerStatus(name=name, state=seen, image="i", image_id="i", ready=False, restart_count=0)


@pytest.mark.parametrize(
    ("phase", "helper", "over"), [("Running", None, False), ("Running", 0, True), ("Succeeded", 0, True)]
)
def test_the_helper_is_waited_for_among_the_init_containers(phase, helper, over):
    status = k8s.V1PodStatus(
        phase=phase,
        container_statuses=[state("base", 0)],
        init_container_statuses=[state("place", 0), state("helper", helper)],
    )
    pod = k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="p"), status=status)
    assert (look(pod, Limits(10, 10), datetime.now(UTC)) is not None) is over


def test_the_classic_shape_has_nothing_of_it():
    base = k8s.V1Container(name="x", image="y")
    pod = add_to_pod(k8s.V1Pod(spec=k8s.V1PodSpec(containers=[base])), build_pod_parts(replace(REQUEST, sidecar=False)))
    assert "Always" not in json.dumps(written(pod))
