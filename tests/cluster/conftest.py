"""Fixtures for tests that run pods: a client, a namespace of the test run's own, the S3 secret, images.

KUBECONFIG               a cluster where the tests may make namespaces
PACHY_TEST_S3_ENDPOINT   an S3 server, with PACHY_TEST_S3_BUCKET and AWS_* (see `real_s3`)
PACHY_TEST_POD_HOST      the name or address under which pods reach that server, if it is not the endpoint's
PACHY_TEST_HELPER_IMAGE  a helper image that the cluster can pull; without it, one is built:
PACHY_TEST_IMAGE_BUILD   a command that takes NAME:TAG --dockerfile FILE --context DIR, builds, and makes the
                         image available to the cluster
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import secrets
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).parents[2]
POD_TIMEOUT_SECONDS = 180


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@dataclass(frozen=True)
class Cluster:
    """A Kubernetes API and a namespace in it that nobody else uses; `s3_secret` names a Secret with AWS_* keys."""

    core: Any
    namespace: str
    s3_secret: str

    def create(self, pod: Any) -> Any:
        """Create a pod; its metadata needs a name only."""
        return self.core.create_namespaced_pod(self.namespace, pod)

    def read(self, name: str) -> Any:
        """The pod as it now is."""
        return self.core.read_namespaced_pod(name, self.namespace)

    def wait(self, name: str, until: Callable[[Any], bool], timeout_seconds: float = POD_TIMEOUT_SECONDS) -> Any:
        """Poll the pod until it is as wanted; on time-out fail with its status and events."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            pod = self.read(name)
            if until(pod):
                return pod
            if time.monotonic() > deadline:
                pytest.fail(f"pod {name} after {timeout_seconds} s: {pod.status}\n{self.events(name)}")
            time.sleep(0.3)

    def logs(self, name: str, container: str) -> str:
        """What a container wrote."""
        # Undecoded, because the client makes "b'...'" of it.
        answer = self.core.read_namespaced_pod_log(name, self.namespace, container=container, _preload_content=False)
        text: str = answer.data.decode()
        return text

    def events(self, name: str) -> str:
        """The pod's events, a line each."""
        events = self.core.list_namespaced_event(self.namespace, field_selector=f"involvedObject.name={name}")
        return "\n".join(f"{event.reason}: {event.message}" for event in events.items)


@pytest.fixture(scope="session")
def s3_pod_endpoint() -> str:
    """The S3 server's URL as pods reach it."""
    endpoint = os.environ.get("PACHY_TEST_S3_ENDPOINT")
    if not endpoint:
        pytest.skip("no S3 server for pods: set PACHY_TEST_S3_ENDPOINT (and PACHY_TEST_POD_HOST, its name for pods)")
    parts = urlsplit(endpoint)
    host = os.environ.get("PACHY_TEST_POD_HOST") or parts.hostname
    return urlunsplit(parts._replace(netloc=f"{host}:{parts.port}" if parts.port else str(host)))


@pytest.fixture(scope="session")
def cluster(s3_pod_endpoint: str) -> Iterator[Cluster]:
    """The cluster of KUBECONFIG, with a fresh namespace that is deleted at the end of the run."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("no Kubernetes: set KUBECONFIG")
    from kubernetes import client, config

    config.load_kube_config()
    core = client.CoreV1Api()
    name = f"pachy-test-{secrets.token_hex(4)}"
    core.create_namespace({"metadata": {"name": name}})
    credentials = {key: value for key, value in os.environ.items() if key in S3_CREDENTIALS}
    core.create_namespaced_secret(name, {"metadata": {"name": "s3"}, "stringData": credentials})
    yield Cluster(core, name, "s3")
    core.delete_namespace(name)


S3_CREDENTIALS = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"})


def build_image(name: str, dockerfile: Path, context: Path, **build_args: str) -> str:
    """Build an image for the cluster; skips the test where there is no way to."""
    command = os.environ.get("PACHY_TEST_IMAGE_BUILD")
    if not command:
        pytest.skip(f"cannot build {name}: set PACHY_TEST_IMAGE_BUILD")
    arguments = [command, name, "--dockerfile", str(dockerfile), "--context", str(context)]
    arguments += [word for key, value in build_args.items() for word in ("--build-arg", f"{key}={value}")]
    return _build(name, arguments)


def _build(name: str, command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=REPOSITORY)
    if done.returncode != 0:
        pytest.fail(f"building {name} failed:\n{done.stdout}{done.stderr}")
    return name


@pytest.fixture(scope="session")
def helper_image(cluster: Cluster) -> str:
    """The helper image of this checkout."""
    if given := os.environ.get("PACHY_TEST_HELPER_IMAGE"):
        return given
    if not os.environ.get("PACHY_TEST_IMAGE_BUILD"):
        pytest.skip("cannot build the helper image: set PACHY_TEST_IMAGE_BUILD or PACHY_TEST_HELPER_IMAGE")
    return _build("airflow-pachy-helper:test", ["scripts/helper-image", "airflow-pachy-helper:test"])


@pytest.fixture(scope="module")
def storage(s3_pod_endpoint: str, s3_bucket: str) -> dict[str, str]:
    """A prefix of the test bucket that nobody else uses, and how to reach it."""
    return {
        "storage": f"s3://{s3_bucket}/cluster-{secrets.token_hex(6)}",
        "endpoint_url": os.environ["PACHY_TEST_S3_ENDPOINT"],
        "worker_endpoint_url": s3_pod_endpoint,
    }


@pytest.fixture(scope="module")
def connection_with(cluster: Cluster, helper_image: str, storage: dict[str, str]) -> Callable[[str], str]:
    """Makes the `pachy` connection, as an environment variable's JSON, that has a given metadata database."""

    def connection(metadata: str) -> str:
        extra = {
            **storage,
            "metadata": metadata,
            "namespace": cluster.namespace,
            "worker_secret": cluster.s3_secret,
            "helper_image": helper_image,
        }
        login, password = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        return json.dumps({"conn_type": "pachy", "login": login, "password": password, "extra": extra})

    return connection


@pytest.fixture(scope="session")
def opencv_image(cluster: Cluster) -> str:
    """The image of the OpenCV example, with this environment's OpenCV: others may encode a PNG otherwise."""
    folder = REPOSITORY / "dags_examples" / "opencv_code"
    version = importlib.metadata.version("opencv-python-headless")
    return build_image("airflow-pachy-opencv:test", folder / "Dockerfile", folder, OPENCV_VERSION=version)


@pytest.fixture(scope="session")
def joins_image(cluster: Cluster) -> str:
    """The image of the `joins` example, by the name that its specs have."""
    folder = REPOSITORY / "dags_examples" / "joins_code"
    return build_image("airflow-pachy-joins:local", folder / "Dockerfile", folder)


@pytest.fixture(scope="session")
def python_image() -> str:
    """A user's image with Python and a shell."""
    return os.environ.get("PACHY_TEST_PYTHON_IMAGE", "python:3.11-slim")


@pytest.fixture(scope="session")
def bare_image(helper_image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A user's image that has one static program, /cp, no shell, and a uid of its own."""
    context = tmp_path_factory.mktemp("bare-image")
    dockerfile = context / "Dockerfile"
    dockerfile.write_text(
        f"FROM {helper_image} AS helper\nFROM scratch\nCOPY --from=helper /bin/busybox /cp\nUSER 65532:65532\n"
    )
    return build_image("airflow-pachy-bare:test", dockerfile, context)
