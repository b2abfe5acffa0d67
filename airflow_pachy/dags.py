"""Pipeline specs as DAGs: one DAG per pipeline, which starts when one of its inputs has a new commit.

    from airflow_pachy.dags import load_pipelines
    globals().update(load_pipelines("pipelines/"))     # in a file of the DAGs folder

As with Pachyderm a pipeline runs once per change of its inputs, one job at a time, and a chain of pipelines
is joined by nothing but the branches that they read and write.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.pfs.address import DEFAULT_BRANCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow.sdk import DAG

    from airflow_pachy.operators.standing import StandingOperator
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.pipelines.folders import PlacedPipeline

__all__ = ["load_pipelines", "pipeline_dag", "pipelines_dag"]

GIT_POLL = timedelta(minutes=5)


def load_pipelines(
    folder: str | Path | None = None,
    *,
    template_arguments: Mapping[str, str] | None = None,
    defaults: Iterable[Mapping[str, Any]] = (),
    branch: str | None = None,
    check_repos: bool = False,
    on_error: str = "raise",
    **arguments: Any,
) -> dict[str, DAG]:
    """The DAG of every pipeline in the spec files of a folder (or of one file), by name.

    Without a folder: of all pipelines that were made with `pachy create pipeline`, which are read from the metadata
    database whenever Airflow parses the file. `template_arguments` are those of Jsonnet files, `defaults` fields for
    what specs do not say, `arguments` those of `pipeline_dag`. With `branch` the folder is an environment of its own:
    the pipelines write that branch of their repos, and read it where they read each other. `check_repos` looks for the
    repos that are read, at the price of a query at every parse. Raises `FileNotFoundError`, and `InvalidSpec` with
    everything that is wrong in the folder, by file and line: Airflow shows it as an import error, and stops all DAGs of
    the file. With `on_error="dag"` the other pipelines go on, and the problems are a DAG `<folder>_problems` that fails
    every hour until there are none.
    """
    if on_error not in ("raise", "dag"):
        raise InvalidSpec(f"load_pipelines: on_error is {on_error!r}; use 'raise' or 'dag'")
    conn_id = str(arguments.get("pfs_conn_id", DEFAULT_CONNECTION))
    if folder is None:
        return _Dags(_created(conn_id), arguments)
    from airflow_pachy.pipelines.folders import read_folder, read_what_is_right

    problems: list[str] = []
    if on_error == "raise":
        placed = read_folder(folder, template_arguments, defaults)
    else:
        placed, problems = read_what_is_right(folder, template_arguments, defaults)
    placed = _on_branch(placed, branch)
    if check_repos:
        unknown = _unknown_repos(placed, conn_id)
        if unknown and on_error == "raise":
            raise InvalidSpec("\n".join(unknown))
        problems += unknown
    dags = _Dags((one.spec for one in placed), arguments)
    if problems:
        name = f"{Path(folder).resolve().stem}_problems"
        dags[name] = _problems_dag(name, problems, arguments.get("default_args"))
    return dags


class _Dags(dict[str, "DAG"]):
    """DAGs by name. A task makes its own alone, and others when they are asked for: it parses the file once more."""

    def __init__(self, specs: Iterable[PipelineSpec], arguments: Mapping[str, Any]) -> None:
        from airflow.sdk import get_parsing_context

        self._specs = {spec.name: spec for spec in specs}
        self._arguments = arguments
        wanted = None if "dag_id" in arguments else get_parsing_context().dag_id
        super().__init__()
        for name in self._specs if wanted is None else self._specs.keys() & {wanted}:
            self[name] = pipeline_dag(self._specs[name], **arguments)

    def __missing__(self, name: str) -> DAG:
        dag = self[name] = pipeline_dag(self._specs[name], **self._arguments)
        return dag


def _on_branch(placed: list[PlacedPipeline], branch: str | None) -> list[PlacedPipeline]:
    from airflow_pachy.pipelines.folders import on_branch

    return placed if branch in (None, DEFAULT_BRANCH) else on_branch(placed, str(branch))


def _unknown_repos(placed: list[PlacedPipeline], pfs_conn_id: str) -> list[str]:
    from airflow_pachy.hooks.pfs import PfsHook
    from airflow_pachy.pipelines.folders import unknown_repos

    with PfsHook(pfs_conn_id).get_conn() as pfs:
        known = {info.name for info in pfs.list_repos()}
    return unknown_repos(placed, known)


def _problems_dag(dag_id: str, problems: list[str], default_args: Any) -> DAG:
    """A DAG that fails, and is seen to, for as long as there are problems."""
    from airflow.sdk import DAG, task

    from airflow_pachy.hooks.airflow_errors import AirflowFailException

    text = "\n".join(problems)
    with DAG(
        dag_id,
        schedule="@hourly",
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        tags=["pachy", "problem"],
        default_args=default_args or {},
        description="Pipeline specs that cannot be read",
        doc_md="These pipelines have no DAG:\n\n" + "\n".join(f"    {line}" for line in text.splitlines()),
    ) as dag:

        @task
        def problems_of_specs() -> None:
            raise AirflowFailException(text)

        problems_of_specs()
    return dag


def _created(pfs_conn_id: str) -> list[PipelineSpec]:
    from airflow_pachy.hooks.pfs import PfsHook
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.pipelines.lifecycle import list_pipelines

    with PfsHook(pfs_conn_id).get_conn() as pfs:
        managed = [info for info in list_pipelines(pfs) if info.managed]
    return [PipelineSpec.from_dict(info.spec, origin="the metadata database") for info in managed]


def pipeline_dag(
    spec: PipelineSpec | Mapping[str, Any] | str | Path,
    *,
    dag_id: str | None = None,
    pfs_conn_id: str = DEFAULT_CONNECTION,
    stage: Mapping[str, Any] | None = None,
    git_conn_id: str | None = None,
    git_poll: timedelta = GIT_POLL,
    **dag_arguments: Any,
) -> DAG:
    """A DAG with one stage. `stage` are further arguments of `DatumMapOperator`, `dag_arguments` those of `DAG`.

    It runs when an input has a commit, one job per commit, and at the ticks of cron inputs; git inputs are looked at
    every `git_poll`. `spec` is one pipeline: parsed, as a document, as JSON or YAML text, or a file. Raises
    `InvalidSpec`.
    """
    pipeline = _single(spec)
    options = {"dag_id": dag_id or pipeline.name, "description": pipeline.description or None, **dag_arguments}
    if pipeline.spout is not None:
        return _spout_dag(pipeline, pfs_conn_id, stage or {}, **options)
    arguments = {"new_only": True, **(stage or {})}
    return _dag([pipeline], pfs_conn_id, arguments, git_conn_id=git_conn_id, git_poll=git_poll, **options)


def pipelines_dag(
    pipelines: str | Path | Iterable[PipelineSpec],
    *,
    dag_id: str,
    branch: str | None = None,
    template_arguments: Mapping[str, str] | None = None,
    defaults: Iterable[Mapping[str, Any]] = (),
    pfs_conn_id: str = DEFAULT_CONNECTION,
    stage: Mapping[str, Any] | None = None,
    git_conn_id: str | None = None,
    git_poll: timedelta = GIT_POLL,
    **dag_arguments: Any,
) -> DAG:
    """One DAG with a stage for each pipeline of a folder, file or list, in the order of their data.

    One run takes one commit through all of them, which saves the seconds that Airflow needs between two DAGs.
    `branch`, `template_arguments` and `defaults` are for folders and files, as in `load_pipelines`; other arguments are
    those of `pipeline_dag`. Raises `InvalidSpec`, also for pipelines that read each other in a circle.
    """
    defaults = tuple(defaults)
    if isinstance(pipelines, str | Path):
        from airflow_pachy.pipelines.folders import read_folder

        placed = _on_branch(read_folder(pipelines, template_arguments, defaults), branch)
        specs = [one.spec for one in placed]
    elif branch is not None:
        raise InvalidSpec(f"DAG {dag_id!r}: branch is for a folder of specs; give the pipelines' own output_branch")
    elif template_arguments or defaults:
        raise InvalidSpec(
            f"DAG {dag_id!r}: template_arguments and defaults are for a folder of specs; give them to "
            "PipelineSpec.parse(..., arguments=..., defaults=...)"
        )
    else:
        specs = list(pipelines)
    if not specs:
        raise InvalidSpec(f"DAG {dag_id!r} has no pipelines")
    spouts = [spec.name for spec in specs if spec.spout is not None]
    if spouts:
        raise InvalidSpec(
            f"DAG {dag_id!r}: {', '.join(spouts)} is a spout, which never ends and so needs a DAG of its own: use "
            "load_pipelines, or pipeline_dag for it"
        )
    return _dag(
        specs, pfs_conn_id, stage or {}, git_conn_id=git_conn_id, git_poll=git_poll, dag_id=dag_id, **dag_arguments
    )


def _dag(
    specs: list[PipelineSpec],
    pfs_conn_id: str,
    stage: Mapping[str, Any],
    *,
    git_conn_id: str | None,
    git_poll: timedelta,
    dag_id: str,
    **dag_arguments: Any,
) -> DAG:
    from airflow.sdk import DAG

    from airflow_pachy.pipelines.folders import PlacedPipeline, in_order, needs
    from airflow_pachy.pipelines.inputs.fed import fed_inputs
    from airflow_pachy.timetables import pipeline_schedule

    ordered = [one.spec for one in in_order([PlacedPipeline(spec, f"DAG {dag_id!r}") for spec in specs])]
    before = needs(ordered)
    outputs = [spec.output for spec in ordered]
    defaults = {
        "schedule": pipeline_schedule([spec.input for spec in ordered], outputs, pfs_conn_id, git_poll),
        "catchup": False,
        "max_active_runs": 1,
        "tags": ["pachy"],
        "params": _params(),
    }
    if given := dag_arguments.get("params"):
        dag_arguments["params"] = {**_params(), **given}
    with DAG(dag_id, **{**defaults, **dag_arguments}) as dag:
        stages: dict[str, Any] = {}
        for spec in ordered:
            fed = any(fed_inputs(spec.input))
            made = _service(spec, pfs_conn_id, stage) if spec.service else _stage(spec, pfs_conn_id, stage, fed)
            stages[spec.name] = made
            if fed:
                _feed(spec, pfs_conn_id, git_conn_id) >> made
            for name in sorted(before[spec.name]):
                stages[name] >> made
    return dag


def _stage(spec: PipelineSpec, pfs_conn_id: str, given: Mapping[str, Any], fed: bool) -> Any:
    from airflow_pachy.operators import DatumMapOperator

    # A tick that was missed has its turn like any other commit, though a schedule started the run.
    latest = {"latest": False} if fed else {}
    return DatumMapOperator(spec.name, **{**stage_arguments(spec), "pfs_conn_id": pfs_conn_id, **latest, **given})


def _service(spec: PipelineSpec, pfs_conn_id: str, given: Mapping[str, Any]) -> Any:
    """A service has no datums, so what is given for those says nothing to it."""
    from airflow_pachy.operators import PfsServiceOperator

    return _standing(PfsServiceOperator, spec, pfs_conn_id, given)


def _params() -> dict[str, Any]:
    """What may be said when a run is started by hand; Airflow's form asks for it."""
    from airflow.sdk import Param

    return {
        "commits": Param(
            {},
            type="object",
            additionalProperties={"type": "string"},
            title="Commits to read",
            description='Instead of the newest, by branch: {"images@master": "<commit id, or master^2>"}.',
        ),
        "reprocess": Param(
            False,
            type="boolean",
            title="Process all datums",
            description="Also those that were processed before.",
        ),
    }


