"""Pipelines without Airflow: specs, datums, skipping, jobs and the assembly of output commits.

Names are loaded on first use, so that a DAG file may import from here without paying for SQLAlchemy and pyarrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from airflow_pachy.pipelines.assemble import assemble_job
    from airflow_pachy.pipelines.datums import Datum, list_datums
    from airflow_pachy.pipelines.deleting import delete_job
    from airflow_pachy.pipelines.infos import JobDatum, JobInfo, JobInputInfo, JobPlan, JobRequest, PlanTry
    from airflow_pachy.pipelines.inputs.sources import DatumInput
    from airflow_pachy.pipelines.jobs import (
        fail_job,
        inspect_job,
        inspect_job_datum,
        list_job_datums,
        list_jobs,
        live_jobs_before,
        stop_job,
    )
    from airflow_pachy.pipelines.plan import plan_job
    from airflow_pachy.pipelines.sets import DatumSetSpec
    from airflow_pachy.pipelines.spec import PipelineSpec
    from airflow_pachy.pipelines.transform import Transform

__all__ = [
    "Datum",
    "DatumInput",
    "DatumSetSpec",
    "JobDatum",
    "JobInfo",
    "JobInputInfo",
    "JobPlan",
    "JobRequest",
    "PipelineSpec",
    "PlanTry",
    "Transform",
    "assemble_job",
    "delete_job",
    "fail_job",
    "inspect_job",
    "inspect_job_datum",
    "list_datums",
    "list_job_datums",
    "list_jobs",
    "live_jobs_before",
    "plan_job",
    "stop_job",
]

_HOMES = {
    "Datum": "datums",
    "DatumInput": "inputs.sources",
    "DatumSetSpec": "sets",
    "JobDatum": "infos",
    "JobInfo": "infos",
    "JobInputInfo": "infos",
    "JobPlan": "infos",
    "JobRequest": "infos",
    "PipelineSpec": "spec",
    "PlanTry": "infos",
    "Transform": "transform",
    "assemble_job": "assemble",
    "delete_job": "deleting",
    "fail_job": "jobs",
    "inspect_job": "jobs",
    "inspect_job_datum": "jobs",
    "list_datums": "datums",
    "list_job_datums": "jobs",
    "list_jobs": "jobs",
    "live_jobs_before": "jobs",
    "plan_job": "plan",
    "stop_job": "jobs",
}

__getattr__, __dir__ = exports(__name__, _HOMES)
