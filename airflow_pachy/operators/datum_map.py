"""`DatumMapOperator`: a pipeline stage as a group of three visible steps.

    plan  ->  datums (one mapped task per datum set)  ->  assemble

`plan` finds the datums that have not been processed yet and deals them into sets, `datums` run the user's code,
and `assemble` publishes their outputs as one commit, or closes the job and says which datums failed. The group can
be put between other tasks with `>>`; its XCom (`stage.output`) is that of `assemble`.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, TaskGroup

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION, RUNNERS
from airflow_pachy.operators.assemble import AssembleOperator
from airflow_pachy.operators.datum_set import DatumSetOperator, check_pod_arguments, user_numbers
from airflow_pachy.operators.plan import PlanOperator
from airflow_pachy.operators.stage import check_arguments, spec_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.sdk import XComArg

    from airflow_pachy.pipelines import DatumSetSpec

_REFUSED = {
    "service": "use PfsServiceOperator",
    "spout": "use PfsSpoutOperator",
    "do_xcom_push": "what a stage publishes is a commit; its XCom is that of assemble",
    "task_group": "create the operator inside `with TaskGroup(...)`",
}
_FIRST_STEP_ONLY = {"trigger_rule", "depends_on_past", "wait_for_downstream", "inlets"}
_LAST_STEP_ONLY = {"outlets", "on_success_callback"}


class DatumMapOperator(TaskGroup):
    """Run `cmds` on every new datum of `input` and commit what it writes to `output`.

    :param task_id: name of the group; its steps are `<task_id>.plan`, `.datums` and `.assemble`.
    :param input: as in a pipeline spec, `{"pfs": {"repo": ..., "glob": ...}}` or `cross`, `union` of such. A pinned
        `"commit"` makes runs of the past repeatable.
    :param output: `repo@branch`; created if missing.
    :param image: image of the user's container (not used by the local runner).
    :param cmds: the program and its first arguments, run once per datum without a shell.
    :param arguments: further arguments.
    :param stdin: lines fed to the program.
    :param env_vars: variables for the program. They are stored in the job's plan: no secrets here.
    :param secrets: Kubernetes secrets, as `Secret` objects of the Kubernetes provider.
    :param container_resources: of the user's container, `V1ResourceRequirements` or
        `{"requests": {...}, "limits": {...}}`.
    :param user: number of the user, or `uid:gid`, that the program runs as in its container; default: the image's.
    :param datum_tries: tries of each datum before it counts as failed.
    :param datum_timeout: limit of one try.
    :param job_timeout: limit of the whole job, from the end of its planning: then what still runs is ended.
    :param accept_return_codes: exit codes that count as success, besides 0.
    :param err_cmd: runs after the last failed try; its success lets the job go on without the datum's output.
    :param err_stdin: lines fed to it.
    :param working_dir: where the program starts; default: the image's.
    :param batch: many datums share one process, which finds them in `/pfs/batch/<datum id>`: a number, or True for 500.
    :param datum_set: how datums are dealt into sets, `DatumSetSpec(...)` or a dict of its fields.
    :param parallelism: how many sets, and so pods, run at once at most.
    :param on_collision: "error", "append" or "overwrite": two datums have written the same path.
    :param reprocess: run all datums, also those processed before.
    :param incremental: a datum that was processed before sees only the files that are new or changed since, and finds
        its last output in `/pfs/out`. What cannot be told so, such as a removed file, runs from scratch.
    :param code_version: part of the datums' identity: another value runs everything again.
    :param salt: part of the datums' identity that is else random; with that of another pipeline of the same name
        what it processed is known.
    :param latest: read the newest commits instead of one commit after the other. By default runs that data has
        started take each commit in its turn, and scheduled and manual runs take the newest.
    :param from_start: the first job of the pipeline begins at the first commit of its inputs, not at the newest.
    :param new_only: skip the stage when no input has a commit that it has not read, also in runs that read the newest;
        else it runs on the last ones. A run that a person starts, or clears, is not skipped. By default so for runs
        that only commits to its inputs have started: of one commit there may be two events.
    :param egress: copy each published commit there, as a fourth step; see `PfsEgressOperator`.
    :param egress_conn_id: connection with the credentials of that place.
    :param pipeline: name under which processed datums are remembered; default: the output repo.
    :param enable_stats: for specs' sake: times, sizes and the end of the log of each datum are always kept.
    :param runner: "kubernetes", "local", or "auto" for what the connection says.
    :param pod: any further argument of `KubernetesPodOperator`, such as `{"node_selector": {...}}`.
    :param task_arguments: arguments of `BaseOperator` (`retries`, `pool`, `queue`, ...), for all three steps.

    Raises `InvalidSpec`, `InvalidAddress` and `TypeError` while the DAG is parsed.
    """

    def __init__(
        self,
        task_id: str,
        *,
        input: Mapping[str, Any],  # noqa: A002 - the field's own name
        output: str,
        cmds: Sequence[str] = (),
        image: str = "",
        arguments: Sequence[str] = (),
        stdin: Sequence[str] = (),
        env_vars: Mapping[str, str] | None = None,
        secrets: Sequence[Any] = (),
        container_resources: Any = None,
        user: str | int | None = None,
        datum_tries: int = 3,
        datum_timeout: timedelta | None = None,
        job_timeout: timedelta | None = None,
        accept_return_codes: Sequence[int] = (),
        err_cmd: Sequence[str] | None = None,
        err_stdin: Sequence[str] = (),
        working_dir: str | None = None,
        batch: bool | int = False,
        datum_set: DatumSetSpec | Mapping[str, int] | None = None,
        parallelism: int | None = None,
        on_collision: str = "error",
        reprocess: bool = False,
        incremental: bool = False,
        code_version: str | None = None,
        pipeline: str | None = None,
        latest: bool | None = None,
        from_start: bool = False,
        new_only: bool | None = None,
        egress: Mapping[str, Any] | str | None = None,
        egress_conn_id: str | None = None,
        salt: str | None = None,
        enable_stats: bool = True,
        runner: str = "auto",
        pfs_conn_id: str = DEFAULT_CONNECTION,
        kubernetes_conn_id: str | None = None,
        deferrable: bool = True,
        pod: Mapping[str, Any] | None = None,
        tooltip: str = "",
        doc_md: str | None = None,
        **task_arguments: Any,
    ) -> None:
        origin = f"DatumMapOperator {task_id!r}"
        _check_task_arguments(origin, task_arguments)
        if runner not in RUNNERS:
            raise InvalidSpec(f"{origin}: runner is {runner!r}; use one of {', '.join(RUNNERS)}")
        check_pod_arguments(origin, pod or {})
        if user is not None:
            user_numbers(str(user))
        stage: dict[str, Any] = {
            "pipeline": pipeline,
            "input": dict(input),
            "output_branch": output,
            "image": image,
            "cmds": _words(origin, "cmds", cmds),
            "arguments": _words(origin, "arguments", arguments),
            "stdin": _words(origin, "stdin", stdin),
            "env_vars": dict(env_vars or {}),
            "code_version": code_version,
        }
        options = spec_options(
            datum_tries=datum_tries,
            datum_timeout=datum_timeout,
            job_timeout=job_timeout,
            accept_return_codes=accept_return_codes,
            err_cmd=_words(origin, "err_cmd", err_cmd or ()),
            err_stdin=_words(origin, "err_stdin", err_stdin),
            working_dir=working_dir,
            batch=batch,
            datum_set=datum_set,
            parallelism=parallelism,
            on_collision=on_collision,
            reprocess=reprocess,
            incremental=incremental,
            enable_stats=enable_stats,
            salt=salt,
        )
        check_arguments(stage, options, origin=origin)
        # Airflow 3.1 knows no doc_md of groups.
        documented: dict[str, Any] = {} if doc_md is None else {"doc_md": doc_md}
        super().__init__(group_id=task_id, tooltip=tooltip, **documented)
        name = str(self.group_id)
        task_arguments = _own_retries(self) | task_arguments
        first = {name: value for name, value in task_arguments.items() if name not in _LAST_STEP_ONLY}
        middle = {name: value for name, value in first.items() if name not in _FIRST_STEP_ONLY}
        last = {name: value for name, value in task_arguments.items() if name not in _FIRST_STEP_ONLY}
        with self:
            self.plan = PlanOperator(
                task_id="plan",
                stage=name,
                options=options,
                latest=latest,
                from_start=from_start,
                new_only=new_only,
                pfs_conn_id=pfs_conn_id,
                **stage,
                **first,
            )
            self.datums = DatumSetOperator.partial(
                task_id="datums",
                image=image,
                runner=runner,
                secrets=list(secrets),
                container_resources=container_resources,
                user=None if user is None else str(user),
                pod=dict(pod or {}),
                pfs_conn_id=pfs_conn_id,
                kubernetes_conn_id=kubernetes_conn_id,
                deferrable=deferrable and (parallelism is None or _deferred_tasks_count()),
                **_datum_defaults(job_timeout, parallelism, middle),
            ).expand(plan_key=self.plan.output)
            self.assemble = AssembleOperator(
                task_id="assemble",
                stage=name,
                plan_task_id=self.plan.task_id,
                pfs_conn_id=pfs_conn_id,
                **last,
            )
            self.plan >> self.datums >> self.assemble
            self.plan >> self.assemble
            if egress is not None:
                connections = {"egress_conn_id": egress_conn_id, "kubernetes_conn_id": kubernetes_conn_id}
                self.egress = _egress_step(origin, egress, self.assemble, connections | middle)
                self.assemble >> self.egress

    @property
    def output(self) -> XComArg:
        """What `assemble` returns: `{"repo", "branch", "commit", "job"}`, as an argument of other tasks."""
        return self.assemble.output


def _egress_step(
    origin: str,
    egress: Mapping[str, Any] | str,
    assemble: AssembleOperator,
    given: dict[str, Any],
) -> BaseOperator:
    """The copy of what was published; its own retries, since what it talks to is somebody else's."""
    from airflow_pachy.operators.egress import PfsEgressOperator
    from airflow_pachy.pipelines.egress import parse_egress

    if "{{" not in str(egress):
        parse_egress(egress, origin=f"{origin}: egress")
    return PfsEgressOperator(
        task_id="egress",
        commit=assemble.output,
        egress=egress,
        pfs_conn_id=assemble.pfs_conn_id,
        **{"retries": 3, **given},
    )