def _standing(
    operator: type[StandingOperator], spec: PipelineSpec, pfs_conn_id: str, given: Mapping[str, Any], **own: Any
) -> Any:
    """What stands has no datums, so what is given for those says nothing to it."""
    from inspect import signature

    # Its own arguments, those of StandingOperator and of BaseOperator.
    known = {name for cls in operator.__mro__[:3] for name in signature(vars(cls)["__init__"]).parameters}
    arguments = {**stage_arguments(spec), "pfs_conn_id": pfs_conn_id, **given, **own}
    ours = {name: value for name, value in arguments.items() if name in known and name not in {"self", "kwargs"}}
    return operator(task_id=spec.name, **ours)


def _spout_dag(spec: PipelineSpec, pfs_conn_id: str, given: Mapping[str, Any], dag_id: str, **options: Any) -> DAG:
    """One run looks after the spout for a while, and the next begins when it ends."""
    from airflow.sdk import DAG

    from airflow_pachy.operators import PfsSpoutOperator

    assert spec.spout is not None
    defaults = {
        "schedule": "@continuous",
        # Airflow wants one; runs begin now.
        "start_date": datetime(2024, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,
        "tags": ["pachy", "spout"],
    }
    body = spec.spout.model_dump(mode="json", exclude_defaults=True)
    with DAG(dag_id, **{**defaults, **options}) as dag:
        _standing(PfsSpoutOperator, spec, pfs_conn_id, given, **body)
    return dag


def _feed(spec: PipelineSpec, pfs_conn_id: str, git_conn_id: str | None) -> Any:
    from airflow_pachy.operators.feed import PfsFeedOperator

    return PfsFeedOperator(
        task_id=f"{spec.name}_feed", input=spec.input.to_spec(), git_conn_id=git_conn_id, pfs_conn_id=pfs_conn_id
    )


def stage_arguments(spec: PipelineSpec) -> dict[str, Any]:
    """A pipeline spec as arguments of `DatumMapOperator`. Raises `InvalidSpec` for a wrong `[pachy] nodes`."""
    from airflow_pachy.hooks.airflow_config import conf
    from airflow_pachy.pipelines.reading import operator_arguments

    nodes = conf.get("pachy", "nodes", fallback="") or "0"
    if not nodes.isdigit():
        raise InvalidSpec(f"[pachy] nodes is {nodes!r}; use the number of nodes that the cluster has for pods")
    return operator_arguments(spec, nodes=int(nodes) or None)


def _single(spec: PipelineSpec | Mapping[str, Any] | str | Path) -> PipelineSpec:
    from airflow_pachy.pipelines import PipelineSpec

    if isinstance(spec, PipelineSpec):
        return spec
    parsed = PipelineSpec.parse(spec)
    if len(parsed) != 1:
        names = ", ".join(repr(one.name) for one in parsed) or "none"
        raise InvalidSpec(
            f"pipeline_dag makes one DAG, but there are {len(parsed)} pipelines ({names}); use load_pipelines"
        )
    return parsed[0]
