"""Writing the plans of a job's datum sets into the bucket."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_pachy.pfs.tree.schema import single
from airflow_pachy.pipelines.datums_table import sizes_of
from airflow_pachy.pipelines.sets import cut_sets, describe_sets
from airflow_pachy.worker.plan import SetPlan, Since, TransformPlan, encode_rows, plan_key

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        self.store.put(key, encode_rows(plan, sources, _rows_as_json(datums), self._since_of(datums)))
        return PlannedSet(number, datums.num_rows, key)

    def _since_of(self, datums: pa.Table) -> Since:
        outputs = self.since.outputs
        if not outputs:
            return Since()
        ids: Any = datums["id"].to_pylist()
        return Since(self.since.trees, {one: outputs[one] for one in ids if one in outputs})


def _source(leaf: LeafKey, tree: str) -> list[Any]:
    captures = [list(leaf.captures)] if leaf.captures else []
    return [leaf.name, leaf.repo, leaf.branch, leaf.commit, tree, leaf.lazy, leaf.empty_files, *captures]


def _rows_as_json(datums: pa.Table) -> bytes:
    """`[id, [source, path], ...]` of each datum, all in one list: made of columns, because there are so many."""
    column: Any = single(datums["inputs"])
    inputs = column.flatten()
    join: Any = pc.binary_join_element_wise
    leaves = inputs.field(0).cast(pa.string())
    # An item begins with a comma: behind the id there is one before each.
    items = join(",[", leaves, ",", _quoted(inputs.field(1)), "]", "")
    offsets = column.offsets
    of_datum = pc.binary_join(pa.ListArray.from_arrays(pc.subtract(offsets, offsets[0]), items), "")
    rows = join('["', single(datums["id"]), '"', of_datum, "]", "")
    body = b",".join(rows.cast(pa.binary()).to_pylist())
    return b"[%s]" % body


def _quoted(texts: Any) -> Any:
    """JSON strings; only what needs it is escaped in Python."""
    special: Any = pc.match_substring_regex(texts, r'[\x00-\x1f"\\]')
    join: Any = pc.binary_join_element_wise
    plain = join('"', texts, '"', "")
    if not pc.any(special).as_py():
        return plain
    escaped: list[str] = [json.dumps(text, ensure_ascii=False) for text in texts.filter(special).to_pylist()]
    replace: Any = pc.replace_with_mask
    return replace(plain, special, pa.array(escaped, pa.string()))


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
