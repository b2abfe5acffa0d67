"""The pod of a datum set, built from connection and arguments; no cluster involved."""

import json

import pytest
from kubernetes.client import models as k8s

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.hooks.airflow_errors import AirflowFailException
from airflow_pachy.hooks.pfs import PfsHook
from airflow_pachy.operators.datum_set import DatumSetOperator, choose_runner, user_numbers
from airflow_pachy.operators.datum_set_pod import DatumSetPodOperator

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
    assert pod.metadata.name == "pachy-0123456789abcdef-1-2-1"
    assert pod.metadata.labels["pachy-job"] == "0123456789abcdef"
    assert pod.metadata.labels["pachy-set"] == "1-2"


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


def test_changes_of_the_finished_pod_are_arguments_too(hook):
    changes = {
        "pod_spec": {"hostNetwork": True},
        "pod_patch": [{"op": "add", "path": "/containers/0/tty", "value": True}],
        "helper_resources": {"limits": {"memory": "3Gi"}},
    }
    _, pod = build(hook, pod={"node_selector": {"disk": "ssd"}, **changes})
    assert (pod.spec.host_network, pod.spec.containers[0].tty) == (True, True)
    assert pod.spec.containers[1].resources.limits == {"memory": "3Gi"}
    assert pod.spec.node_selector == {"disk": "ssd"}
    with pytest.raises(AirflowFailException, match="does not fit the pod"):
        build(hook, pod={"pod_patch": [{"op": "remove", "path": "/nodeName"}]})


def test_secrets_may_be_written_as_in_specs(hook):
    secrets = [
        {"name": "token", "env_var": "my_Token", "key": "t"},
        {"name": "certs", "mount_path": "/certs"},
        {"name": "both", "env_var": "BOTH", "key": "b", "mount_path": "/both"},
    ]
    operator, pod = build(hook, secrets=secrets)
    base = pod.spec.containers[0]
    found = {one.name: one.value_from.secret_key_ref for one in base.env}
    assert {name: (ref.name, ref.key) for name, ref in found.items()} == {
        "my_Token": ("token", "t"),
        "BOTH": ("both", "b"),
    }
    assert {"/certs", "/both"} <= {mount.mount_path for mount in base.volume_mounts}
    again = operator.build_pod_request_obj(dry_run=True).spec.containers[0]
    assert len(again.env) == 2, "a replacement is made by the same operator"


def test_secrets_of_the_kubernetes_provider(hook):
    from airflow.providers.cncf.kubernetes.secret import Secret

    _, pod = build(hook, secrets=[Secret("env", "TOKEN", "token", "t"), Secret("volume", "/certs", "certs")])
    base = pod.spec.containers[0]
    assert base.env[0].value_from.secret_key_ref.name == "token"
    assert "/certs" in [mount.mount_path for mount in base.volume_mounts]


def test_everything_that_places_a_pod(hook):
    toleration = k8s.V1Toleration(key="gpu", operator="Exists", effect="NoSchedule")
    term = k8s.V1NodeSelectorTerm(
        match_expressions=[k8s.V1NodeSelectorRequirement(key="zone", operator="In", values=["a"])]
    )
    affinity = k8s.V1Affinity(
        node_affinity=k8s.V1NodeAffinity(
            required_during_scheduling_ignored_during_execution=k8s.V1NodeSelector(node_selector_terms=[term])
        )
    )
    _, pod = build(
        hook,
        container_resources={"requests": {"cpu": "1"}, "limits": {"nvidia.com/gpu": "2", "memory": "4Gi"}},
        pod={
            "node_selector": {"disk": "ssd"},
            "tolerations": [toleration],
            "affinity": affinity,
            "priority_class_name": "low",
            "service_account_name": "datums",
            "namespace": "elsewhere",
            "labels": {"team": "a"},
            "annotations": {"cost": "b"},
            "image_pull_secrets": ["one", "two"],
            "runtime_class_name": "nvidia",
            "hostnetwork": False,
            "schedulername": "volcano",
            "termination_grace_period": 60,
            "active_deadline_seconds": 3600,
            "volumes": [k8s.V1Volume(name="models", empty_dir=k8s.V1EmptyDirVolumeSource())],
            "volume_mounts": [k8s.V1VolumeMount(name="models", mount_path="/models")],
            "env_from": [k8s.V1EnvFromSource(config_map_ref=k8s.V1ConfigMapEnvSource(name="settings"))],
            "image_pull_policy": "Always",
            "name": "edges",
        },
    )
    spec, base = pod.spec, pod.spec.containers[0]
    assert base.resources.limits == {"nvidia.com/gpu": "2", "memory": "4Gi"}
    assert spec.node_selector == {"disk": "ssd"}
    assert spec.tolerations == [toleration]
    assert spec.affinity == affinity
    assert (spec.priority_class_name, spec.service_account_name) == ("low", "datums")
    assert pod.metadata.namespace == "elsewhere"
    assert pod.metadata.labels["team"] == "a"
    assert pod.metadata.annotations["cost"] == "b"
    assert [one.name for one in spec.image_pull_secrets] == ["one", "two"]
    assert (spec.runtime_class_name, spec.scheduler_name) == ("nvidia", "volcano")
    assert (spec.termination_grace_period_seconds, spec.active_deadline_seconds) == (60, 3600)
    assert {mount.mount_path for mount in base.volume_mounts} == {"/models", "/pfs"}
    assert base.env_from[0].config_map_ref.name == "settings"
    assert {one.image_pull_policy for one in (*spec.containers, *spec.init_containers)} == {"Always"}
    assert pod.metadata.name == "edges-0123456789abcdef-1-2-1"


