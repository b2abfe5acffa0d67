"""What tasks tell Airflow's lineage collection and OpenLineage."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
from openlineage.client.serde import Serde

from airflow_pachy.assets import create_asset
from airflow_pachy.operators.assemble import AssembleOperator
from airflow_pachy.operators.lineage import asset_to_dataset, collect, job_facets, job_versions
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, plan_job
from airflow_pachy.testing.pipelines import InProcessRunner

try:
    from airflow.sdk import lineage
except ImportError:  # Airflow 3.1
    from airflow.lineage import hook as lineage

SPEC = {
    "pipeline": {"name": "both"},
    "transform": {"image": "i", "cmd": ["c"]},
    "input": {"cross": [{"pfs": {"repo": name, "glob": "/"}} for name in ("images", "labels")]},
}


@pytest.fixture
def job():
    with Pfs.open("memory://lineage", "sqlite://") as pfs:
        for name in ("images", "labels"):
            pfs.create_repo(name)
            pfs.put_file(f"{name}@master:/a", name)
        plan = plan_job(pfs, JobRequest(PipelineSpec.from_dict(SPEC), "dag", "run", "both"))
        InProcessRunner(pfs, lambda inputs: {"out": b""}).run(plan)
        return assemble_job(pfs, plan.job_id)


def test_airflows_collector_hears_of_versions(job, monkeypatch):
    collector = lineage.HookLineageCollector()
    monkeypatch.setattr(lineage, "get_hook_lineage_collector", lambda: collector)
    collect(SimpleNamespace(pfs_conn_id="lake"), *job_versions(job))
    found = collector.collected_assets
    assert {one.asset.uri: one.asset.extra for one in found.inputs} == {
        f"pfs://lake@{one.repo}/master": {"commit": one.commit} for one in job.inputs
    }
    assert [one.asset.uri for one in found.outputs] == ["pfs://lake@both/master"]


def test_openlineage_gets_datasets_with_versions_and_the_datums(job):
    facets = job_facets(job, "lake")
    assert [(one.namespace, one.name) for one in facets.inputs] == [
        ("pfs://lake", "images/master"),
        ("pfs://lake", "labels/master"),
    ]
    (output,) = facets.outputs
    assert output.facets["version"].datasetVersion == job.output_commit
    sent = Serde.to_dict(facets.run_facets["pachy_job"])
    assert (sent["id"], sent["pipeline"], sent["datumsProcessed"]) == (job.id, "both", 1)


def test_the_last_step_answers_the_openlineage_provider(job):
    task = AssembleOperator(task_id="assemble", stage="both", plan_task_id="plan")
    assert task.get_openlineage_facets_on_complete(None) is None
    task._job = job
    assert task.get_openlineage_facets_on_complete(None).outputs[0].name == "both/master"
    unpublished = dataclasses.replace(job, output_commit=None)
    assert job_facets(unpublished, "lake").outputs == []


def test_assets_become_datasets():
    asset = create_asset(repo="images", conn_id="lake", extra={"commit": "c1"})
    found = asset_to_dataset(asset, None)
    assert (found.namespace, found.name, found.facets["version"].datasetVersion) == (
        "pfs://lake",
        "images/master",
        "c1",
    )
    plain = asset_to_dataset(create_asset(repo="images"), SimpleNamespace(pfs_conn_id="pachy_default"))
    assert (plain.namespace, plain.facets) == ("pfs://pachy_default", {})
    assert asset_to_dataset(SimpleNamespace(uri="pfs://images", extra={}), None) is None
