"""Lineage: what a task read and wrote, to Airflow's own collection and to OpenLineage.

Airflow's collector takes assets from operators and hooks and hands them to whoever reads lineage; the OpenLineage
provider asks operators for datasets and facets. A dataset is a branch, its version facet the commit: so a lineage store
knows that two runs have read the same data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_pachy.hooks.settings import DEFAULT_CONNECTION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import Asset

    from airflow_pachy.pipelines import JobInfo


def collect(context: Any, reads: Iterable[tuple[str, str, str]], writes: Iterable[tuple[str, str, str]]) -> None:
    """Report commits read and written, as (repo, branch, commit), to Airflow's lineage collector.

    `context` is the operator or hook that has `pfs_conn_id`. Costs nothing where nobody reads lineage.
    """
    try:
        from airflow.sdk.lineage import get_hook_lineage_collector
    except ImportError:  # Airflow 3.1, whose names the type checker, on a newer one, does not find there
        from airflow.lineage.hook import get_hook_lineage_collector  # type: ignore[no-redef,import-not-found]

    collector = get_hook_lineage_collector()
    for add, versions in ((collector.add_input_asset, reads), (collector.add_output_asset, writes)):
        for repo, branch, commit in versions:
            add(
                context=context,
                scheme="pfs",
                asset_kwargs={"repo": repo, "branch": branch or "master", "conn_id": context.pfs_conn_id},
                asset_extra={"commit": commit},
            )


def job_versions(job: JobInfo) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """What a job read and what it published."""
    reads = [(one.repo, one.branch, one.commit) for one in job.inputs]
    writes = [(job.output_repo, job.output_branch, job.output_commit)] if job.output_commit else []
    return list(dict.fromkeys(reads)), writes


def job_facets(job: JobInfo, conn_id: str) -> Any:
    """A job as OpenLineage's `OperatorLineage`: datasets with versions, and the counts of datums as a run facet."""
    from airflow.providers.openlineage.extractors import OperatorLineage

    reads, writes = job_versions(job)
    return OperatorLineage(
        inputs=[dataset(conn_id, *one) for one in reads],
        outputs=[dataset(conn_id, *one) for one in writes],
        run_facets={"pachy_job": _job_facet(job)},
    )


def dataset(conn_id: str, repo: str, branch: str, commit: str | None) -> Any:
    """A branch as an OpenLineage dataset, with the commit as its version."""
    from openlineage.client.event_v2 import Dataset
    from openlineage.client.facet_v2 import dataset_version_dataset

    facets: dict[str, Any] = {}
    if commit:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=commit)
    return Dataset(namespace=f"pfs://{conn_id}", name=f"{repo}/{branch or 'master'}", facets=facets)


def _job_facet(job: JobInfo) -> Any:
    import attrs
    from openlineage.client.generated.base import RunFacet

    @attrs.define
    class PachyJobRunFacet(RunFacet):
        id: str
        pipeline: str
        version: int
        datumsTotal: int  # noqa: N815 - OpenLineage's style
        datumsProcessed: int  # noqa: N815
        datumsSkipped: int  # noqa: N815
        code: dict[str, str]
        images: list[str]

    return PachyJobRunFacet(
        id=job.id,
        pipeline=job.pipeline,
        version=job.version,
        datumsTotal=job.datums_total,
        datumsProcessed=job.datums_processed,
        datumsSkipped=job.datums_skipped,
        code=dict(job.code),
        images=list(job.images),
    )


def asset_to_dataset(asset: Asset, lineage_context: Any) -> Any:
    """Airflow's converter of `pfs` assets for OpenLineage; None for what names no branch."""
    from airflow_pachy.pfs.address import parse_branch

    owner, at, repo = asset.uri.removeprefix("pfs://").partition("/")[0].rpartition("@")
    branch = asset.uri.removeprefix("pfs://").partition("/")[2].partition("/")[0]
    if not repo or not branch:
        return None
    parse_branch(f"{repo}@{branch}")
    conn_id = owner if at else getattr(lineage_context, "pfs_conn_id", DEFAULT_CONNECTION)
    commit = asset.extra.get("commit") if asset.extra else None
    return dataset(conn_id, repo, branch, commit if isinstance(commit, str) else None)
