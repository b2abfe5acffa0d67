"""Pipeline specs as DAGs."""

import json
from datetime import timedelta

import pytest
from airflow.sdk import AssetAny

from airflow_pachy.dags import load_pipelines, pipeline_dag
from airflow_pachy.errors import InvalidSpec

EDGES = {
    "pipeline": {"name": "edges"},
    "description": "finds edges",
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
    "transform": {"image": "opencv:4", "cmd": ["python3", "/edges.py"], "env": {"A": "b"}},
    "datum_timeout": "5m",
    "resource_requests": {"cpu": 0.5, "memory": "1Gi", "disk": "2Gi"},
    "resource_limits": {"gpu": {"type": "nvidia.com/gpu", "number": 1}},
    "parallelism_spec": {"constant": 3},
}
MONTAGE = {
    "pipeline": {"name": "montage"},
    "input": {"cross": [{"pfs": {"repo": "images", "glob": "/"}}, {"pfs": {"repo": "edges", "glob": "/"}}]},
    "transform": {"image": "opencv:4", "cmd": ["sh"], "stdin": ["montage /pfs/images/*"]},
}


def test_a_spec_becomes_a_dag_with_one_stage():
    dag = pipeline_dag(EDGES)
    assert dag.dag_id == "edges"
    assert dag.max_active_runs == 1
    assert dag.description == "finds edges"
    assert set(dag.task_ids) == {"edges.plan", "edges.datums", "edges.assemble"}
    plan = dag.get_task("edges.plan")
    assert (plan.cmds, plan.env_vars, plan.output_branch) == (["python3", "/edges.py"], {"A": "b"}, "edges@master")
    assert plan.options["datum_timeout"] == f"{timedelta(minutes=5).total_seconds():.6f}s"
    datums = dag.get_task("edges.datums").partial_kwargs
    assert datums["max_active_tis_per_dagrun"] == 3
    assert datums["container_resources"] == {
        "requests": {"cpu": "0.5", "memory": "1Gi", "ephemeral-storage": "2Gi"},
        "limits": {"nvidia.com/gpu": "1"},
    }


def test_it_starts_on_commits_of_any_input():
    assert pipeline_dag(EDGES).timetable.asset_condition.uri == "pfs://images/master"
    condition = pipeline_dag(MONTAGE).timetable.asset_condition
    assert isinstance(condition, AssetAny)
    assert sorted(asset.uri for asset in condition.objects) == ["pfs://edges/master", "pfs://images/master"]


def test_a_pinned_input_starts_nothing():
    pinned = {**EDGES, "input": {"pfs": {"repo": "images", "glob": "/", "commit": "a" * 32}}}
    assert pipeline_dag(pinned).schedule is None


def test_dag_and_stage_arguments_are_passed_on():
    dag = pipeline_dag(EDGES, dag_id="mine", stage={"runner": "local", "retries": 1}, schedule="@daily", tags=["x"])
    assert (dag.dag_id, dag.tags) == ("mine", {"x"})
    assert dag.get_task("edges.datums").partial_kwargs["runner"] == "local"


def test_a_folder_becomes_its_dags(tmp_path):
    (tmp_path / "edges.json").write_text(json.dumps(EDGES))
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "montage.yaml").write_text(json.dumps(MONTAGE))
    (tmp_path / "README.md").write_text("no spec")
    assert sorted(load_pipelines(tmp_path)) == ["edges", "montage"]


def test_a_pipeline_defined_twice_is_refused(tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(EDGES))
    with pytest.raises(InvalidSpec, match=r"b\.json: pipeline 'edges' is defined twice"):
        load_pipelines(tmp_path)


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no pipeline specs"):
        load_pipelines(tmp_path / "nowhere")


def test_several_pipelines_need_load_pipelines(tmp_path):
    file = tmp_path / "both.json"
    file.write_text(json.dumps(EDGES) + json.dumps(MONTAGE))
    assert sorted(load_pipelines(file)) == ["edges", "montage"]
    with pytest.raises(InvalidSpec, match="use load_pipelines"):
        pipeline_dag(file)
