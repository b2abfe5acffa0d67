"""Pipeline specs as DAGs."""

import json
from datetime import timedelta

import pytest
from airflow.sdk import AssetAny

from airflow_pachy.dags import load_pipelines, pipeline_dag, pipelines_dag
from airflow_pachy.errors import InvalidSpec
from airflow_pachy.hooks.airflow_errors import AirflowFailException
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import PipelineSpec
from airflow_pachy.pipelines.lifecycle import create_pipeline

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


def test_an_input_may_be_kept_from_starting_the_dag():
    quiet = {"pfs": {"repo": "settings", "glob": "/", "trigger": False}}
    spec = {**EDGES, "input": {"cross": [EDGES["input"], quiet]}}
    assert pipeline_dag(spec).timetable.asset_condition.uri == "pfs://images/master"
    assert pipeline_dag({**EDGES, "input": quiet}).schedule is None


def test_an_input_with_a_trigger_waits_for_its_own_branch():
    triggered = {"pfs": {"repo": "images", "glob": "/*", "trigger": {"commits": 10}}}
    dag = pipeline_dag({**EDGES, "input": triggered})
    assert dag.timetable.asset_condition.uri == "pfs://images/edges-trigger-1"


def test_a_coefficient_is_times_the_nodes_that_are_configured(monkeypatch):
    spec = {**EDGES, "parallelism_spec": {"coefficient": 1.5}}
    assert "max_active_tis_per_dagrun" not in pipeline_dag(spec).get_task("edges.datums").partial_kwargs
    monkeypatch.setenv("AIRFLOW__PACHY__NODES", "3")
    assert pipeline_dag(spec).get_task("edges.datums").partial_kwargs["max_active_tis_per_dagrun"] == 5
    monkeypatch.setenv("AIRFLOW__PACHY__NODES", "many")
    with pytest.raises(InvalidSpec, match=r"\[pachy\] nodes is 'many'"):
        pipeline_dag(spec)


def test_what_a_spec_says_of_pods_reaches_the_datums():
    spec = {
        **EDGES,
        "tolerations": [{"key": "gpu", "operator": "EXISTS"}],
        "metadata": {"labels": {"team": "vision"}},
        "pod_patch": '[{"op": "add", "path": "/hostNetwork", "value": true}]',
        "sidecar_resource_limits": {"memory": "2Gi"},
    }
    pod = pipeline_dag(spec).get_task("edges.datums").partial_kwargs["pod"]
    assert pod == {
        "labels": {"team": "vision"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "pod_patch": [{"op": "add", "path": "/hostNetwork", "value": True}],
        "helper_resources": {"limits": {"memory": "2Gi"}},
    }


def test_dag_and_stage_arguments_are_passed_on():
    dag = pipeline_dag(EDGES, dag_id="mine", stage={"runner": "local", "retries": 1}, schedule="@daily", tags=["x"])
    assert (dag.dag_id, dag.tags) == ("mine", {"x"})
    assert dag.get_task("edges.datums").partial_kwargs["runner"] == "local"


def test_a_run_by_hand_is_asked_for_commits_and_reprocessing():
    assert dict(pipeline_dag(EDGES).params) == {"commits": {}, "reprocess": False}
    assert dict(pipeline_dag(EDGES, params={"size": 3}).params) == {"commits": {}, "reprocess": False, "size": 3}


def test_a_folder_becomes_its_dags(tmp_path):
    (tmp_path / "edges.json").write_text(json.dumps(EDGES))
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "montage.yaml").write_text(json.dumps(MONTAGE))
    (tmp_path / "README.md").write_text("no spec")
    assert sorted(load_pipelines(tmp_path)) == ["edges", "montage"]


def test_a_pipeline_defined_twice_is_refused(tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(EDGES))
    with pytest.raises(InvalidSpec, match=r"b\.json:1: pipeline 'edges' is defined twice, also at .*a\.json:1"):
        load_pipelines(tmp_path)


