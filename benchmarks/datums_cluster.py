"""Many datums of 10 ms each in real pods: ours, and the naive way of one KubernetesPodOperator for each datum.

The naive tasks are measured on a few and scaled; they do not even read or write data, and Airflow's own time for a
mapped task is left out of both sides. As many pods run at once on both. `benchmarks.pods` says what is needed.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import pods
from benchmarks.files import say
from benchmarks.measure import Measurement, report, run_module

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.worker.records import DatumResult
    from benchmarks.target import Target

PODS = 4
WORK_SECONDS = 0.01
NAIVE = 24
ONE = f"sleep {WORK_SECONDS}; cp /pfs/in/* /pfs/out/"
MANY = f'cd "$PACH_BATCH"; for d in *; do sleep {WORK_SECONDS}; cp "$d"/in/* "$d/out/"; touch "$d/done"; done'
STEPS = ("plan", "run", "assemble")
MODULE = "benchmarks.datums_cluster"


def measure_cluster(target: Target, folder: Path, datums: int) -> list[Measurement]:
    """Ours without and with batches, and the naive way."""
    title = f"{datums:,} datums"
    image = pods.helper_image()
    with pods.namespace() as namespace:
        place = {"endpoint": target.endpoint, "namespace": namespace, "helper_image": image, "datums": datums}
        measured = [
            replace(_measure_job(target, folder, {**place, "batch": False}), operation=title),
            replace(_measure_job(target, folder, {**place, "batch": True}), operation=title, system="ours, batch"),
        ]
        naive = run_module("one pod each", "naive", MODULE, place)
    naive = replace(naive, operation=f"{title}, scaled from {NAIVE}")
    _tell(naive)
    quicker = [(naive.inside_seconds or 0) / (one.inside_seconds or 1) for one in measured]
    print(f"    {quicker[0]:.0f} times as fast as one pod each, {quicker[1]:.0f} in batches", flush=True)
    return [*measured, naive]


def measure_large_job(target: Target, folder: Path, datums: int) -> list[Measurement]:
    """One job of so many datums, in batches: each step by itself."""
    image = pods.helper_image()
    with pods.namespace() as namespace:
        place = {"endpoint": target.endpoint, "namespace": namespace, "helper_image": image, "datums": datums}
        steps: list[Measurement] = []
        _measure_job(target, folder, {**place, "batch": True}, steps)
    return steps


def _measure_job(
    target: Target, folder: Path, arguments: dict[str, Any], steps: list[Measurement] | None = None
) -> Measurement:
    """A whole job, each step of it in a process of its own as Airflow's tasks are; `steps` gets each, too."""
    name = "batches" if arguments["batch"] else "datums"
    state = folder / name
    state.mkdir()
    arguments |= {"url": target.url(name), "metadata": f"sqlite:///{state / 'metadata.db'}", "state": str(state)}
    run_module("ours", "prepare", MODULE, arguments)
    measured = [run_module("ours", step, MODULE, arguments) for step in STEPS]
    for one in measured:
        _tell(one)
    if steps is not None:
        steps += measured
    return Measurement(
        system="ours",
        operation=name,
        seconds=sum(one.seconds for one in measured),
        cpu_seconds=sum(one.cpu_seconds for one in measured),
        peak_memory_bytes=max(one.peak_memory_bytes for one in measured),
        inside_seconds=sum(one.inside_seconds or 0 for one in measured),
        requests=sum(one.requests or 0 for one in measured),
        notes={key: value for one in measured for key, value in one.notes.items()},
    )


def _tell(one: Measurement) -> None:
    say(one)
    print("   ", ", ".join(f"{name} {value}" for name, value in one.notes.items()), flush=True)


