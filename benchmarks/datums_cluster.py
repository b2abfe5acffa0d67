"""A thousand datums of 10 ms each in real pods: ours, and the naive way of one KubernetesPodOperator for each datum.

The naive tasks are measured on a few and scaled; they do not even read or write data, and Airflow's own time for a
mapped task is left out of both sides. As many pods run at once on both.

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
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from benchmarks.files import say
from benchmarks.measure import ROOT, report, run_module

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from airflow_pachy.worker.records import DatumResult
    from benchmarks.measure import Measurement
    from benchmarks.target import Target

PODS = 4
WORK_SECONDS = 0.01
NAIVE = 24
HELPER = "airflow-pachy-helper:benchmark"
HELPER_NAME = "helper"
ONE = f"sleep {WORK_SECONDS}; cp /pfs/in/* /pfs/out/"
MANY = f'cd "$PACH_BATCH"; for d in *; do sleep {WORK_SECONDS}; cp "$d"/in/* "$d/out/"; touch "$d/done"; done'


def why_not(target: Target) -> str | None:
    """Why this cannot be measured here, or None."""
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG is not set: no pods are measured"
    if target.endpoint is None:
        return "AWS_ENDPOINT_URL is not set: pods need an S3 server"
    if not os.environ.get("PACHY_TEST_HELPER_IMAGE") and not os.environ.get("PACHY_TEST_IMAGE_BUILD"):
        return "PACHY_TEST_HELPER_IMAGE is not set, and there is no PACHY_TEST_IMAGE_BUILD: no pods are measured"
    return None


def measure_cluster(target: Target, folder: Path, datums: int) -> list[Measurement]:
    """Ours without and with batches, and the naive way."""
    image = os.environ.get("PACHY_TEST_HELPER_IMAGE") or _build()
    with _namespace() as namespace:
        arguments = {
            "url": target.url("cluster"),
            "endpoint": target.endpoint,
            "metadata": f"sqlite:///{folder / 'cluster.db'}",
            "namespace": namespace,
            "helper_image": image,
            "datums": datums,
        }
        title = f"{datums:,} datums"
        measured = [
            run_module("ours", "one by one", "benchmarks.datums_cluster", arguments),
            run_module("ours", "in batches", "benchmarks.datums_cluster", arguments),
            run_module("naive", "naive", "benchmarks.datums_cluster", arguments),
        ]
    named = [
        replace(measured[0], operation=title),
        replace(measured[1], system="ours, batch", operation=title),
        replace(measured[2], system="one pod each", operation=f"{title}, scaled from {NAIVE}"),
    ]
    for one in named:
        say(one)
        print("   ", ", ".join(f"{name} {value}" for name, value in one.notes.items()), flush=True)
    quicker = (named[2].inside_seconds or 0) / (named[0].inside_seconds or 1)
    print(f"    {quicker:.0f} times as fast as one pod each", flush=True)
    return named


def _build() -> str:
    command = [os.environ["PACHY_TEST_IMAGE_BUILD"], HELPER, "--dockerfile", "airflow_pachy/worker/Dockerfile"]
    subprocess.run([*command, "--context", "."], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return HELPER


@contextmanager
def _namespace() -> Iterator[str]:
    core = _client()
    name = f"pachy-bench-{secrets.token_hex(4)}"
    core.create_namespace({"metadata": {"name": name}})
    credentials = {key: value for key, value in os.environ.items() if key.startswith("AWS_") and "ENDPOINT" not in key}
    try:
        core.create_namespaced_secret(name, {"metadata": {"name": "s3"}, "stringData": credentials})
        yield name
    finally:
        core.delete_namespace(name)


def _client() -> Any:
    from kubernetes import client, config

    config.load_kube_config()
    return client.CoreV1Api()


def _image() -> str:
    return os.environ.get("PACHY_TEST_PYTHON_IMAGE", "python:3.11-slim")


def run_ours(arguments: Mapping[str, Any], *, batch: bool) -> tuple[float, dict[str, Any]]:
    """Plan, run in pods, assemble: seconds, and what else was seen."""
    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, plan_job
    from airflow_pachy.worker.plan import read_plan
    from airflow_pachy.worker.records import read_set_results

    repo = "batches" if batch else "datums"
    transform = {"image": _image(), "cmd": ["sh", "-euc", MANY if batch else ONE], "batch": batch}
    spec = PipelineSpec.from_dict(
        {
            "pipeline": {"name": f"{repo}-out"},
            "transform": transform,
            "input": {"pfs": {"repo": repo, "glob": "/*", "name": "in"}},
            "parallelism_spec": {"constant": PODS},
        }
    )
    with Pfs.open(arguments["url"], arguments["metadata"], s3={"endpoint_url": arguments["endpoint"]}) as pfs:
        pfs.create_repo(repo)
        with pfs.commit(f"{repo}@master") as commit:
            for number in range(arguments["datums"]):
                commit.put_file(f"/{number:06d}", b"%d" % number)
        started, committed_us = time.perf_counter(), time.time_ns() // 1_000
        planned = plan_job(pfs, JobRequest(spec, "benchmark", repo, "stage"))
        outcomes = _run_pods(arguments, spec.transform.cmd, planned.sets)
        job = assemble_job(pfs, planned.job_id)
        seconds = time.perf_counter() - started
        sets = [list(read_set_results(pfs.store, read_plan(pfs.store, key).results_prefix)) for key in planned.sets]
    assert job.datums_processed == arguments["datums"], job
    results = [result for one in sets for result in one]
    first = min(result.started_us + result.download_us for result in results)
    busy_us = [
        max(one.started_us + one.download_us + one.process_us for one in results)
        - min(one.started_us + one.download_us for one in results)
        for results in sets
    ]
    # In a batch datums follow each other in one process, which is their own time but for its start.
    each_ms = (sum(result.process_us for result in results) if batch else sum(busy_us)) / len(results) / 1_000
    return seconds, {
        "pods": len(sets),
        "first datum after": f"{(first - committed_us) / 1e6:.1f} s",
        "overhead per datum": f"{each_ms - WORK_SECONDS * 1_000:.1f} ms",
        # Downloads and uploads happen while another datum runs.
        **{f"{step} per datum": _mean_ms(results, f"{step}_us") for step in ("download", "process", "upload")},
        "CPU of the helper per datum": f"{sum(one['cpu_seconds'] for one in outcomes) * 1_000 / len(results):.1f} ms",
    }


def _mean_ms(results: Sequence[DatumResult], name: str) -> str:
    return f"{sum(getattr(result, name) for result in results) / len(results) / 1_000:.1f} ms"


def _run_pods(arguments: Mapping[str, Any], cmd: tuple[str, ...], sets: list[str]) -> list[dict[str, Any]]:
    """A pod for each set, until all have ended; looks at all of them at once. Returns what the helpers reported."""
    from kubernetes.client import models as k8s

    from airflow_pachy.pods.parts import add_to_pod, build_pod_parts
    from airflow_pachy.pods.request import PodRequest

    core, namespace = _client(), arguments["namespace"]
    endpoint = urlsplit(arguments["endpoint"])
    host = os.environ.get("PACHY_TEST_POD_HOST") or endpoint.hostname
    for key in sets:
        name = f"set-{secrets.token_hex(6)}"
        request = PodRequest(
            helper_image=arguments["helper_image"],
            storage=arguments["url"],
            set_plan=key,
            attempt=name,
            credentials_secret="s3",
            s3_endpoint=urlunsplit(endpoint._replace(netloc=f"{host}:{endpoint.port}" if endpoint.port else str(host))),
            volume_bytes=1 << 30,
        )
        base = k8s.V1Container(name="base", image=_image(), command=list(cmd))
        pod = k8s.V1Pod(metadata=k8s.V1ObjectMeta(name=name), spec=k8s.V1PodSpec(containers=[base]))
        core.create_namespaced_pod(namespace, add_to_pod(pod, build_pod_parts(request)))
    while True:
        pods = core.list_namespaced_pod(namespace).items
        if failed := [pod for pod in pods if pod.status.phase == "Failed"]:
            raise SystemExit(f"pod {failed[0].metadata.name} failed: {failed[0].status}")
        if all(pod.status.phase == "Succeeded" for pod in pods):
            break
        time.sleep(0.5)
    statuses = [status for pod in pods for status in pod.status.container_statuses if status.name == HELPER_NAME]
    core.delete_collection_namespaced_pod(namespace)
    return [json.loads(status.state.terminated.message) for status in statuses]


def run_naive(arguments: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
    """A KubernetesPodOperator for each of a few datums, scaled to all of them."""
    started = time.perf_counter()
    with ThreadPoolExecutor(PODS) as pool:
        list(pool.map(lambda number: _run_task(arguments["namespace"], number), range(NAIVE)))
    scale = arguments["datums"] / NAIVE
    return (time.perf_counter() - started) * scale, {"pods": arguments["datums"], "measured tasks": NAIVE}


def _run_task(namespace: str, number: int) -> None:
    import logging

    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

    logging.disable(logging.CRITICAL)
    task = KubernetesPodOperator(
        task_id="naive",
        name="naive",
        namespace=namespace,
        image=_image(),
        cmds=["sh", "-c", f"sleep {WORK_SECONDS}"],
        config_file=os.environ["KUBECONFIG"],
        in_cluster=False,
        kubernetes_conn_id=None,
    )
    ti = SimpleNamespace(
        dag_id="naive", task_id="naive", run_id="run", map_index=number, try_number=1, xcom_push=lambda **_values: None
    )
    dag = SimpleNamespace(dag_id="naive", parent_dag=None)
    now = datetime.now(UTC)
    context: Any = {"ti": ti, "task_instance": ti, "run_id": "run", "dag": dag, "dag_run": ti, "logical_date": now}
    task.execute(context)


def _counted() -> list[int]:
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


def main(operation: str, arguments: Mapping[str, Any]) -> None:
    """Run one operation and report it."""
    calls = _counted()
    if operation == "naive":
        seconds, notes = run_naive(arguments)
        notes["API calls"] = round(calls[0] * arguments["datums"] / NAIVE)
    else:
        seconds, notes = run_ours(arguments, batch=operation == "in batches")
        notes["API calls"] = calls[0]
    report(seconds, **notes)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
