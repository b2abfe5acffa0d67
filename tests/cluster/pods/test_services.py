"""A service in a real cluster: it answers, it is replaced on the next commit, and it comes back by itself."""

import json
import os
import secrets
import time
import urllib.request
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from airflow_pachy.cli.app import main
from airflow_pachy.operators import PfsServiceOperator
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines.standing import find_standing

pytestmark = pytest.mark.slow
PORT = 8080
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def metadata(tmp_path):
    return f"sqlite:///{tmp_path}/pachy.db"


@pytest.fixture
def pfs(storage, connection_with, metadata, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", connection_with(metadata))
    with Pfs.open(storage["storage"], metadata, s3={"endpoint_url": storage["endpoint_url"]}) as pfs:
        pfs.create_repo("pages")
        yield pfs


@pytest.fixture
def rights(cluster, tmp_path, monkeypatch):
    """A connection to Kubernetes with the rights of `rbac-standing.yaml`, and no others."""
    from kubernetes import client

    role, binding = list(yaml.safe_load_all((REPOSITORY / "helm_values/rbac-standing.yaml").read_text()))
    name = f"standing-{secrets.token_hex(3)}"
    cluster.core.create_namespaced_service_account(cluster.namespace, {"metadata": {"name": name}})
    role["metadata"]["namespace"] = binding["metadata"]["namespace"] = cluster.namespace
    binding["subjects"] = [{"kind": "ServiceAccount", "name": name, "namespace": cluster.namespace}]
    api = client.RbacAuthorizationV1Api()
    api.create_namespaced_role(cluster.namespace, role)
    api.create_namespaced_role_binding(cluster.namespace, binding)
    token = cluster.core.create_namespaced_service_account_token(name, cluster.namespace, {"spec": {"audiences": []}})
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token.status.token}}]
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    extra = {"kube_config_path": str(tmp_path / "kubeconfig")}
    monkeypatch.setenv("AIRFLOW_CONN_LIMITED", json.dumps({"conn_type": "kubernetes", "extra": extra}))
    return "limited"


@pytest.fixture
def serve(pfs, python_image, rights):
    """Runs the task that serves the newest commit, as a worker would."""
    small = {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}

    def run():
        task = PfsServiceOperator(
            task_id="shop",
            input={"pfs": {"repo": "pages", "glob": "/"}},
            service={"internal_port": PORT, "type": "ClusterIP"},
            image=python_image,
            cmds=["sh"],
            # As an argument, Kubernetes would take $(COMMIT) for a variable of its own.
            stdin=["echo $pages_COMMIT >/tmp/commit", f"exec python3 -m http.server {PORT} --directory /pfs/pages"],
            container_resources=small,
            kubernetes_conn_id=rights,
            pod={"pod_spec": {"terminationGracePeriodSeconds": 1}},
            deferrable=False,
            ready_timeout=timedelta(minutes=3),
        )
        return task.execute({"dag_run": SimpleNamespace(conf={}), "ti": SimpleNamespace(try_number=1)})

    return run


def get(cluster, path="/index.html"):
    """What the Service's endpoint answers: there is no kube-proxy on test clusters, so its address is asked for."""
    found = cluster.core.read_namespaced_endpoints("pachy-shop", cluster.namespace)
    (subset,) = found.subsets
    (address,) = subset.addresses
    with urllib.request.urlopen(f"http://{address.ip}:{subset.ports[0].port}{path}", timeout=20) as answer:
        return answer.read()


def pods(cluster):
    found = cluster.core.list_namespaced_pod(cluster.namespace, label_selector="pachy-standing=pachy-shop").items
    return [pod for pod in found if pod.metadata.deletion_timestamp is None]


def eventually(what, wanted, seconds=90):
    deadline = time.monotonic() + seconds
    while (found := what()) != wanted:
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds} s it is {found!r}, not {wanted!r}")
        time.sleep(0.5)


def test_a_service_serves_the_newest_commit(cluster, pfs, serve, metadata, capsys):
    from kubernetes.client import AppsV1Api

    pfs.put_file("pages@master:/index.html", "one")
    first = serve()
    assert get(cluster) == b"one"

    pfs.put_file("pages@master:/index.html", "two")
    pfs.put_file("pages@master:/large", b"x" * 3_000_000)
    second = serve()
    assert get(cluster) == b"two"
    assert first["commits"] != second["commits"]
    assert len(pods(cluster)) == 1, "the old pod is told to end when the new one is ready"

    # Another pod, as after the loss of a node, with the same files, though nobody else has them any more.
    pfs.delete_commit("pages@master")
    pfs.gc(dry_run=False, grace=timedelta(0))
    (before,) = pods(cluster)
    cluster.core.delete_namespaced_pod(before.metadata.name, cluster.namespace, grace_period_seconds=0)
    eventually(lambda: [one.metadata.name != before.metadata.name for one in pods(cluster)], [True])
    (after,) = pods(cluster)
    cluster.wait(after.metadata.name, lambda pod: any(one.ready for one in pod.status.container_statuses or []))
    eventually(lambda: get(cluster, "/large") == b"x" * 3_000_000, True)

    places = ["--storage", pfs.store.url, "--metadata", metadata, "--s3-endpoint", os.environ["PACHY_TEST_S3_ENDPOINT"]]
    assert main([*places, "stop", "pipeline", "shop"]) == 0
    assert capsys.readouterr().out.endswith(f"Deleted Deployment pachy-shop in namespace {cluster.namespace}.\n")
    assert find_standing(pfs, "shop") is None
    apps = AppsV1Api(cluster.core.api_client)
    assert apps.list_namespaced_deployment(cluster.namespace).items == []
    services = cluster.core.list_namespaced_service(cluster.namespace).items
    assert "pachy-shop" not in [one.metadata.name for one in services]
    eventually(lambda: pods(cluster), [])