def prepare(pfs: Pfs, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Commit the files."""
    pfs.create_repo("in")
    with pfs.commit("in@master") as commit:
        for number in range(arguments["datums"]):
            commit.put_file(f"/{number:06d}", b"%d" % number)
    _write(arguments, "committed", time.time_ns() // 1_000)
    return {}


def plan(pfs: Pfs, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Plan the job, in as many sets as Airflow may map by default."""
    from airflow_pachy.pipelines import JobRequest, plan_job

    said = _Lines()
    logging.getLogger("airflow_pachy.pipelines.set_plans").addHandler(said)
    logging.getLogger("airflow_pachy.pipelines.set_plans").setLevel(logging.INFO)
    planned = plan_job(pfs, JobRequest(_spec(arguments), "benchmark", "run", "stage"))
    _write(arguments, "job", {"id": planned.job_id, "sets": list(planned.sets)})
    return {"plan says": f'"{said.text}"'}


def run(pfs: Pfs, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Run the sets in pods."""
    keys = _read(arguments, "job")["sets"]
    calls = pods.count_api_calls()
    seen = pods.run_sets(arguments, keys, pods=PODS)
    ran = _Ran.of_sets(pfs, keys)
    if ran.datums != arguments["datums"]:
        raise SystemExit(f"{ran.datums} of {arguments['datums']} datums have run")
    each = ran.process_us if arguments["batch"] else ran.busy_us
    return {
        "pods": len(keys),
        "API calls": calls[0],
        "helper ready after": f"{min(seen.all('start_seconds')):.2f} to {max(seen.all('start_seconds')):.2f} s",
        "first datum after": f"{(ran.first_us - _read(arguments, 'committed')) / 1e6:.1f} s",
        # In a batch datums follow each other in one process, which is their own time but for its start.
        "overhead per datum": f"{each / ran.datums / 1_000 - WORK_SECONDS * 1_000:.1f} ms",
        "CPU of the helper per datum": f"{sum(seen.all('cpu_seconds')) * 1_000 / ran.datums:.1f} ms",
        "most memory of a helper": f"{max(seen.all('peak_memory_bytes')) / 2**20:.0f} MiB",
        "S3 requests of the helpers": f"{sum(seen.all('requests')):,.0f}",
        "task logs": f"{seen.log_lines:,} lines, {seen.log_bytes / 2**20:.1f} MiB",
        # Downloads and uploads happen while another datum runs.
        **{f"{step} per datum": f"{us / ran.datums / 1_000:.1f} ms" for step, us in ran.steps_us.items()},
    }


def assemble(pfs: Pfs, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Publish."""
    from airflow_pachy.pipelines import assemble_job

    job = assemble_job(pfs, _read(arguments, "job")["id"])
    found = sum(1 for _ in pfs.tree("out@master").entries())
    if (job.datums_processed, found) != (arguments["datums"], arguments["datums"]):
        raise SystemExit(f"{job.datums_processed} datums made {found} files instead of {arguments['datums']}")
    return {"output files": found}


@dataclass
class _Ran:
    """Times of all datums, in microseconds; `busy_us` is from the first start to the last end of each set."""

    datums: int
    first_us: float
    busy_us: float
    process_us: int
    steps_us: dict[str, int]

    @classmethod
    def of_sets(cls, pfs: Pfs, keys: list[str]) -> _Ran:
        from airflow_pachy.worker.plan import read_plan
        from airflow_pachy.worker.records import read_set_results

        ran = cls(0, float("inf"), 0, 0, {"download": 0, "process": 0, "upload": 0})
        for key in keys:
            results = list(read_set_results(pfs.store, read_plan(pfs.store, key).results_prefix))
            begin = min(one.started_us + one.download_us for one in results)
            ran.first_us = min(ran.first_us, begin)
            ran.busy_us += max(one.started_us + one.download_us + one.process_us for one in results) - begin
            ran.add(results)
        return ran

    def add(self, results: list[DatumResult]) -> None:
        self.datums += len({one.datum for one in results if one.state == "success"})
        for step in self.steps_us:
            self.steps_us[step] += sum(getattr(one, f"{step}_us") for one in results)
        self.process_us = self.steps_us["process"]


class _Lines(logging.Handler):
    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage()


def _spec(arguments: Mapping[str, Any]) -> PipelineSpec:
    from airflow_pachy.pipelines import PipelineSpec

    batch = arguments["batch"]
    transform = {"image": pods.user_image(), "cmd": ["sh", "-euc", MANY if batch else ONE], "batch": batch}
    return PipelineSpec.from_dict(
        {
            "pipeline": {"name": "out"},
            "transform": transform,
            "input": {"pfs": {"repo": "in", "glob": "/*"}},
            "parallelism_spec": {"constant": PODS},
        }
    )


def _write(arguments: Mapping[str, Any], name: str, value: Any) -> None:
    Path(arguments["state"], name).write_text(json.dumps(value))


def _read(arguments: Mapping[str, Any], name: str) -> Any:
    return json.loads(Path(arguments["state"], name).read_text())


def run_naive(arguments: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
    """A KubernetesPodOperator for each of a few datums, scaled to all of them."""
    calls = pods.count_api_calls()
    started = time.perf_counter()
    with ThreadPoolExecutor(PODS) as pool:
        list(pool.map(lambda number: _run_task(arguments["namespace"], number), range(NAIVE)))
    scale = arguments["datums"] / NAIVE
    notes = {"pods": arguments["datums"], "measured tasks": NAIVE, "API calls": round(calls[0] * scale)}
    return (time.perf_counter() - started) * scale, notes


def _run_task(namespace: str, number: int) -> None:
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

    logging.disable(logging.CRITICAL)
    task = KubernetesPodOperator(
        task_id="naive",
        name="naive",
        namespace=namespace,
        image=pods.user_image(),
        cmds=["sh", "-c", f"sleep {WORK_SECONDS}"],
        config_file=os.environ["KUBECONFIG"],
        in_cluster=False,
        kubernetes_conn_id=None,
    )
    task.execute(pods.context_of("run", number))


OPERATIONS: dict[str, Callable[[Pfs, Mapping[str, Any]], dict[str, Any]]] = {
    "prepare": prepare,
    "plan": plan,
    "run": run,
    "assemble": assemble,
}


def main(operation: str, arguments: Mapping[str, Any]) -> None:
    """Run one operation and report it."""
    if operation == "naive":
        seconds, notes = run_naive(arguments)
        report(seconds, **notes)
        return
    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pfs.client import base
    from airflow_pachy.pfs.objects import CountingStore

    opening: Any = base
    plain = opening.open_store
    stores: list[CountingStore] = []

    def open_counting(*args: Any, **kwargs: Any) -> CountingStore:
        stores.append(CountingStore(plain(*args, **kwargs)))
        return stores[-1]

    opening.open_store = open_counting
    with Pfs.open(arguments["url"], arguments["metadata"], s3={"endpoint_url": arguments["endpoint"]}) as pfs:
        started = time.perf_counter()
        notes = OPERATIONS[operation](pfs, arguments)
        seconds = time.perf_counter() - started
    requests = sum(store.counts.total for store in stores)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report(seconds, stores[0], **notes, **{"peak": f"{peak >> 10} MiB", "S3 requests": requests})


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
