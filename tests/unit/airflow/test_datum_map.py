"""`DatumMapOperator` while a DAG file is parsed: its shape, and what it refuses."""

from datetime import timedelta

import pytest
from airflow.sdk import DAG, BaseOperator, TaskGroup, task

from airflow_pachy.errors import InvalidAddress, InvalidName, InvalidSpec
from airflow_pachy.operators import DatumMapOperator

try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # Airflow 3.1
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

IMAGES = {"pfs": {"repo": "images", "glob": "/*"}}


@pytest.fixture
def dag():
    with DAG("d", schedule=None) as dag:
        yield dag


def stage(task_id="edges", **arguments):
    return DatumMapOperator(
        task_id, **{"input": IMAGES, "output": "edges@master", "cmds": ["python3", "edges.py"], **arguments}
    )


def test_a_stage_is_three_steps_in_a_row(dag):
    group = stage()
    assert isinstance(group, TaskGroup)
    assert set(dag.task_ids) == {"edges.plan", "edges.datums", "edges.assemble"}
    assert dag.get_task("edges.datums").upstream_task_ids == {"edges.plan"}
    assert dag.get_task("edges.assemble").upstream_task_ids == {"edges.plan", "edges.datums"}
    assert dag.get_task("edges.datums").is_mapped


def test_it_stands_between_other_tasks(dag):
    @task
    def before(): ...

    @task
    def after(): ...

    edges, montage = stage(), stage("montage", output="montage@master")
    before() >> edges >> montage >> after()
    assert dag.get_task("edges.plan").upstream_task_ids == {"before"}
    assert dag.get_task("montage.plan").upstream_task_ids == {"edges.assemble"}
    assert dag.get_task("montage.assemble").downstream_task_ids == {"after"}


def test_its_output_is_that_of_assemble(dag):
    @task
    def use(published): ...

    use(stage().output)
    assert dag.get_task("use").upstream_task_ids == {"edges.assemble"}


def test_it_may_lie_in_another_group(dag):
    with TaskGroup("outer"):
        stage()
    plan = dag.get_task("outer.edges.plan")
    assert plan.stage == "outer.edges"
    assert dag.get_task("outer.edges.assemble").plan_task_id == "outer.edges.plan"


def test_airflow_can_store_the_dag(dag):
    stage(
        container_resources={"requests": {"cpu": "1"}},
        pod={"node_selector": {"disk": "ssd"}},
        env_vars={"A": "{{ params.a }}"},
        datum_timeout=timedelta(minutes=5),
        job_timeout=timedelta(hours=1),
        parallelism=4,
    )
    restored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert set(restored.task_ids) == set(dag.task_ids)
    assert restored.task_group.children["edges"].children.keys() == {"edges.plan", "edges.datums", "edges.assemble"}


def test_egress_is_a_fourth_step(dag):
    group = stage(egress="s3://bucket/dir", egress_conn_id="aws", retries=1)
    copy = dag.get_task("edges.egress")
    assert copy.upstream_task_ids == {"edges.assemble"}
    assert (copy.egress, copy.egress_conn_id, copy.retries) == ("s3://bucket/dir", "aws", 1)
    assert group.output.operator.task_id == "edges.assemble"


def test_options_reach_the_steps(dag):
    stage(parallelism=3, job_timeout=timedelta(hours=2), pool="big", retries=7, outlets=[])
    datums = dag.get_task("edges.datums")
    assert datums.partial_kwargs["max_active_tis_per_dagrun"] == 3
    assert datums.partial_kwargs["execution_timeout"] == timedelta(hours=2)
    assert datums.partial_kwargs["retries"] == 7
    assert {dag.get_task(f"edges.{step}").pool for step in ("plan", "assemble")} == {"big"}


@pytest.mark.parametrize("counted", [True, False])
def test_a_cap_holds_for_pods_that_the_triggerer_waits_for(dag, monkeypatch, counted):
    from airflow.ti_deps import dependencies_states

    if counted:
        monkeypatch.setattr(dependencies_states, "ACTIVE_STATES", {"running", "deferred"}, raising=False)
    else:
        monkeypatch.delattr(dependencies_states, "ACTIVE_STATES", raising=False)
    stage(parallelism=3)
    assert dag.get_task("edges.datums").partial_kwargs["deferrable"] is counted
    with DAG("f", schedule=None) as other:
        stage()
    assert other.get_task("edges.datums").partial_kwargs["deferrable"] is True, "there is no cap to keep"


