"""A chain of five pipelines inside a real Airflow: what orchestration adds between one commit and the next.

Airflow runs as `airflow standalone` does, scheduler with LocalExecutor, triggerer, DAG processor and API server on this
machine, and datums are local processes that copy one small file. So what is measured is Airflow and us, not pods. In
two shapes: a DAG for each pipeline, joined by assets, and one DAG for all of them.

PACHY_BENCH_AIRFLOW_DATABASE   URL of an empty PostgreSQL database for Airflow's own tables; default: SQLite
PACHY_BENCH_PACHY_DATABASE     URL of an empty database for ours; default: SQLite
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks.measure import ROOT, Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines import JobInfo

PIPELINES = 5
WAIT_SECONDS = 180.0
SHAPES = {"apart": "a DAG each", "together": "one DAG"}
_DAGS = """
from pathlib import Path

from airflow_pachy.dags import load_pipelines, pipelines_dag

here = Path(__file__).parent
globals().update(load_pipelines(here / "apart", stage={"runner": "local"}))
together = pipelines_dag(here / "together", dag_id="together", stage={"runner": "local", "new_only": True})
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """One commit on its way through the chain, in seconds since it was finished: jobs in order, and their parts."""

    to_first_datum: float
    to_first_output: float
    to_last_output: float
    parts: dict[str, float]

    @property
    def per_hop(self) -> float:
        """From one output to the next."""
        return (self.to_last_output - self.to_first_output) / (PIPELINES - 1)


def why_not() -> str | None:
    """Why this cannot be measured here, or None."""
    from importlib.util import find_spec

    return None if find_spec("airflow.models") else "Airflow itself is not installed: the chain is not measured"


def measure_chain(folder: Path, commits: int) -> list[Measurement]:
    """Seconds per hop in both shapes: medians over `commits` commits, after one that warms everything up."""
    sys.path.insert(0, str(ROOT / "scripts"))
    from airflow_process import (  # a script beside the demo, which shares it
        Airflow,
        airflow_environment,
        free_port,
    )

    from airflow_pachy.pfs import Pfs

    home = folder / "airflow"
    dags = home / "dags"
    dags.mkdir(parents=True)
    for shape in SHAPES:
        _write_specs(dags / shape, shape)
    (dags / "chain.py").write_text(_DAGS)
    environment = airflow_environment(home, dags, port=free_port())
    environment |= {
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": os.environ.get("PACHY_BENCH_AIRFLOW_DATABASE")
        or environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
        "PACHY_STORAGE": (home / "pachy" / "objects").as_uri(),
        "PACHY_METADATA": os.environ.get("PACHY_BENCH_PACHY_DATABASE") or f"sqlite:///{home}/pachy/pachy.db",
        "PYTHONPATH": str(ROOT),
    }
    (home / "pachy").mkdir()
    measured: list[Measurement] = []
    with (
        Airflow(environment, home / "airflow.log") as airflow,
        Pfs.open(storage=environment["PACHY_STORAGE"], metadata=environment["PACHY_METADATA"]) as pfs,
    ):
        for shape in SHAPES:
            pfs.create_repo(f"{shape}-source")
        airflow.wait_until_ready()
        for shape, title in SHAPES.items():
            passages = [_pass(pfs, airflow, shape, number) for number in range(commits + 1)][1:]
            airflow.wait_until_idle()
            measured.append(_measurement(title, passages))
    return measured


def _write_specs(folder: Path, shape: str) -> None:
    folder.mkdir()
    for number in range(1, PIPELINES + 1):
        source = f"{shape}-source" if number == 1 else f"{shape}-{number - 1}"
        spec = {
            "pipeline": {"name": f"{shape}-{number}"},
            "input": {"pfs": {"name": "in", "repo": source, "glob": "/*"}},
            "transform": {"cmd": ["sh", "-c", "cp /pfs/in/* /pfs/out/"]},
        }
        (folder / f"{number}.json").write_text(json.dumps(spec))


