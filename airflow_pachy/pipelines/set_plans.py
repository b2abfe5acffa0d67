"""Writing the plans of a job's datum sets into the bucket."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from airflow_pachy.pipelines.sets import cut_sets
from airflow_pachy.worker.plan import DatumPlan, InputPlan, SetPlan, TransformPlan, plan_key, write_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pipelines.datums import Datum
    from airflow_pachy.pipelines.inputs import DatumInput
    from airflow_pachy.pipelines.opening import OpenJob
    from airflow_pachy.pipelines.spec import PipelineSpec

_UPLOADS = 8


@dataclass(frozen=True, slots=True)
class PlannedSet:
    """A datum set: its number in this attempt, how many datums it has, and the key of its plan."""

    number: int
    datum_count: int
    key: str


@dataclass(frozen=True, slots=True)
class SetPlanner:
    """Cuts the datums of one attempt into sets. `trees` has, by commit id, the NodeRef text of each input's tree."""

    store: ObjectStore
    spec: PipelineSpec
    job: OpenJob
    trees: Mapping[str, str]

    def write(self, datums: Sequence[Datum], max_sets: int) -> list[PlannedSet]:
        """Write all plans, several at a time. Plans of an attempt that died halfway are never read."""
        sizes = [sum(item.size_bytes for item in datum.inputs) for datum in datums]
        counts = cut_sets(
            sizes, self.spec.datum_set_spec, parallelism=self.spec.parallelism_spec.constant, max_sets=max_sets
        )
        bounds = list(pairwise(accumulate(counts, initial=0)))
        with ThreadPoolExecutor(_UPLOADS, thread_name_prefix="set-plan") as pool:
            return list(pool.map(lambda item: self._write_one(item[0], datums[slice(*item[1])]), enumerate(bounds)))

    def _write_one(self, number: int, datums: Sequence[Datum]) -> PlannedSet:
        name = f"{self.job.attempt:04d}-{number:06d}"
        plan = SetPlan(
            job=self.job.id,
            set=name,
            pipeline=self.spec.name,
            output_commit=self.job.output_commit,
            transform=transform_plan(self.spec),
            results_prefix=f"jobs/{self.job.id}/{name}",
            datums=tuple(DatumPlan(datum.id, tuple(map(self._input, datum.inputs))) for datum in datums),
        )
        key = plan_key(self.job.id, self.job.attempt, number)
        write_plan(self.store, key, plan)
        return PlannedSet(number, len(datums), key)

    def _input(self, item: DatumInput) -> InputPlan:
        return InputPlan(
            name=item.name,
            repo=item.repo,
            branch=item.branch,
            commit=item.commit,
            tree=self.trees[item.commit],
            path=item.path,
            lazy=item.lazy,
            empty_files=item.empty_files,
        )


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
        datum_tries=spec.datum_tries,
        datum_timeout_seconds=spec.datum_timeout.total_seconds() if spec.datum_timeout else None,
    )