def test_lost_pods_are_retried_by_default_and_default_args_win(dag):
    stage()
    assert dag.get_task("edges.datums").partial_kwargs["retries"] == 5
    assert [dag.get_task(f"edges.{step}").retries for step in ("plan", "assemble")] == [5, 5]
    with DAG("e", schedule=None, default_args={"retries": 1}) as other:
        stage()
    assert other.get_task("edges.datums").partial_kwargs["retries"] == 1
    assert other.get_task("edges.plan").retries == 1


def test_the_trigger_rule_is_that_of_the_first_step(dag):
    stage(trigger_rule="none_failed")
    assert dag.get_task("edges.plan").trigger_rule == "none_failed"
    assert dag.get_task("edges.assemble").trigger_rule == "all_done"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"cmds": []}, InvalidSpec, "cmds is required"),
        ({"cmds": "python3 edges.py"}, InvalidSpec, r"write cmds=\['python3', 'edges.py'\]"),
        ({"input": {"pfs": {"repo": "images", "glob": "/[a"}}}, InvalidSpec, "glob"),
        ({"input": {"pfs": {"repo": "images"}}}, InvalidSpec, "glob is required"),
        ({"input": {"pfs": {"repo": "images", "glob": "/", "nmae": "a"}}}, InvalidSpec, "nmae"),
        ({"input": {}}, InvalidSpec, "input: required"),
        ({"input": {"cross": [IMAGES, IMAGES]}}, InvalidSpec, "'images'"),
        ({"input": {"pfs": {"repo": "edges", "glob": "/"}}}, InvalidSpec, "which the pipeline itself writes"),
        ({"output": "edges@master:/a"}, InvalidAddress, "must name a branch"),
        ({"output": "ed ges"}, InvalidName, "ed ges"),
        ({"datum_tries": 0.5}, InvalidSpec, "datum_tries"),
        ({"datum_timeout": timedelta(0)}, InvalidSpec, "longer than zero"),
        ({"on_collision": "merge"}, InvalidSpec, "on_collision"),
        ({"parallelism": -1}, InvalidSpec, "parallelism_spec"),
        ({"datum_set": {"number": 2, "per_worker": 1}}, InvalidSpec, "per_worker"),
        ({"runner": "docker"}, InvalidSpec, "use one of auto, kubernetes, local"),
        ({"pod": {"cmds": ["x"]}}, InvalidSpec, "give it to DatumMapOperator itself"),
        ({"incremental": True, "reprocess": True}, InvalidSpec, "never go on"),
        ({"egress": {"URL": "bucket/dir"}}, InvalidSpec, "'bucket/dir' has no scheme"),
        ({"datum_trys": 3}, TypeError, "did you mean 'datum_tries'"),
        ({"node_selector": {}}, TypeError, r"go into pod=\{"),
    ],
)
def test_bad_input_is_refused_while_parsing(dag, arguments, error, message):
    with pytest.raises(error, match=message):
        stage(**arguments)


def test_errors_name_the_stage(dag):
    with pytest.raises(InvalidSpec, match="DatumMapOperator 'edges'"):
        stage(cmds=[])


@pytest.mark.parametrize(
    "arguments",
    [
        {"input": {"pfs": {"repo": "images", "glob": "/{{ params.day }}/*", "commit": "{{ params.commit }}"}}},
        {"output": "{{ params.out }}"},
        {"cmds": ["{{ params.program }}"], "image": "{{ var.value.image }}"},
        {
            "input": {
                "cross": [
                    {"pfs": {"repo": "{{ params.a }}", "glob": "/"}},
                    {"pfs": {"repo": "{{ params.b }}", "glob": "/"}},
                ]
            }
        },
    ],
)
def test_templates_are_let_through(dag, arguments):
    stage(**arguments)


def test_a_set_is_shown_by_its_number():
    from airflow_pachy.operators.datum_set import DatumSetOperator

    operator = DatumSetOperator(task_id="x", plan_key="jobs/abc/plan/0002-000017.json")
    assert operator.set_label == "set 17"
    assert isinstance(operator, BaseOperator)
