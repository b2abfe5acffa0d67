"""The first step of a stage: find what is to be done, and deal it into datum sets.

Its XCom is the list of set plans' keys in the bucket, which the next step is mapped over: short strings,
because each mapped task pulls the whole list. Planning again, after a retry or a clear, finds the same job
and continues it, unless it has published: then the run was cleared, and gets a further job.

Jobs that write one branch run one after the other, in the order of their starts, as each builds on what the one before
has published. So `plan` waits, without a worker slot, while an older job of that branch is alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import BaseOperator

from airflow_pachy.errors import NothingNew, PipelineStopped
from airflow_pachy.hooks.airflow_errors import AirflowFailException, AirflowSkipException
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.operators.chaining import (
    backfilled_moment,
    code_of_dag,
    commits_by_hand,
    is_by_hand,
    is_woken_by,
    reads_in_order,
    reprocess_by_hand,
    start_next_run,
    try_of,
)
from airflow_pachy.operators.failures import short_errors
from airflow_pachy.operators.stage import TEMPLATED, build_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines import JobPlan, PipelineSpec

JOB_KEY = "job"
"""XCom key of the planned job: `{"id", "output_commit", "total", "skipped", "to_run", "sets"}`."""


class PlanOperator(BaseOperator):
    """Plan one job; see `DatumMapOperator`, which makes it, for the arguments."""

    template_fields: Sequence[str] = TEMPLATED
    template_fields_renderers: ClassVar[dict[str, str]] = {"input": "json", "cmds": "json", "env_vars": "json"}
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        stage: str,
        input: Mapping[str, Any],  # noqa: A002 - the field's own name
        output_branch: str,
        options: Mapping[str, Any],
        image: str = "",
        cmds: Sequence[str] = (),
        arguments: Sequence[str] = (),
        stdin: Sequence[str] = (),
        env_vars: Mapping[str, str] | None = None,
        code_version: str | None = None,
        pipeline: str | None = None,
        latest: bool | None = None,
        from_start: bool = False,
        new_only: bool | None = None,
        pfs_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stage = stage
        self.input = input
        self.output_branch = output_branch
        self.options = options
        self.image = image
        self.cmds = cmds
        self.arguments = arguments
        self.stdin = stdin
        self.env_vars = env_vars or {}
        self.code_version = code_version
        self.pipeline = pipeline
        self.latest = latest
        self.from_start = from_start
        self.new_only = new_only
        self.pfs_conn_id = pfs_conn_id

    def execute(self, context: Context) -> list[str]:
        """Plan, and return the keys of the set plans; defers while an older job of the branch is alive."""
        return self._plan(context)

    def resume(self, context: Context, event: dict[str, Any] | None = None) -> list[str]:
        """Go on after waiting. Other jobs may have been faster, so everything is looked at again."""
        if event and event.get("status") == "error":
            raise AirflowFailException(f"waiting for an older job failed: {event['message']}")
        return self._plan(context)

    def _plan(self, context: Context) -> list[str]:
        from airflow_pachy.hooks.pfs import PfsHook
        from airflow_pachy.operators.queue import jobs_before, jobs_before_planning

        arguments = {name: getattr(self, name) for name in TEMPLATED}
        with short_errors(), PfsHook(self.pfs_conn_id).get_conn() as pfs:
            spec = build_spec(arguments, self.options, origin=f"stage {self.stage!r}")
            ahead = jobs_before_planning(pfs, spec, self.stage, context)
            if not ahead:
                plan = self._planned(pfs, spec, context)
                # Two runs may have looked at the same moment; now that both jobs are known, the later one waits.
                ahead = [] if plan.done else jobs_before(pfs, plan.job_id, context)
        if ahead:
            self._wait_for(ahead)
        self._announce(plan, spec, context)
        if plan.more:
            start_next_run(context, plan.job_id)
        return list(plan.sets)

    def _planned(self, pfs: Pfs, spec: PipelineSpec, context: Context) -> JobPlan:
        from airflow_pachy.pipelines import plan_job

        try:
            return plan_job(pfs, self._request(spec, context))
        except (NothingNew, PipelineStopped) as nothing:
            raise AirflowSkipException(f"nothing to do: {nothing}") from nothing

    def _request(self, spec: PipelineSpec, context: Context) -> Any:
        from airflow_pachy.hooks.airflow_config import conf
        from airflow_pachy.pipelines import JobRequest

        ti = context["ti"]
        reprocess, backfilled = reprocess_by_hand(context), backfilled_moment(context)
        latest = not reads_in_order(context) if self.latest is None else self.latest
        # Who starts a run, or asks for all datums, wants it although no commit is new: the code may be. A date that is
        # backfilled has a tick of its own, and is not for what was read last.
        wanted = reprocess or (latest and is_by_hand(context))
        new_only = self._is_woken(spec, context) if self.new_only is None else self.new_only
        return JobRequest(
            spec=spec,
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            stage=self.stage,
            reprocess=spec.reprocess_spec == "every_job" or reprocess,
            # Airflow fails a task whose XCom is to be mapped and has more items than this.
            max_sets=conf.getint("core", "max_map_length", fallback=1024),
            latest=latest,
            from_start=self.from_start,
            new_only=(new_only or (backfilled is not None and not latest)) and not wanted,
            commits=commits_by_hand(context),
            # Inputs that the clock feeds have a turn for each tick, whenever that is.
            as_of=backfilled if self.latest is None else None,
            code=code_of_dag(context),
            task=try_of(context),
        )

    def _is_woken(self, spec: PipelineSpec, context: Context) -> bool:
        from airflow_pachy.assets import branch_uri

        return is_woken_by(
            context, {branch_uri(leaf.repo, leaf.branch, self.pfs_conn_id) for leaf in spec.input.leaves()}
        )

    def _wait_for(self, jobs: Sequence[Any]) -> NoReturn:
        from airflow_pachy.triggers.conditions import PfsJobTrigger

        for job in jobs:
            self.log.info(
                "Waiting for job %s of DAG %s, run %s, which writes the same branch (to give it up: pachy stop job %s)",
                *(job.id, job.dag_id, job.run_id, job.id),
            )
        self.defer(
            trigger=PfsJobTrigger(jobs=[job.id for job in jobs], pfs_conn_id=self.pfs_conn_id), method_name="resume"
        )
        raise AssertionError("defer returned")

    def _announce(self, plan: JobPlan, spec: PipelineSpec, context: Context) -> None:
        self.log.info(
            "Job %s (attempt %d) of pipeline %s: %d datums, %d done before, %d to run in %d sets -> %s, commit %s",
            *(plan.job_id, plan.attempt, spec.name, plan.total, plan.skipped, plan.to_run, len(plan.sets)),
            *(spec.output, plan.output_commit),
        )
        summary = {
            "id": plan.job_id,
            "output_commit": plan.output_commit,
            "total": plan.total,
            "skipped": plan.skipped,
            "to_run": plan.to_run,
            "sets": len(plan.sets),
        }
        context["ti"].xcom_push(key=JOB_KEY, value=summary)