def _own_retries(group: TaskGroup) -> dict[str, Any]:
    """Retries of all steps, unless the DAG says how many.

    What is wrong with data, specs or user code is never tried again (`short_errors`), so these are for lost pods and
    for servers that are away, which a night's work must outlast; each step may run again at any point.
    """
    from airflow_pachy.hooks.airflow_config import conf

    if "retries" in group.default_args or "retries" in (group.dag.default_args or {}):
        return {}
    return {"retries": conf.getint("pachy", "infrastructure_retries", fallback=5)}


def _deferred_tasks_count() -> bool:
    """Whether this Airflow counts deferred tasks among those that run at once; before 3.2 none did.

    Where they do not count, a stage with a cap waits for its pods in workers: else all its pods would run at once.
    """
    try:
        from airflow.ti_deps import dependencies_states
    except ImportError:  # a worker without Airflow's core, which needs a newer one
        return True
    return hasattr(dependencies_states, "ACTIVE_STATES")


def _datum_defaults(job_timeout: timedelta | None, parallelism: int | None, given: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the mapped step."""
    defaults: dict[str, Any] = {"map_index_template": "{{ task.set_label }}"}
    if job_timeout is not None:
        defaults["execution_timeout"] = job_timeout
    if parallelism is not None:
        defaults["max_active_tis_per_dagrun"] = parallelism
    return defaults | given


def _check_task_arguments(origin: str, arguments: dict[str, Any]) -> None:
    for name in arguments:
        if name in _REFUSED:
            raise InvalidSpec(f"{origin}: there is no {name!r} here: {_REFUSED[name]}")
        known = _known_arguments()
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f", did you mean {near[0]!r}?" if near else "; arguments of the pod go into pod={...}"
            raise TypeError(f"{origin} got an unexpected argument {name!r}{hint}")


def _known_arguments() -> set[str]:
    import inspect

    ours = set(inspect.signature(DatumMapOperator.__init__).parameters) - {"self", "task_arguments"}
    theirs = set(inspect.signature(BaseOperator.__init__).parameters) - {"self", "kwargs"}
    return ours | theirs


def _words(origin: str, name: str, value: Sequence[str]) -> list[str]:
    if isinstance(value, str):
        raise InvalidSpec(f"{origin}: {name} is a list of strings, not one string: write {name}={value.split()!r}")
    return list(value)