def test_a_whole_pod_may_be_given(hook):
    base = k8s.V1Container(name="base", lifecycle=k8s.V1Lifecycle())
    mesh = k8s.V1Container(name="mesh", image="mesh:1")
    given = k8s.V1Pod(metadata=k8s.V1ObjectMeta(), spec=k8s.V1PodSpec(containers=[base, mesh]))
    _, pod = build(hook, pod={"full_pod_spec": given})
    assert [one.name for one in pod.spec.containers] == ["base", "helper", "mesh"]
    assert pod.spec.containers[0].lifecycle is not None
    assert pod.spec.containers[0].image == "user:1"


@pytest.mark.parametrize(("user", "numbers"), [("1234", (1234, None)), ("1000:100", (1000, 100)), ("0", (0, None))])
def test_the_user_is_a_number(hook, user, numbers):
    given = k8s.V1SecurityContext(read_only_root_filesystem=True)
    _, pod = build(hook, user=user, pod={"container_security_context": given})
    context = pod.spec.containers[0].security_context
    assert (context.run_as_user, context.run_as_group) == numbers
    assert context.read_only_root_filesystem is True


def test_a_users_name_cannot_be_looked_up():
    with pytest.raises(InvalidSpec, match=r"'nobody'.*write the number"):
        user_numbers("nobody")


def test_pfs_is_as_large_as_the_users_ephemeral_storage(hook):
    _, pod = build(hook, container_resources={"limits": {"ephemeral-storage": "50Gi"}})
    sizes = {volume.name: volume.empty_dir.size_limit for volume in pod.spec.volumes}
    assert sizes["pfs"] == str(50 << 30)
    _, plain = build(hook)
    assert {volume.name: volume.empty_dir.size_limit for volume in plain.spec.volumes}["pfs"] == str(20 << 30)


def test_settings_of_the_helper(hook, monkeypatch):
    monkeypatch.setenv("AIRFLOW__PACHY__HELPER_MEMORY", "3Gi")
    monkeypatch.setenv("AIRFLOW__PACHY__HELPER_ENV", '{"HTTPS_PROXY": "http://proxy:3128"}')
    monkeypatch.setenv("AIRFLOW__PACHY__HELPER_USER", "cluster")
    monkeypatch.setenv("AIRFLOW__PACHY__POD_SECURITY", "restricted")
    _, pod = build(hook)
    base, helper = pod.spec.containers
    assert helper.resources.limits["memory"] == "3Gi"
    assert {one.name: one.value for one in helper.env}["HTTPS_PROXY"] == "http://proxy:3128"
    assert not base.env
    assert helper.security_context.run_as_user is None
    assert base.security_context.run_as_non_root is True


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("HELPER_ENV", "A=b", "helper_env is not a JSON object"),
        ("HELPER_USER", "root", "helper_user is 'root'"),
        ("POD_SECURITY", "baseline", "pod_security is 'baseline'; use one of restricted"),
    ],
)
def test_settings_that_mean_nothing_are_said(hook, monkeypatch, name, value, message):
    monkeypatch.setenv(f"AIRFLOW__PACHY__{name}", value)
    with pytest.raises(AirflowFailException, match=message):
        build(hook)


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
