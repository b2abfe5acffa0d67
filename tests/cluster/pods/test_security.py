"""What each part may do and reach, and with how few rights all of it runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kubernetes.client import models as k8s

from airflow_pachy.pods.parts import add_to_pod, build_pod_parts
from airflow_pachy.pods.request import PodRequest
from airflow_pachy.pods.shape import knows_sidecars, lost_its_sidecar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MANIFESTS = Path(__file__).parents[3] / "helm_values"
UPPER = 'f=$(echo /pfs/words/*); tr a-z A-Z <$f >/pfs/out/${f##*/}; echo "did ${f##*/}"'
UPPERED = {"/a": b"ALPHA\n", "/b": b"BETA\n", "/c": b"GAMMA\n", "/d": b"DELTA\n"}
LOOK = (
    "set +e; { env; ls -aR /pfs /hlp /var/run/secrets /dev 2>&1;"
    " cat /pfs/.pfs/stage/* /proc/1/environ /proc/*/environ 2>&1;"
    " touch /pfs/.pfs/stage/x 2>&1; mount; ps 2>&1;"
    " api=https://$KUBERNETES_SERVICE_HOST/api/v1/namespaces/$NAMESPACE;"
    " wget -q -O - --no-check-certificate $api/secrets/s3 2>&1;"
    " } >/pfs/out/${words##*/}; true"
)
INSIDE = """
import json, os, ssl, sys, urllib.error, urllib.request
url = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}/api/v1/namespaces/{sys.argv[1]}/pods"
try:
    api = urllib.request.urlopen(url, context=ssl._create_unverified_context(), timeout=20).status
except urllib.error.HTTPError as error:
    api = error.code
commands = []
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        commands.append(open(f"/proc/{name}/cmdline").read().replace("\\0", " "))
print(json.dumps({
    "environment": dict(os.environ), "token": os.path.exists("/var/run/secrets/kubernetes.io"), "uid": os.getuid(),
    "writable": [path for path in ("/", "/opt", "/etc", "/usr") if os.access(path, os.W_OK)], "api": api,
    "commands": commands,
}))
"""


@pytest.fixture(scope="module")
def limited(cluster, tmp_path_factory) -> Path:
    """A kubeconfig for a service account that has the rights of `rbac.yaml`, and no others."""
    from kubernetes import client

    role, binding = list(yaml.safe_load_all((MANIFESTS / "rbac.yaml").read_text()))
    rights = client.RbacAuthorizationV1Api()
    name = "airflow-worker"
    cluster.core.create_namespaced_service_account(cluster.namespace, {"metadata": {"name": name}})
    role["metadata"]["namespace"] = binding["metadata"]["namespace"] = cluster.namespace
    binding["subjects"] = [{"kind": "ServiceAccount", "name": name, "namespace": cluster.namespace}]
    rights.create_namespaced_role(cluster.namespace, role)
    rights.create_namespaced_role_binding(cluster.namespace, binding)
    token = cluster.core.create_namespaced_service_account_token(name, cluster.namespace, {"spec": {"audiences": []}})
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token.status.token}}]
    path = tmp_path_factory.mktemp("limited") / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module", autouse=True)
def stories(scenarios, stage, connect, environment, limited):
    def tell(name: str, *job: Any, story: Any = None, **details: Any) -> None:
        planned = stage.job(*job, **details)
        scenarios.start(name, lambda: SimpleNamespace(job=planned, ended=(story or type(planned).run)(planned)))

    kubernetes = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(limited)}}
    environment.setenv("AIRFLOW_CONN_LIMITED", json.dumps(kubernetes))
    connect("pachy_limited", kubernetes_conn_id="limited")
    for mode in ("sync", "deferred"):
        tell(f"rights {mode}", UPPER, task={"pfs_conn_id": "pachy_limited", "deferrable": mode == "deferred"})
    tell("rights reattached", f"{UPPER}; sleep 1", task={"pfs_conn_id": "pachy_limited"}, story=reattach)
    tell("rights image", image="no-such-image:local", task={"pfs_conn_id": "pachy_limited"})
    tell("reach", LOOK, task={"user": "1234"}, transform={"env": {"NAMESPACE": stage.cluster.namespace}})
    tell("inside", f"{UPPER}; sleep 4", story=look_inside)


def reattach(job: Any) -> Any:
    job.stage.start_task(job.key, job.arguments)
    return job.run(2)


def look_inside(job: Any) -> Any:
    """Ask the helper what it has and reaches, which takes the rights of the cluster's administrator."""
    from kubernetes import client, config
    from kubernetes.stream import stream

    # A client of its own: while it streams, it can nothing else.
    administrator = client.CoreV1Api(config.new_client_from_config(os.environ["KUBECONFIG"]))

    def ask(job: Any) -> None:
        job.seen = job.wait_for_line("did a")
        cluster = job.stage.cluster
        answer = stream(
            administrator.connect_get_namespaced_pod_exec,
            job.seen.metadata.name,
            cluster.namespace,
            container="helper",
            command=["/opt/pachy/bin/python", "-c", INSIDE, cluster.namespace],
            stdout=True,
            stderr=True,
            _preload_content=False,
        )
        answer.run_forever(timeout=60)
        job.inside = json.loads(answer.read_stdout() or answer.read_stderr())

    return job.run_while(ask)


