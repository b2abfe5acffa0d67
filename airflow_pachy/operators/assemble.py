"""The last step of a stage: publish the output commit, or close the job.

It runs whatever became of the datum sets (trigger rule all_done), for a job must not stay open: the next job of the
same branch waits for it. So a failed set makes this step fail too, with the one summary of the whole job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, TriggerRule

from airflow_pachy.hooks.airflow_errors import AirflowFailException, AirflowSkipException
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.operators.datum_set import how_to_run_again
from airflow_pachy.operators.failures import short_errors
from airflow_pachy.operators.lineage import collect, job_facets, job_versions
from airflow_pachy.operators.plan import JOB_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pachy.pipelines import JobInfo


class AssembleOperator(BaseOperator):
    """Publish what the datum sets of a stage have produced; see `DatumMapOperator`, which makes it."""

    ui_color = "#fef7e0"

    def __init__(
        self,
        *,
        stage: str,
        plan_task_id: str,
        pfs_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "trigger_rule": TriggerRule.ALL_DONE})
        self.stage = stage
        self.plan_task_id = plan_task_id
        self.pfs_conn_id = pfs_conn_id
        self._job: JobInfo | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Publish; returns `{"repo", "branch", "commit", "job"}`."""
        from airflow_pachy.hooks.pfs import PfsHook
        from airflow_pachy.pipelines import assemble_job
        from airflow_pachy.pipelines.jobs import job_state

        job_id = self._planned_job(context)
        with short_errors(), PfsHook(self.pfs_conn_id).get_conn() as pfs:
            is_over = context["ti"].try_number > 1 and job_state(pfs, job_id) == "success"
            self._job = job = assemble_job(pfs, job_id)
        collect(self, *job_versions(job))
        if is_over:
            # A try that died after publishing is finished by this one; somebody who has cleared it expected more.
            self.log.warning(
                "An earlier try has published %s@%s as commit %s; this one has published nothing. %s",
                *(job.output_repo, job.output_branch, job.output_commit, how_to_run_again(self.task_id)),
            )
        else:
            self._announce(job)
        return {"repo": job.output_repo, "branch": job.output_branch, "commit": job.output_commit, "job": job.id}

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's signature
        """What the job read and published, for the OpenLineage provider."""
        return job_facets(self._job, self.pfs_conn_id) if self._job is not None else None

    def _planned_job(self, context: Context) -> str:
        ti = context["ti"]
        job = ti.xcom_pull(task_ids=self.plan_task_id, key=JOB_KEY)
        if job:
            return str(job["id"])
        states = ti.get_task_states(dag_id=ti.dag_id, task_ids=[self.plan_task_id], run_ids=[ti.run_id])
        state = states.get(ti.run_id, {}).get(self.plan_task_id)
        if state == "skipped":
            raise AirflowSkipException("the stage was skipped")
        raise AirflowFailException(f"nothing to assemble: {self.plan_task_id} is {state or 'gone'}; see its log")

    def _announce(self, job: JobInfo) -> None:
        self.log.info(
            "Published %s@%s as commit %s: %d datums processed, %d skipped, %d recovered of %d",
            *(job.output_repo, job.output_branch, job.output_commit),
            *(job.datums_processed, job.datums_skipped, job.datums_recovered, job.datums_total),
        )
