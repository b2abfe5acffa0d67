"""Services and spouts in SQL: what stands in the cluster for a pipeline, and what it needs kept.

A service has no jobs, since it makes no commits: it reads the newest commits, whatever came in between. The rows say
what to take away when the pipeline is stopped, also while Airflow is down, and which trees garbage collection leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.metadata.models import Standing
from airflow_pachy.pfs.root import tree_text
from airflow_pachy.pipelines.datums import enumerate_datums
from airflow_pachy.pipelines.registry import register_pipeline
from airflow_pachy.pipelines.set_plans import transform_plan
from airflow_pachy.pipelines.snapshot import open_sources, resolve_heads
from airflow_pachy.worker.plan import DatumPlan, InputPlan, SetPlan, encode_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.spec import PipelineSpec

SERVICE, SPOUT = "service", "spout"
ROLLING, RUNNING, FAILED = "rolling", "running", "failed"
PLAN_BYTES = 96 * 1024
"""The plan is a variable of a container, and Linux allows 128 KiB for one."""


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What a service's pod is to see: the set plan with its one datum, the commits by `repo@branch`, their trees."""

    version: int
    plan: SetPlan
    commits: Mapping[str, str]
    trees: tuple[str, ...]

    @property
    def text(self) -> str:
        """The plan as JSON."""
        return encode_plan(self.plan).decode()


@dataclass(frozen=True, slots=True)
class StandingInfo:
    """What stands in the cluster for a pipeline; see `Standing`."""

    pipeline: str
    kind: str
    name: str
    namespace: str
    kubernetes_conn_id: str | None
    version: int
    commits: Mapping[str, str]
    state: str
    message: str
    updated: datetime


def plan_service(
    pfs: Pfs, spec: PipelineSpec, *, commits: Mapping[str, str] | None = None, author: str | None = None
) -> ServicePlan:
    """Register the pipeline, and find what its service serves now: the heads of its inputs, or the given `commits`.

    Raises `PipelineStopped`, `CommitNotFound` while an input has no commit, `InvalidSpec` when the input is not
    exactly one datum.
    """
    pfs = pfs.acting_as(f"pipeline:{spec.name}")
    pipeline = register_pipeline(pfs, spec, author)
    resolved = resolve_heads(pfs, spec.input, commits or {})
    sources = open_sources(pfs, resolved)
    datums = list(islice(enumerate_datums(spec.input, sources, pipeline.identity), 2))
    if len(datums) != 1:
        found = "no datum" if not datums else "several datums"
        raise InvalidSpec(
            f"pipeline {spec.name!r}: a service is one process that sees one datum, and its input has {found} now: "
            'use glob "/", which makes one datum of everything'
        )
    trees = {source.commit: tree_text(source.tree) or "" for source in sources.by_leaf.values()}
    inputs = tuple(
        InputPlan(
            item.name,
            item.repo,
            item.branch,
            item.commit,
            trees[item.commit],
            item.path,
            # Nobody is there later to fill pipes.
            lazy=False,
            empty_files=item.empty_files,
        )
        for item in datums[0].inputs
    )
    plan = SetPlan(
        job="",
        set=SERVICE,
        pipeline=spec.name,
        output_commit="",
        transform=transform_plan(spec),
        results_prefix="",
        datums=(DatumPlan(datums[0].id, inputs),),
    )
    read = {f"{leaf.repo}@{leaf.branch}": resolved[leaf.source] for leaf in spec.input.leaves()}
    found_plan = ServicePlan(pipeline.version, plan, read, tuple(sorted(filter(None, trees.values()))))
    if len(found_plan.text) > PLAN_BYTES:
        raise InvalidSpec(
            f"pipeline {spec.name!r}: the plan of its service has {len(found_plan.text):,} bytes, and a pod takes "
            f"{PLAN_BYTES:,}: name fewer inputs, or shorten stdin and env"
        )
    return found_plan


def begin_rollout(pfs: Pfs, info: StandingInfo, trees: tuple[str, ...]) -> None:
    """Record what is about to be put into the cluster, before it is; the trees of what stands now stay kept."""
    with pfs.metadata.session() as session:
        row = session.get(Standing, info.pipeline, with_for_update=True)
        if row is None:
            row = Standing(pipeline=info.pipeline, trees=[])
            session.add(row)
        for name in ("kind", "name", "namespace", "kubernetes_conn_id", "version", "state", "message"):
            setattr(row, name, getattr(info, name))
        row.commits = dict(info.commits)
        row.trees = sorted({*row.trees, *trees})
        row.updated = datetime.now(UTC)


def end_rollout(pfs: Pfs, pipeline: str, trees: tuple[str, ...]) -> None:
    """Record that what was begun stands, and that only its trees are needed."""
    with pfs.metadata.session() as session:
        row = session.get(Standing, pipeline, with_for_update=True)
        if row is not None:
            row.trees = sorted(trees)
            row.state, row.message, row.updated = RUNNING, "", datetime.now(UTC)


def note_state(pfs: Pfs, pipeline: str, state: str, message: str) -> None:
    """Record what was last seen of it, if that is new."""
    with pfs.metadata.session() as session:
        row = session.get(Standing, pipeline, with_for_update=True)
        if row is not None and (row.state, row.message) != (state, message):
            row.state, row.message, row.updated = state, message, datetime.now(UTC)


def find_standing(pfs: Pfs, pipeline: str) -> StandingInfo | None:
    """What stands for a pipeline, None if nothing does."""
    with pfs.metadata.reader() as session:
        row = session.get(Standing, pipeline)
        return None if row is None else _describe(row)


def list_standing(pfs: Pfs) -> Iterator[StandingInfo]:
    """What stands for all pipelines, by name."""
    with pfs.metadata.reader() as session:
        rows = [_describe(row) for row in session.scalars(select(Standing).order_by(Standing.pipeline))]
    yield from rows


def forget_standing(pfs: Pfs, pipeline: str) -> None:
    """Record that nothing stands any more."""
    with pfs.metadata.session() as session:
        session.execute(delete(Standing).where(Standing.pipeline == pipeline))


def _describe(row: Any) -> StandingInfo:
    return StandingInfo(
        pipeline=row.pipeline,
        kind=row.kind,
        name=row.name,
        namespace=row.namespace,
        kubernetes_conn_id=row.kubernetes_conn_id,
        version=row.version,
        commits=dict(row.commits),
        state=row.state,
        message=row.message,
        updated=row.updated,
    )
