"""The join of inputs by key: combinations of files whose `join_on` agree."""

from __future__ import annotations

from itertools import chain, groupby, product
from operator import itemgetter
from typing import TYPE_CHECKING, ClassVar

from airflow_pachy.pipelines.inputs.base import input_kind
from airflow_pachy.pipelines.inputs.cross import CrossInput
from airflow_pachy.pipelines.inputs.group import GroupInput
from airflow_pachy.pipelines.inputs.keyed import KeyedInput, join_key
from airflow_pachy.pipelines.inputs.spilling import sorted_by_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pipelines.inputs.base import Input
    from airflow_pachy.pipelines.inputs.sources import DatumInput, Sources

    Row = tuple[DatumInput, ...]


@input_kind("join")
class JoinInput(KeyedInput):
    """For each key, every combination of one file from each member that has it, the first member varying fastest.

    A key that not every member has makes no datum, unless members that have it are `outer_join`: then these alone do.
    Members may be joins and unions themselves: what a nested join found counts as one, under its own key.
    """

    key: ClassVar[str] = "join"

    @property
    def template_name(self) -> str:
        """Files are matched by `join_on`."""
        return "join_on"

    @property
    def may_repeat(self) -> bool:
        """Combinations repeat only if a member's datums do."""
        return any(member.may_repeat for member in self.members)

    def check_names(self) -> None:
        """Besides, what a member lists must have one key."""
        super().check_names()
        for member in self.members:
            _check_has_one_key(member)

    def datums(self, sources: Sources) -> Iterator[tuple[DatumInput, ...]]:
        """Combinations in the order of keys; besides runs of the sort, only the files of one key are in memory."""
        outer = [any(leaf.outer_join for leaf in member.leaves()) for member in self.members]
        for _key, rows in groupby(sorted_by_key(self._keyed_rows(sources)), itemgetter(0)):
            columns: list[list[Row]] = [[] for _ in self.members]
            for _, (number, row) in rows:
                columns[number].append(row)
            if not all(columns):
                columns = [column for column, kept in zip(columns, outer, strict=True) if column and kept]
            if columns:
                for combination in product(*reversed(columns)):
                    yield tuple(chain.from_iterable(reversed(combination)))

    def _keyed_rows(self, sources: Sources) -> Iterator[tuple[str, tuple[int, Row]]]:
        for number, member in enumerate(self.members):
            for row in member.datums(sources):
                yield join_key(row[0]), (number, row)


def _check_has_one_key(member: Input) -> None:
    if isinstance(member, (CrossInput, GroupInput)):
        key = member.key
        raise ValueError(f"a {key} inside a join has no single key to be matched by: put the join inside the {key}")  # noqa: TRY004 - pydantic's rule
    for inner in getattr(member, "members", ()):
        _check_has_one_key(inner)
