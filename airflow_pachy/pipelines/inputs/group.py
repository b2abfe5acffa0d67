"""Groups: one datum for all files with the same key."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, ClassVar

from airflow_pachy.pipelines.inputs.base import input_kind
from airflow_pachy.pipelines.inputs.keyed import KeyedInput
from airflow_pachy.pipelines.inputs.keys import group_key
from airflow_pachy.pipelines.inputs.spilling import sorted_by_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_pachy.pipelines.inputs.keyed import Placed, Row
    from airflow_pachy.pipelines.inputs.sources import Sources


@input_kind("group")
class GroupInput(KeyedInput):
    """One datum for each value of `group_by`, with every file of any member that has it.

    A member may be a cross, a join or a union: it is taken apart, and each of its files goes by its own key. A file
    that two members list is in the datum twice.
    """

    key: ClassVar[str] = "group"

    @property
    def template_name(self) -> str:
        """Files are collected by `group_by`."""
        return "group_by"

    @property
    def may_repeat(self) -> bool:
        """Each file is in one group of its key."""
        return False

    def keys_of(self, row: Row) -> set[str]:
        """Those of all its files."""
        return set(map(group_key, row))

    def placed(self, sources: Sources) -> Iterator[Placed]:
        """Groups in the order of keys, their files in the order of the members; one group at a time is in memory."""
        keyed = ((group_key(item), item) for member in self.members for row in member.datums(sources) for item in row)
        for key, items in groupby(sorted_by_key(keyed), itemgetter(0)):
            yield key, tuple(item for _, item in items)

    def datums_of_key(self, key: str, columns: Sequence[Sequence[Placed]]) -> Iterator[Placed]:
        """One, if there are any files."""
        items = tuple(item for column in columns for _order, row in column for item in row)
        if items:
            yield key, items

    def count_of_key(self, columns: Sequence[Sequence[Placed]]) -> int:
        """One, if there are any files."""
        return int(any(columns))