def test_one_wrong_spec_may_be_kept_from_stopping_the_others(tmp_path):
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "edges.json").write_text(json.dumps(EDGES))
    assert sorted(load_pipelines(folder, on_error="dag")) == ["edges"]
    (folder / "montage.json").write_text(json.dumps({**MONTAGE, "transfrom": {}}))
    with pytest.raises(InvalidSpec, match="transfrom"):
        load_pipelines(folder)
    dags = load_pipelines(folder, on_error="dag")
    assert sorted(dags) == ["edges", "pipelines_problems"]
    problems = dags["pipelines_problems"]
    assert "montage.json:1, pipeline 'montage': transfrom: unknown field" in problems.doc_md
    (task,) = problems.tasks
    assert load_pipelines(folder, on_error="dag", default_args={"owner": "us"})["pipelines_problems"].owner == "us"
    with pytest.raises(AirflowFailException, match="transfrom: unknown field"):
        task.python_callable()
    with pytest.raises(InvalidSpec, match="on_error is 'ignore'; use 'raise' or 'dag'"):
        load_pipelines(folder, on_error="ignore")


def test_a_task_makes_no_dag_but_its_own(tmp_path, monkeypatch):
    for document in (EDGES, MONTAGE):
        (tmp_path / f"{document['pipeline']['name']}.json").write_text(json.dumps(document))
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "edges")  # as Airflow's task runner does
    dags = load_pipelines(tmp_path)
    assert list(dags) == ["edges"]
    assert dags["montage"].dag_id == "montage"
    with pytest.raises(KeyError, match="nope"):
        dags["nope"]
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "of_another_file")
    assert list(load_pipelines(tmp_path)) == []


def test_a_folder_on_a_branch_stands_beside_itself(tmp_path):
    for document in (EDGES, MONTAGE):
        (tmp_path / f"{document['pipeline']['name']}.json").write_text(json.dumps(document))
    dags = load_pipelines(tmp_path, branch="staging")
    assert sorted(dags) == ["edges-staging", "montage-staging"]
    assert dags["edges-staging"].get_task("edges-staging.plan").output_branch == "edges@staging"
    assert sorted(load_pipelines(tmp_path, branch="master")) == ["edges", "montage"]
    one = pipelines_dag(tmp_path, dag_id="all", branch="staging")
    assert one.get_task("montage-staging.plan").upstream_task_ids == {"edges-staging.assemble"}
    with pytest.raises(InvalidSpec, match="for a folder"):
        pipelines_dag([PipelineSpec.from_dict(EDGES)], dag_id="all", branch="staging")


def test_repos_are_looked_for_where_that_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("PACHY_STORAGE", (tmp_path / "objects").as_uri())
    monkeypatch.setenv("PACHY_METADATA", f"sqlite:///{tmp_path}/pachy.db")
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "edges.json").write_text(json.dumps(EDGES))
    with pytest.raises(InvalidSpec, match=r"edges\.json:1: pipeline 'edges' reads the repo 'images', which does not"):
        load_pipelines(folder, check_repos=True)
    with Pfs.open() as pfs:
        pfs.create_repo("images")
    assert sorted(load_pipelines(folder, check_repos=True)) == ["edges"]


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no pipeline specs"):
        load_pipelines(tmp_path / "nowhere")


def test_several_pipelines_need_load_pipelines(tmp_path):
    file = tmp_path / "both.json"
    file.write_text(json.dumps(EDGES) + json.dumps(MONTAGE))
    assert sorted(load_pipelines(file)) == ["edges", "montage"]
    with pytest.raises(InvalidSpec, match="use load_pipelines"):
        pipeline_dag(file)


CRON = {"cron": {"name": "tick", "spec": "30 6 * * *"}}


def cron_pipeline(*inputs):
    node = inputs[0] if len(inputs) == 1 else {"cross": list(inputs)}
    return {**EDGES, "pipeline": {"name": "nightly"}, "input": node}


def ticks(timetable, name):
    """What a timetable was made from; before Airflow 3.2 its attributes begin with an underscore."""
    return getattr(timetable, name, None) or getattr(timetable, f"_{name}")


def test_cron_inputs_are_the_dags_schedule_and_fed_by_a_first_task():
    dag = pipeline_dag(cron_pipeline(CRON))
    assert ticks(dag.timetable, "expression") == "30 6 * * *"
    assert dag.get_task("nightly.plan").upstream_task_ids == {"nightly_feed"}
    assert dag.get_task("nightly_feed").input["cron"]["repo"] == "nightly_tick"
    assert dag.get_task("nightly.plan").latest is False


def test_ticks_and_commits_both_start_a_dag_that_reads_both():
    dag = pipeline_dag(cron_pipeline(CRON, {"pfs": {"repo": "images", "glob": "/"}}))
    assert dag.timetable.asset_condition.uri == "pfs://images/master"
    assert ticks(dag.timetable.timetable, "expression") == "30 6 * * *"


