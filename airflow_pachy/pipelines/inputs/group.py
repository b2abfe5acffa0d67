"""Groups: one datum for all files with the same key."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, ClassVar

from airflow_pachy.pipelines.inputs.base import input_kind
from airflow_pachy.pipelines.inputs.keyed import KeyedInput, group_key
from airflow_pachy.pipelines.inputs.spilling import sorted_by_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pipelines.inputs.sources import DatumInput, Sources


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

    def datums(self, sources: Sources) -> Iterator[tuple[DatumInput, ...]]:
        """Groups in the order of keys, their files in the order of the members; one group at a time is in memory."""
        keyed = ((group_key(item), item) for member in self.members for row in member.datums(sources) for item in row)
        for _key, items in groupby(sorted_by_key(keyed), itemgetter(0)):
            yield tuple(item for _, item in items)
