"""Datum sets: how many datums one pod processes.

A pod costs seconds to start and a mapped Airflow task a fraction of a second to schedule, so few full
sets beat many small ones; but one set must not hold a whole job while other pods idle. Sets are runs of
neighbours in listing order, which are neighbours in the packs too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines.models import SpecModel

# With nothing asked for: as many pods as this, and sets that do not outgrow an hour or a restart.
DEFAULT_PODS = 16
DEFAULT_MAX_DATUMS = 2_000


class DatumSetSpec(SpecModel):
    """Datums per set: a `number`, a total input size `size_bytes`, or sets `per_worker` (needs a parallelism)."""

    refused: ClassVar[Mapping[str, str]] = {}

    number: int | None = Field(default=None, ge=1)
    size_bytes: int | None = Field(default=None, ge=1)
    per_worker: int | None = Field(default=None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _zero_is_unset(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: item for name, item in value.items() if item not in (0, "0")}
        return value

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.per_worker is not None and (self.number is not None or self.size_bytes is not None):
            raise ValueError("per_worker divides all datums evenly, so it cannot be combined with number or size_bytes")
        return self


def cut_sets(sizes: Sequence[int], spec: DatumSetSpec, *, parallelism: int | None, max_sets: int) -> list[int]:
    """How many datums go into each set, in order, for datums of the given input sizes in bytes.

    Never more than `max_sets` sets: what was asked for is enlarged until it fits. With nothing asked for, datums
    are spread evenly over `parallelism` (or 16) sets, none larger than 2,000 datums.
    Raises `InvalidSpec` for `per_worker` without a parallelism.
    """
    total = len(sizes)
    if total == 0:
        return []
    if spec.per_worker is not None:
        if parallelism is None:
            raise InvalidSpec("datum_set_spec.per_worker needs a number of workers: set parallelism_spec.constant")
        return _even(total, parallelism * spec.per_worker, max_sets)
    if spec.number is None and spec.size_bytes is None:
        pods = parallelism or DEFAULT_PODS
        return _even(total, max(pods, ceil(total / DEFAULT_MAX_DATUMS)), max_sets)
    number = max(spec.number or total, ceil(total / max_sets) if spec.number else 1)
    counts = list(_cut(sizes, number, spec.size_bytes))
    return counts if len(counts) <= max_sets else _even(total, max_sets, max_sets)


def describe_sets(counts: Sequence[int], spec: DatumSetSpec, *, parallelism: int | None, max_sets: int) -> str:
    """What `cut_sets` made of the datums and why, for the log; `counts` is its answer, not empty."""
    total, sets = sum(counts), len(counts)
    widest = max(counts)
    text = f"{total:,} datums in {sets:,} sets of up to {widest:,}"
    if spec.number is not None and widest > spec.number:
        text += f": sets of {spec.number:,} as asked for would be more than the {max_sets:,} tasks that may be mapped"
    elif (spec.size_bytes is not None or spec.per_worker is not None) and sets == max_sets:
        text += f", the most tasks that may be mapped ([core] max_map_length, {max_sets:,})"
    elif spec == DatumSetSpec() and sets == max_sets:
        text += f": smaller ones would be more than the {max_sets:,} tasks that may be mapped ([core] max_map_length)"
    return text + (f"; {parallelism:,} at a time" if parallelism is not None and parallelism < sets else "")


def _even(total: int, sets: int, max_sets: int) -> list[int]:
    sets = max(1, min(sets, max_sets, total))
    small, larger = divmod(total, sets)
    return [small + 1] * larger + [small] * (sets - larger)


def _cut(sizes: Sequence[int], number: int, size_bytes: int | None) -> Iterator[int]:
    count = volume = 0
    for size in sizes:
        if count and (count >= number or (size_bytes is not None and volume + size > size_bytes)):
            yield count
            count = volume = 0
        count += 1
        volume += size
    if count:
        yield count