def test_several_schedules_in_one_pipeline():
    noon = {"cron": {"name": "noon", "spec": "0 12 * * *"}}
    every = {"cron": {"name": "often", "spec": "@every 90s"}}
    never = {"cron": {"name": "never", "spec": "@never"}}
    assert len(ticks(pipeline_dag(cron_pipeline(CRON, noon)).timetable, "timetables")) == 2
    assert ticks(pipeline_dag(cron_pipeline(every)).timetable, "delta") == timedelta(seconds=90)
    assert pipeline_dag(cron_pipeline(never)).schedule is None
    # Specs say so, too, that nothing but people start a pipeline; Airflow would look for the day for ever.
    no_such_day = {"cron": {"name": "never", "spec": "0 0 31 2 *"}}
    assert pipeline_dag(cron_pipeline(no_such_day)).schedule is None
    assert ticks(pipeline_dag(cron_pipeline(no_such_day, CRON)).timetable, "expression") == "30 6 * * *"
    leap_day = {"cron": {"name": "rare", "spec": "0 0 29 2 *"}}
    assert ticks(pipeline_dag(cron_pipeline(leap_day)).timetable, "expression") == "0 0 29 2 *"
    with pytest.raises(InvalidSpec, match=r"30 6 .* and every 0:01:30"):
        pipeline_dag(cron_pipeline(CRON, every))


def test_git_inputs_are_polled():
    git = {"git": {"url": "https://example.com/code.git", "name": "code"}}
    dag = pipeline_dag(cron_pipeline(git), git_poll=timedelta(minutes=2), git_conn_id="forge")
    assert ticks(dag.timetable.timetable, "delta") == timedelta(minutes=2)
    assert dag.get_task("nightly_feed").git_conn_id == "forge"
    assert dag.timetable.asset_condition.uri == "git-push://example.com/code?branch=master"


def test_a_folder_as_one_dag_runs_its_stages_in_the_order_of_their_data(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(MONTAGE))
    (tmp_path / "b.json").write_text(json.dumps(EDGES))
    dag = pipelines_dag(tmp_path, dag_id="all")
    assert dag.timetable.asset_condition.uri == "pfs://images/master"
    assert dag.get_task("montage.plan").upstream_task_ids == {"edges.assemble"}
    assert not dag.get_task("montage.plan").new_only


def test_pipelines_in_a_circle_and_an_empty_list_are_refused():
    one = {**EDGES, "input": {"pfs": {"repo": "montage", "glob": "/"}}}
    specs = [PipelineSpec.from_dict(document) for document in (one, MONTAGE)]
    with pytest.raises(InvalidSpec, match="in a circle: "):
        pipelines_dag(specs, dag_id="all")
    with pytest.raises(InvalidSpec, match="has no pipelines"):
        pipelines_dag([], dag_id="all")


def test_created_pipelines_are_dags_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PACHY_STORAGE", f"file://{tmp_path}/store")
    monkeypatch.setenv("PACHY_METADATA", f"sqlite:///{tmp_path}/names.db")
    with Pfs.open() as pfs:
        pfs.create_repo("images")
        create_pipeline(pfs, PipelineSpec.from_dict(EDGES))
    dags = load_pipelines(stage={"runner": "local"})
    assert list(dags) == ["edges"]
    assert dags["edges"].get_task("edges.datums").partial_kwargs["runner"] == "local"


def test_templates_and_defaults_of_one_dag_for_a_folder(tmp_path):
    template = {"pipeline": "NAME", "transform": {"cmd": ["x"]}, "input": {"pfs": {"repo": "images", "glob": "/*"}}}
    text = json.dumps(template).replace('"NAME"', '{"name": "edges-" + env}')
    (tmp_path / "edges.jsonnet").write_text(f"function(env) {text}")
    defaults = [{"transform": {"image": "opencv:4"}}]
    dag = pipelines_dag(tmp_path, dag_id="all", template_arguments={"env": "dev"}, defaults=iter(defaults))
    assert dag.get_task("edges-dev.plan").image == "opencv:4"
    for given in ({"template_arguments": {"env": "dev"}}, {"defaults": defaults}):
        with pytest.raises(InvalidSpec, match="are for a folder of specs"):
            pipelines_dag([PipelineSpec.from_dict(EDGES)], dag_id="all", **given)
