from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import JobPlan, JobRequest, PipelineSpec, assemble_job, plan_job
from airflow_pachy.testing.pipelines import InProcessRunner

NAMES = itertools.count()


@dataclass
class Bench:
    """One pipeline on one Pfs; `run` is what Airflow would do in a DAG run."""

    pfs: Pfs
    document: dict[str, Any]
    code: Any
    runs: itertools.count = field(default_factory=lambda: itertools.count(1))

    def spec(self, **changed: Any) -> PipelineSpec:
        return PipelineSpec.from_dict({**self.document, **changed})

    def request(self, run: str | None = None, **options: Any) -> JobRequest:
        changed = options.pop("spec", {})
        run_id = run or f"run{next(self.runs)}"
        return JobRequest(self.spec(**changed), "dag", run_id, options.pop("stage", "stage"), **options)

    def plan(self, run: str | None = None, **options: Any) -> JobPlan:
        return plan_job(self.pfs, self.request(run, **options))

    def process(self, plan: JobPlan, code: Any = None, **options: Any) -> list[str]:
        runner = InProcessRunner(self.pfs, code or self.code)
        runner.run(plan, **options)
        return runner.processed

    def run(self, run: str | None = None, code: Any = None, **options: Any):
        plan = self.plan(run, **options)
        self.process(plan, code)
        return assemble_job(self.pfs, plan.job_id)

    def put(self, **files: bytes) -> None:
        with self.pfs.commit("images@master") as commit:
            for name, content in files.items():
                commit.put_file(f"/{name}", content)

    def output(self, address: str = "edges@master") -> dict[str, bytes]:
        found = self.pfs.walk_file(f"{address}:/")
        return {one.path: self.pfs.get_file(f"{address}:{one.path}") for one in found if one.type == "file"}


def upper(inputs):
    """Write each input file, in upper case, under its own path."""
    return {path: content.upper() for files in inputs.values() for path, content in files.items()}


@pytest.fixture
def pfs():
    with Pfs.open(f"memory://pipelines-{next(NAMES)}", "sqlite://") as client:
        client.create_repo("images")
        yield client


@pytest.fixture
def bench(pfs):
    document = {
        "pipeline": {"name": "edges"},
        "transform": {"image": "edges:1", "cmd": ["edges"]},
        "input": {"pfs": {"repo": "images", "glob": "/*"}},
    }
    return Bench(pfs, document, upper)