def _pass(pfs: Pfs, airflow: Any, shape: str, number: int) -> Passage:
    """Put one file, and wait for the job of the last pipeline that goes back to it."""
    pfs.put_file(f"{shape}-source@master:/{number:03d}", f"commit {number}\n")
    head = pfs.inspect_branch(f"{shape}-source@master").head
    source = pfs.inspect_commit(f"{shape}-source@{head}")
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        airflow.check()
        jobs = list(_jobs_of(pfs, shape, str(head)))
        if len(jobs) == PIPELINES and jobs[-1].state == "success":
            return _passage(pfs, jobs, source.finished or datetime.now(UTC))
        if failed := [job for job in jobs if job.state in ("failed", "stopped")]:
            raise RuntimeError(f"{failed[0].pipeline}: {failed[0].error}; see {airflow.log}")
        time.sleep(0.1)
    raise RuntimeError(f"the last of {PIPELINES} pipelines had no job after {WAIT_SECONDS:.0f} s; see {airflow.log}")


def _jobs_of(pfs: Pfs, shape: str, commit: str) -> Iterator[JobInfo]:
    """The chain's jobs for one commit, from the first pipeline as far as there are any."""
    from airflow_pachy.pipelines import list_jobs

    for number in range(1, PIPELINES + 1):
        job = next(list_jobs(pfs, pipeline=f"{shape}-{number}", input_commit=commit, limit=1), None)
        if job is None:
            return
        yield job
        commit = job.output_commit or ""


def _passage(pfs: Pfs, jobs: list[JobInfo], begun: datetime) -> Passage:
    published = [pfs.inspect_commit(f"{job.output_repo}@{job.output_commit}").finished or begun for job in jobs]
    before = [begun, *published[:-1]]
    planned = [(job.started - since).total_seconds() for job, since in zip(jobs, before, strict=True)]
    ran = [(done - job.started).total_seconds() for job, done in zip(jobs, published, strict=True)]
    record = _first_record(pfs, jobs[0])
    return Passage(
        to_first_datum=(record - begun).total_seconds(),
        to_first_output=(published[0] - begun).total_seconds(),
        to_last_output=(published[-1] - begun).total_seconds(),
        parts={"publish_to_plan": statistics.median(planned[1:]), "plan_to_publish": statistics.median(ran[1:])},
    )


def _first_record(pfs: Pfs, job: JobInfo) -> datetime:
    """When the first datum of a job was done and durable."""
    return min(info.modified for info in pfs.store.list_keys(f"jobs/{job.id}/") if info.key.endswith(".parquet"))


def measure_and_print(folder: Path, commits: int) -> list[Measurement]:
    """Measure and print, or say why that is not possible here."""
    if reason := why_not():
        print(f"{reason}.")
        return []
    measured = measure_chain(folder, commits)
    print_chain(measured)
    return measured


def print_chain(measured: list[Measurement]) -> None:
    """One line for each shape: what a hop costs, and of what."""
    print(f"\nA chain of {PIPELINES} pipelines, {os.cpu_count()} cores: seconds, medians")
    columns = {
        "PER HOP": "per_hop",
        "PUBLISHED TO PLANNED": "publish_to_plan",
        "PLANNED TO PUBLISHED": "plan_to_publish",
        "COMMIT TO FIRST DATUM": "to_first_datum",
        "COMMIT TO LAST OUTPUT": "to_last_output",
    }
    print("  ".join([f"{'SHAPE':<12}", *columns]))
    for one in measured:
        notes = {"per_hop": one.seconds, **one.notes}
        print("  ".join([f"{one.system:<12}", *(f"{notes[name]:>{len(head)}.2f}" for head, name in columns.items())]))


def _measurement(title: str, passages: list[Passage]) -> Measurement:
    def median(values: Iterator[float]) -> float:
        return round(statistics.median(values), 2)

    return Measurement(
        system=title,
        operation=f"seconds per hop, chain of {PIPELINES}",
        seconds=median(one.per_hop for one in passages),
        cpu_seconds=0.0,
        peak_memory_bytes=0,
        notes={
            "to_first_datum": median(one.to_first_datum for one in passages),
            "to_first_output": median(one.to_first_output for one in passages),
            "to_last_output": median(one.to_last_output for one in passages),
            **{name: median(one.parts[name] for one in passages) for name in passages[0].parts},
        },
    )
