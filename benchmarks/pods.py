"""Running datum sets in pods as Airflow's tasks run them, so many at a time, and what they say of themselves.

KUBECONFIG               a cluster where a namespace may be made
AWS_ENDPOINT_URL         an S3 server (or PACHY_TEST_S3_ENDPOINT), with PACHY_TEST_S3_BUCKET and AWS_*
PACHY_TEST_POD_HOST      the name or address under which pods reach that server, if it is not the endpoint's
PACHY_TEST_HELPER_IMAGE  a helper image that the cluster can pull; without it, one is built by
PACHY_TEST_IMAGE_BUILD   a command that takes NAME:TAG --dockerfile FILE --context DIR
PACHY_TEST_PYTHON_IMAGE  the image of the datums' code, any with a shell; default python:3.11-slim
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from benchmarks.measure import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.target import Target

HELPER = "airflow-pachy-helper:benchmark"


def why_not(target: Target) -> str | None:
    """Why this cannot be measured here, or None."""
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG is not set: no pods are measured"
    if target.endpoint is None:
        return "AWS_ENDPOINT_URL is not set: pods need an S3 server"
    if not os.environ.get("PACHY_TEST_HELPER_IMAGE") and not os.environ.get("PACHY_TEST_IMAGE_BUILD"):
        return "PACHY_TEST_HELPER_IMAGE is not set, and there is no PACHY_TEST_IMAGE_BUILD: no pods are measured"
    return None


def helper_image() -> str:
    """The helper image to use, built if none is given."""
    if given := os.environ.get("PACHY_TEST_HELPER_IMAGE"):
        return given
    command = [os.environ["PACHY_TEST_IMAGE_BUILD"], HELPER, "--dockerfile", "airflow_pachy/worker/Dockerfile"]
    subprocess.run([*command, "--context", "."], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return HELPER


def user_image() -> str:
    """The image of the datums' code."""
    return os.environ.get("PACHY_TEST_PYTHON_IMAGE", "python:3.11-slim")


@contextmanager
def namespace() -> Iterator[str]:
    """A namespace with the bucket's credentials, for as long as it is needed."""
    from kubernetes import client, config

    config.load_kube_config()
    core = client.CoreV1Api()
    name = f"pachy-bench-{secrets.token_hex(4)}"
    core.create_namespace({"metadata": {"name": name}})
    credentials = {key: value for key, value in os.environ.items() if key.startswith("AWS_") and "ENDPOINT" not in key}
    try:
        core.create_namespaced_secret(name, {"metadata": {"name": "s3"}, "stringData": credentials})
        yield name
    finally:
        core.delete_namespace(name)


def count_api_calls() -> list[int]:
    """A count of requests to the Kubernetes API that goes up as they are made."""
    from kubernetes.client import rest

    count = [0]
    client: Any = rest.RESTClientObject
    plain = client.request

    def request(*args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        return plain(*args, **kwargs)

    client.request = request
    return count


@dataclass
class Seen:
    """What the helpers of all sets reported when they ended, and how much the tasks have logged."""

    reports: list[dict[str, Any]] = field(default_factory=list)
    log_lines: int = 0
    log_bytes: int = 0

    def all(self, name: str) -> list[float]:
        """A number that every helper reports."""
        return [float(report[name]) for report in self.reports]


def run_sets(
    arguments: Mapping[str, Any], keys: Sequence[str], *, pods: int = 1, container_resources: Any = None, **pod: Any
) -> Seen:
    """Run the sets by the operator that their tasks have, `pods` at a time.

    `arguments` has `url`, `metadata`, `endpoint`, `namespace` and `helper_image`; `pod` has arguments of the operator's
    `pod={...}`. Raises what the operator raises.
    """
    from airflow.providers.cncf.kubernetes.callbacks import KubernetesPodOperatorCallback

    from airflow_pachy.hooks.pfs import PfsHook
    from airflow_pachy.operators.datum_set import DatumSetOperator
    from airflow_pachy.operators.datum_set_pod import DatumSetPodOperator

    seen = Seen()

    class Ended(KubernetesPodOperatorCallback):
        @staticmethod
        def on_pod_completion(*, pod: Any, **_rest: Any) -> None:
            (helper,) = [one for one in pod.status.container_statuses if one.name == "helper"]
            # Without a message it was killed, which the operator says.
            if message := helper.state.terminated and helper.state.terminated.message:
                seen.reports.append(json.loads(message))

    def run_set(key: str) -> None:
        task = DatumSetOperator(
            task_id="datums",
            plan_key=key,
            image=user_image(),
            deferrable=False,
            pod={**pod, "callbacks": Ended},
            container_resources=container_resources,
        )
        DatumSetPodOperator.of_task(task, PfsHook()).run(context_of("run", int(key[-11:-5])))

    _connect(arguments)
    _count_logs(seen)
    with ThreadPoolExecutor(pods) as pool:
        list(pool.map(run_set, keys))
    return seen


def context_of(run_id: str, map_index: int) -> Any:
    """What an operator wants to know of the task that it is."""
    now = datetime.now(UTC)
    ti = SimpleNamespace(
        dag_id="benchmark",
        task_id="datums",
        run_id=run_id,
        map_index=map_index,
        try_number=1,
        start_date=now,
        xcom_push=lambda **_values: None,
    )
    dag = SimpleNamespace(dag_id="benchmark", parent_dag=None)
    return {"ti": ti, "task_instance": ti, "run_id": run_id, "dag": dag, "dag_run": ti, "logical_date": now}


def _connect(arguments: Mapping[str, Any]) -> None:
    """Tell the operator where everything is, as Airflow's connections do."""
    endpoint = urlsplit(arguments["endpoint"])
    host = os.environ.get("PACHY_TEST_POD_HOST") or endpoint.hostname
    inside = endpoint._replace(netloc=f"{host}:{endpoint.port}" if endpoint.port else str(host))
    extra = {
        "storage": arguments["url"],
        "metadata": arguments["metadata"],
        "endpoint_url": arguments["endpoint"],
        "worker_endpoint_url": urlunsplit(inside),
        "namespace": arguments["namespace"],
        "worker_secret": "s3",
        "helper_image": arguments["helper_image"],
    }
    login, password = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    connections = {
        "PACHY_DEFAULT": {"conn_type": "pachy", "login": login, "password": password, "extra": extra},
        "KUBERNETES_DEFAULT": {"conn_type": "kubernetes", "extra": {"kube_config_path": os.environ["KUBECONFIG"]}},
    }
    for name, connection in connections.items():
        os.environ[f"AIRFLOW_CONN_{name}"] = json.dumps(connection)


def _count_logs(seen: Seen) -> None:
    """Count what tasks log, instead of having it all printed."""
    import structlog

    def count(_logger: Any, _method: str, event: Any) -> Any:
        seen.log_lines += 1
        words = event.get("positional_args") or ()
        text = str(event.get("event", ""))
        seen.log_bytes += len(text % words if words else text)
        raise structlog.DropEvent

    # Loggers are set up by the first import of Airflow, so after it.
    structlog.configure(processors=[count], cache_logger_on_first_use=False)
