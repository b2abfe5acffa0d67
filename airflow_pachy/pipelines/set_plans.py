"""Writing the plans of a job's datum sets into the bucket."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from airflow_pachy.pipelines.datums_table import flatten, per_datum, sizes_of
from airflow_pachy.pipelines.sets import cut_sets, describe_sets
from airflow_pachy.worker.plan import SetPlan, Since, TransformPlan, encode_rows, plan_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pipelines.datums_table import LeafKey, Leaves
    from airflow_pachy.pipelines.opening import OpenJob
    from airflow_pachy.pipelines.spec import PipelineSpec

_UPLOADS = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlannedSet:
    """A datum set: its number in this attempt, how many datums it has, and the key of its plan."""

    number: int
    datum_count: int
    key: str


@dataclass(frozen=True, slots=True)
class SetPlanner:
    """Cuts the datums of one attempt into sets. `trees` has, by commit id, the NodeRef text of each input's tree.

    `since` is what datums of an incremental pipeline go on from, by number of the leaf and by id.
    """

    store: ObjectStore
    spec: PipelineSpec
    job: OpenJob
    leaves: Leaves
    trees: Mapping[str, str]
    since: Since = field(default_factory=Since)

    def write(self, datums: pa.Table, max_sets: int) -> list[PlannedSet]:
        """Write all plans, several at a time. Plans of an attempt that died halfway are never read."""
        sizes = sizes_of(datums).tolist()
        parallelism = self.spec.parallelism_spec.constant
        counts = cut_sets(sizes, self.spec.datum_set_spec, parallelism=parallelism, max_sets=max_sets)
        if counts:
            log.info("%s", describe_sets(counts, self.spec.datum_set_spec, parallelism=parallelism, max_sets=max_sets))
        sources = [_source(leaf, self.trees[leaf.commit]) for leaf in self.leaves.keys]
        bounds = list(pairwise(accumulate(counts, initial=0)))

        def write_one(item: tuple[int, tuple[int, int]]) -> PlannedSet:
            number, (start, end) = item
            return self._write_one(number, datums[start:end], sources)

        with ThreadPoolExecutor(_UPLOADS, thread_name_prefix="set-plan") as pool:
            return list(pool.map(write_one, enumerate(bounds)))

    def _write_one(self, number: int, datums: pa.Table, sources: list[list[Any]]) -> PlannedSet:
        name = f"{self.job.attempt:04d}-{number:06d}"
        plan = SetPlan(
            job=self.job.id,
            set=name,
            pipeline=self.spec.name,
            output_commit=self.job.output_commit,
            transform=transform_plan(self.spec),
            results_prefix=f"jobs/{self.job.id}/{name}",
            datums=(),
            deadline=self.job.deadline.timestamp() if self.job.deadline else None,
        )
        key = plan_key(self.job.id, self.job.attempt, number)
        rows = _rows(datums)
        self.store.put(key, encode_rows(plan, sources, rows, self._since_of(rows)))
        return PlannedSet(number, datums.num_rows, key)

    def _since_of(self, rows: list[list[Any]]) -> Since:
        outputs = self.since.outputs
        if not outputs:
            return Since()
        return Since(self.since.trees, {row[0]: outputs[row[0]] for row in rows if row[0] in outputs})


def _source(leaf: LeafKey, tree: str) -> list[Any]:
    captures = [list(leaf.captures)] if leaf.captures else []
    return [leaf.name, leaf.repo, leaf.branch, leaf.commit, tree, leaf.lazy, leaf.empty_files, *captures]


def _rows(datums: pa.Table) -> list[list[Any]]:
    flat = flatten(datums)
    ids: Any = datums["id"].to_pylist()
    inputs = per_datum(flat, list(zip(flat.leaf, flat.path, strict=True)))
    return [[one, *pairs] for one, pairs in zip(ids, inputs, strict=True)]


def transform_plan(spec: PipelineSpec) -> TransformPlan:
    """The part of the spec that the worker follows."""
    transform = spec.transform
    return TransformPlan(
        cmd=transform.cmd,
        stdin=transform.stdin,
        env=dict(transform.env),
        working_dir=transform.working_dir,
        user=transform.user,
        err_cmd=transform.err_cmd,
        err_stdin=transform.err_stdin,
        accept_return_codes=transform.accept_return_code,
        batch=transform.batch,
        datum_tries=spec.datum_tries,
        datum_timeout_seconds=spec.datum_timeout.total_seconds() if spec.datum_timeout else None,
    )
