"""Changes of the finished pod that a pipeline's author asks for."""

from dataclasses import replace

import pytest
from kubernetes.client import models as k8s

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines import PipelineSpec
from airflow_pachy.pipelines.reading import operator_arguments
from airflow_pachy.pods.parts import BASE, HELPER, add_to_pod, build_pod_parts
from airflow_pachy.pods.patching import CHANGES, PodChanges, change_pod
from airflow_pachy.pods.request import PodRequest

REQUEST = PodRequest(
    helper_image="helper:1", storage="s3://bucket", set_plan="jobs/j/plan/0001-000000.json", attempt="1-a"
)


def finished(*, sidecar=False):
    base = k8s.V1Container(name="user", image="user:1", env=[k8s.V1EnvVar(name="A", value="b")])
    pod = k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="p"), spec=k8s.V1PodSpec(containers=[base]))
    return add_to_pod(pod, build_pod_parts(replace(REQUEST, sidecar=sidecar)))


def helper_of(pod):
    (helper,) = (one for one in [*pod.spec.containers, *pod.spec.init_containers] if one.name == HELPER)
    return helper


@pytest.mark.parametrize("sidecar", [False, True])
def test_without_changes_the_pod_stays_as_it_is(sidecar):
    pod = finished(sidecar=sidecar)
    assert change_pod(pod, PodChanges()) == pod


@pytest.mark.parametrize("sidecar", [False, True])
def test_a_merge_and_a_patch_change_what_they_name(sidecar):
    pod = finished(sidecar=sidecar)
    changes = PodChanges(
        pod_spec={"hostNetwork": True, "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}},
        pod_patch=[
            {"op": "add", "path": "/containers/0/env/-", "value": {"name": "B", "value": "c"}},
            {"op": "replace", "path": "/hostNetwork", "value": False},
            {"op": "add", "path": "/topologySpreadConstraints", "value": []},
        ],
    )
    changed = change_pod(pod, changes)
    assert changed.spec.host_network is False
    assert changed.spec.dns_config.options[0].name == "ndots"
    assert [(one.name, one.value) for one in changed.spec.containers[0].env] == [("A", "b"), ("B", "c")]
    assert helper_of(changed) == helper_of(pod)
    assert changed.spec.volumes == pod.spec.volumes
    assert pod.spec.host_network is None


def test_memory_at_dev_shm():
    spec = {
        "pipeline": {"name": "p"},
        "transform": {"image": "i", "cmd": ["c"], "memory_volume": True},
        "input": {"pfs": {"repo": "r", "glob": "/"}},
    }
    arguments = operator_arguments(PipelineSpec.parse(spec)[0])["pod"]
    assert set(arguments) <= set(CHANGES)
    changed = change_pod(finished(), PodChanges(**arguments))
    (volume,) = (one for one in changed.spec.volumes if one.name == "dshm")
    assert volume.empty_dir.medium == "Memory"
    assert "/dev/shm" in [mount.mount_path for mount in changed.spec.containers[0].volume_mounts]


def test_the_helper_s_resources_are_over_our_own():
    helper = helper_of(finished())
    asked = {"requests": {"cpu": "2"}, "limits": {"memory": "128Mi", "cpu": "4"}}
    changed = helper_of(change_pod(finished(sidecar=True), PodChanges(helper_resources=asked)))
    assert changed.resources.limits == {"memory": "128Mi", "cpu": "4"}
    assert changed.resources.requests == {**helper.resources.requests, "cpu": "2", "memory": "128Mi"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (PodChanges(pod_spec={"containers": [{"name": BASE}]}), f"leave the containers {BASE}, "),
        (PodChanges(pod_patch=[{"op": "replace", "path": "/containers/0/name", "value": "x"}]), "the first must stay"),
        (PodChanges(pod_patch=[{"op": "remove", "path": "/nodeName"}]), "does not fit the pod"),
        (PodChanges(pod_spec={"containers": None}), "something that is no pod: Invalid value for `containers`"),
    ],
)
def test_what_would_break_the_pod_is_refused(changes, words):
    with pytest.raises(InvalidSpec) as raised:
        change_pod(finished(), changes)
    assert words in str(raised.value)
