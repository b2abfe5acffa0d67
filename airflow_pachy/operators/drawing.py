"""DAGs as pictures: the arrows of their stages, and of every task that says which branches it reads and writes.

A stage is drawn as the pipeline that it is. Of other tasks those are drawn that move data between branches: our own
operators, and any task whose `inlets` or `outlets` are assets of branches. The rest is Airflow's own graph view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines.drawing import Arrow, Node, branch_node, pipeline_arrows, stage_arrows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow.sdk import DAG


def read_dags(path: Path) -> list[DAG]:
    """The DAGs of a Python file, by name, as Airflow finds them. Raises `InvalidSpec` with what went wrong in it."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]  # the same by its former name

    bag: Any = DagBag(str(path), collect_dags=False, load_op_links=False)
    bag.process_file(str(path), only_if_updated=False, safe_mode=False)
    if bag.import_errors:
        raise InvalidSpec("\n".join(f"{file}: {error}" for file, error in bag.import_errors.items()))
    if not bag.dags:
        raise InvalidSpec(f"{path}: there is no DAG in this file")
    return [bag.dags[name] for name in sorted(bag.dags)]


def dag_arrows(dag: DAG) -> Iterator[Arrow]:
    """The arrows of all tasks, in the order of the DAG. Raises `InvalidSpec` for an input that is none."""
    from airflow_pachy.operators.egress import PfsEgressOperator
    from airflow_pachy.operators.plan import PlanOperator
    from airflow_pachy.operators.standing import StandingOperator

    ordered: Any = dag
    tasks = ordered.topological_sort()
    stages = {task.stage: task for task in tasks if isinstance(task, PlanOperator)}
    for task in tasks:
        if isinstance(task, PlanOperator):
            yield from _stage(task)
        elif isinstance(task, StandingOperator):
            yield from pipeline_arrows(task.spec())
        elif isinstance(task, PfsEgressOperator):
            yield from _egress(task, stages)
        elif not _is_of_a_stage(task, stages):
            yield from _task(task, stages)


def _is_of_a_stage(task: Any, stages: dict[str, Any]) -> bool:
    group, _, step = str(task.task_id).rpartition(".")
    return group in stages and step in ("datums", "assemble")


def _stage(plan: Any) -> Iterator[Arrow]:
    from airflow_pachy.pipelines.snapshot import input_of

    yield from stage_arrows(plan.stage, input_of(plan.input), plan.output_branch)


def _egress(task: Any, stages: dict[str, Any]) -> Iterator[Arrow]:
    from airflow_pachy.pipelines.egress import parse_egress

    stage = stages.get(str(task.task_id).rpartition(".")[0])
    commit = stage.output_branch if stage is not None else task.commit
    if not isinstance(commit, str):
        # The XCom of another task: what that one writes is drawn with it, so the arrow begins there.
        source = next((_branch(stages[one.rpartition(".")[0]].output_branch) for one in _upstream(task, stages)), None)
    else:
        source = _branch(commit)
    if source is not None:
        yield Arrow(source, Node("target", parse_egress(task.egress).url), "egress")


def _upstream(task: Any, stages: dict[str, Any]) -> list[str]:
    return sorted(one for one in task.upstream_task_ids if one.rpartition(".")[0] in stages)


def _task(task: Any, stages: dict[str, Any]) -> Iterator[Arrow]:
    step = Node("step", str(task.task_id))
    for source in _reads(task, stages):
        yield Arrow(source, step)
    for target in _writes(task):
        yield Arrow(step, target)


def _reads(task: Any, stages: dict[str, Any]) -> Iterator[Node]:
    from airflow_pachy.operators.branches import PfsBranchOperator
    from airflow_pachy.operators.files import PfsCopyOperator, PfsPutOperator

    if isinstance(task, PfsCopyOperator):
        yield _origin(task.source, stages)
    elif isinstance(task, PfsBranchOperator):
        yield _origin(task.head, stages)
    elif isinstance(task, PfsPutOperator) and task.url:
        yield Node("source", str(task.url))
    yield from _assets(task.inlets)


def _writes(task: Any) -> Iterator[Node]:
    from airflow_pachy.operators.branches import PfsBranchOperator
    from airflow_pachy.operators.files import PfsCopyOperator, PfsPutOperator

    if isinstance(task, PfsCopyOperator | PfsPutOperator):
        yield _branch(task.destination)
    elif isinstance(task, PfsBranchOperator):
        yield _branch(task.branch)
    yield from _assets(task.outlets)


def _assets(assets: Any) -> Iterator[Node]:
    for asset in assets:
        scheme, _, place = str(getattr(asset, "uri", "")).partition("://")
        repo, _, path = place.rpartition("@")[2].partition("/")
        if scheme == "pfs" and repo:
            yield branch_node(repo, path.partition("/")[0])


def _origin(address: Any, stages: dict[str, Any]) -> Node:
    """The branch of an address, or that of the stage, or the other task, that will say which commit it is."""
    from airflow.sdk import XComArg

    if not isinstance(address, XComArg):
        return _branch(address)
    task_id = next(str(operator.task_id) for operator, _ in address.iter_references())
    stage = stages.get(task_id.rpartition(".")[0])
    return Node("step", task_id) if stage is None else _branch(stage.output_branch)


def _branch(address: str) -> Node:
    """The branch in an address, which may be a template: so it is cut and not parsed."""
    repo, _, branch = str(address).partition(":")[0].partition("@")
    return branch_node(repo, branch)