@pytest.mark.parametrize("how", ["sync", "deferred", "reattached"])
def test_the_rights_of_the_manifest_are_enough(scenarios, how):
    story = scenarios.end_of(f"rights {how}")
    assert story.ended.error is None, story.ended.text
    assert story.job.assemble() == UPPERED


def test_the_rights_are_enough_to_say_why_an_image_is_missing(scenarios):
    story = scenarios.end_of("rights image")
    assert story.ended.final
    assert "no-such-image:local" in story.ended.text
    assert "Forbidden" not in story.ended.text


def test_the_rights_are_no_more_than_that(cluster, limited):
    from kubernetes import client, config

    api = client.AuthorizationV1Api(config.new_client_from_config(str(limited)))

    def may(verb: str, resource: str, sub: str | None = None) -> bool:
        asked = k8s.V1ResourceAttributes(verb=verb, resource=resource, subresource=sub, namespace=cluster.namespace)
        spec = k8s.V1SelfSubjectAccessReviewSpec(resource_attributes=asked)
        return api.create_self_subject_access_review(k8s.V1SelfSubjectAccessReview(spec=spec)).status.allowed

    assert may("create", "pods")
    assert not may("create", "pods", "exec")
    assert not may("create", "pods", "attach")
    assert not may("get", "secrets")
    assert not may("list", "secrets")
    assert not may("create", "serviceaccounts", "token")
    assert not may("get", "nodes")


def test_the_users_container_reaches_neither_credentials_nor_the_helpers_files(scenarios):
    story = scenarios.end_of("reach")
    assert story.ended.error is None, story.ended.text
    seen = story.job.assemble()["/a"].decode(errors="replace")
    for secret in (os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_ACCESS_KEY_ID"]):
        assert secret not in seen
    for text in ("AWS_", "PACHY_STORAGE", "serviceaccount", "airflow_pachy"):
        assert text not in seen
    assert "ls: /hlp: No such file" in seen
    assert "ls: /var/run/secrets: No such file" in seen
    assert "touch: /pfs/.pfs/stage/x: Permission denied" in seen

    assert any(text in seen for text in ("403", "401", "Unauthorized", "Forbidden")), "the API server knows nobody here"


def test_the_helper_has_the_buckets_keys_and_nothing_else(scenarios, place):
    story = scenarios.end_of("inside")
    assert story.ended.error is None, story.ended.text
    inside = story.job.inside
    assert inside["uid"] == 10001
    assert inside["token"] is False
    assert inside["api"] in (401, 403)
    assert inside["writable"] == []
    assert inside["environment"]["AWS_SECRET_ACCESS_KEY"] == os.environ["AWS_SECRET_ACCESS_KEY"]
    values = " ".join(inside["environment"].values())
    assert place["metadata"] not in values
    assert not [name for name in inside["environment"] if "AIRFLOW" in name or "METADATA" in name]
    assert all("airflow_pachy.worker" in command for command in inside["commands"]), "it does not see the user's"


def test_the_manifest_of_a_pod_holds_no_secret(scenarios, place):
    pod = scenarios.end_of("inside").job.seen
    text = str(pod)
    for secret in (os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_ACCESS_KEY_ID"], place["metadata"]):
        assert secret not in text
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        assert not [mount.name for mount in container.volume_mounts if "token" in mount.name], container.name
    assert [one.name for one in pod.spec.containers if one.env_from] == ["helper"]


def test_the_network_policy_is_one_and_means_our_pods(scenarios, cluster):
    from kubernetes import client

    policy = yaml.safe_load((MANIFESTS / "network-policy.yaml").read_text())
    policy["metadata"]["namespace"] = cluster.namespace
    made = client.NetworkingV1Api(cluster.core.api_client).create_namespaced_network_policy(cluster.namespace, policy)
    (selector,) = made.spec.pod_selector.match_expressions
    assert selector.operator == "Exists"
    assert selector.key in scenarios.end_of("inside").job.seen.metadata.labels
    assert sorted(made.spec.policy_types) == ["Egress", "Ingress"]
    assert made.spec.ingress is None or made.spec.ingress == []


def test_a_field_that_is_dropped_without_a_word_is_noticed(cluster):
    from kubernetes import client

    version = client.VersionApi().get_code()
    parts = build_pod_parts(PodRequest("h:local", "s3://b/p", "jobs/j/plan/0001-000000.json", "0001-A", sidecar=True))
    parts.helper_container.startup_probe = None
    base = k8s.V1Container(name="base", image="busybox:local")
    pod = k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="dropped"), spec=k8s.V1PodSpec(containers=[base]))
    asked = add_to_pod(pod, parts)
    created = cluster.create(asked)
    cluster.core.delete_namespaced_pod("dropped", cluster.namespace, grace_period_seconds=0)
    assert lost_its_sidecar(asked, created) is not knows_sidecars(version)


def test_a_native_sidecar_that_this_cluster_does_not_know_is_replaced_by_the_classic_pod(stage, cluster, environment):
    from kubernetes import client

    version = client.VersionApi().get_code()
    job = stage.job(UPPER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__PACHY__POD_SHAPE", "sidecar")
        ended = job.run()
    assert ended.error is None, ended.text
    assert ("This cluster has no native sidecars" in ended.text) is not knows_sidecars(version)
    assert job.assemble() == UPPERED
