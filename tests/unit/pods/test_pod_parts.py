from dataclasses import replace

import pytest
from kubernetes.client import ApiClient
from kubernetes.client import models as k8s

from airflow_pachy.pods.parts import BASE, HELPER, PLACE, add_to_pod, build_pod_parts
from airflow_pachy.pods.request import PodRequest

REQUEST = PodRequest(
    helper_image="registry.example.com/helper:1",
    storage="s3://bucket/prefix",
    set_plan="jobs/j/plan/0001-000000.json",
    attempt="edges-0-1",
    credentials_secret="pachy-s3",
    s3_endpoint="http://s3.example.com:9000",
    volume_bytes=10 << 30,
)


@pytest.fixture
def pod():
    base = k8s.V1Container(
        name="user",
        image="user:1",
        command=["python3"],
        args=["edges.py"],
        env=[k8s.V1EnvVar(name="KEY", value="value")],
        volume_mounts=[k8s.V1VolumeMount(name="cache", mount_path="/cache")],
    )
    mesh = k8s.V1Container(name="mesh", image="mesh:1")
    cache = k8s.V1Volume(name="cache", empty_dir=k8s.V1EmptyDirVolumeSource())
    fetch = k8s.V1Container(name="fetch", image="fetch:1")
    spec = k8s.V1PodSpec(containers=[base, mesh], init_containers=[fetch], volumes=[cache])
    return add_to_pod(
        k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="p", annotations={"a": "b"}), spec=spec), build_pod_parts(REQUEST)
    )


def environment(container) -> dict[str, str]:
    return {variable.name: variable.value for variable in container.env or []}


def test_the_users_container_stays_first_and_runs_the_shim_from_the_shared_volume(pod):
    base = pod.spec.containers[0]
    assert (base.name, base.image) == (BASE, "user:1")
    assert base.command == ["/pfs/.pfs/busybox", "sh", "/pfs/.pfs/shim.sh"]
    assert base.args is None
    assert [mount.mount_path for mount in base.volume_mounts] == ["/cache", "/pfs"]


def test_what_the_pod_already_had_is_kept(pod):
    assert [container.name for container in pod.spec.containers] == [BASE, HELPER, "mesh"]
    assert [container.name for container in pod.spec.init_containers] == [PLACE, "fetch"]
    assert [volume.name for volume in pod.spec.volumes] == ["cache", "pfs", "hlp"]
    assert pod.metadata.annotations == {
        "a": "b",
        "eks.amazonaws.com/skip-containers": "base",
        "airflow-pachy/attempt": "edges-0-1",
        "airflow-pachy/set-plan": "jobs/j/plan/0001-000000.json",
    }


def test_only_the_helper_has_credentials(pod):
    base, helper, _mesh = pod.spec.containers
    assert helper.env_from[0].secret_ref.name == "pachy-s3"
    assert base.env_from is None
    assert environment(base) == {"KEY": "value"}
    assert pod.spec.init_containers[0].env_from is None
    assert pod.spec.automount_service_account_token is False
    assert pod.spec.service_account_name is None


def test_the_users_container_sees_nothing_of_the_helpers_scratch(pod):
    base, helper, _mesh = pod.spec.containers
    assert "hlp" not in {mount.name for mount in base.volume_mounts}
    assert {mount.name for mount in helper.volume_mounts} == {"pfs", "hlp"}


def test_the_helper_is_told_where_the_work_is(pod):
    settings = environment(pod.spec.containers[1])
    assert settings["PACHY_STORAGE"] == "s3://bucket/prefix"
    assert settings["PACHY_SET_PLAN"] == "jobs/j/plan/0001-000000.json"
    assert settings["PACHY_ATTEMPT"] == "edges-0-1"
    assert settings["PACHY_S3_ENDPOINT"] == "http://s3.example.com:9000"
    assert int(settings["PACHY_STAGE_BYTES"]) == 5 << 30
    assert "PACHY_S3_REGION" not in settings


def test_volumes_are_bounded_and_asked_of_the_scheduler(pod):
    assert all(volume.empty_dir.size_limit for volume in pod.spec.volumes if volume.name != "cache")
    requested = int(pod.spec.containers[1].resources.requests["ephemeral-storage"])
    assert requested >= REQUEST.volume_bytes


@pytest.mark.parametrize("which", ["place", "helper"])
def test_our_containers_satisfy_the_restricted_profile(pod, which):
    containers = [*pod.spec.init_containers, *pod.spec.containers]
    context = next(container for container in containers if container.name == which).security_context
    assert context.run_as_non_root is True
    assert context.allow_privilege_escalation is False
    assert context.capabilities.drop == ["ALL"]
    assert context.seccomp_profile.type == "RuntimeDefault"
    assert context.read_only_root_filesystem is True


def test_the_given_pod_is_not_changed():
    given = k8s.V1Pod(spec=k8s.V1PodSpec(containers=[k8s.V1Container(name="x", image="y", command=["z"])]))
    before = given.to_dict()
    add_to_pod(given, build_pod_parts(REQUEST))
    assert given.to_dict() == before


def test_the_same_request_gives_the_same_pod(pod):
    again = build_pod_parts(REQUEST)
    assert again == build_pod_parts(REQUEST)
    assert ApiClient().sanitize_for_serialization(pod)["spec"]["restartPolicy"] == "Never"


def test_without_a_secret_the_service_account_gives_access():
    request = PodRequest("h", "s3://b/p", "k", "a")
    assert build_pod_parts(request).helper_container.env_from is None


def test_the_native_shape_has_the_helper_among_the_init_containers(pod):
    spec = k8s.V1PodSpec(
        containers=[k8s.V1Container(name="x", image="y")], init_containers=[k8s.V1Container(name="fetch", image="f")]
    )
    built = add_to_pod(k8s.V1Pod(spec=spec), build_pod_parts(replace(REQUEST, sidecar=True)))
    assert [container.name for container in built.spec.containers] == [BASE]
    assert [container.name for container in built.spec.init_containers] == [PLACE, HELPER, "fetch"]
    helper = built.spec.init_containers[1]
    assert helper.restart_policy == "Always"
    assert helper.startup_probe._exec.command[-1] == "/pfs/.pfs/helper.hb"
    assert environment(helper)["PACHY_SIDECAR"] == "1"
    assert "PACHY_SIDECAR" not in environment(pod.spec.containers[1])


def test_a_pod_wide_user_is_not_the_helpers(pod):
    assert pod.spec.containers[1].security_context.run_as_user == 10001
    left_open = build_pod_parts(replace(REQUEST, helper_user=None))
    assert left_open.helper_container.security_context.run_as_user is None


def test_restricted_fills_what_the_users_container_leaves_open():
    given = k8s.V1SecurityContext(run_as_user=1234, allow_privilege_escalation=False)
    base = k8s.V1Container(name="x", image="y", security_context=given)
    pod = k8s.V1Pod(spec=k8s.V1PodSpec(containers=[base]))
    context = add_to_pod(pod, build_pod_parts(replace(REQUEST, restricted=True))).spec.containers[0].security_context
    assert context.run_as_user == 1234
    assert context.run_as_non_root is True
    assert context.capabilities.drop == ["ALL"]
    assert context.seccomp_profile.type == "RuntimeDefault"
    assert context.read_only_root_filesystem is None
