"""The join of inputs by key: combinations of files whose `join_on` agree."""

from __future__ import annotations

from functools import cached_property
from itertools import chain, groupby, product
from math import prod
from operator import itemgetter
from typing import TYPE_CHECKING, ClassVar

from airflow_pachy.pipelines.inputs.base import input_kind
from airflow_pachy.pipelines.inputs.cross import CrossInput
from airflow_pachy.pipelines.inputs.group import GroupInput
from airflow_pachy.pipelines.inputs.keyed import KeyedInput
from airflow_pachy.pipelines.inputs.keys import join_key
from airflow_pachy.pipelines.inputs.spilling import sorted_by_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from airflow_pachy.pipelines.inputs.base import Input
    from airflow_pachy.pipelines.inputs.keyed import Placed, Row
    from airflow_pachy.pipelines.inputs.sources import Sources


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

    @cached_property
    def outer(self) -> tuple[bool, ...]:
        """Of each member whether it is kept without a partner."""
        return tuple(any(leaf.outer_join for leaf in member.leaves()) for member in self.members)

    def keys_of(self, row: Row) -> set[str]:
        """That of its first file: what a nested join found has one key."""
        return {join_key(row[0])}

    def placed(self, sources: Sources) -> Iterator[Placed]:
        """Combinations in the order of keys; besides runs of the sort, only the files of one key are in memory."""
        for key, rows in groupby(sorted_by_key(self._keyed_rows(sources)), itemgetter(0)):
            columns: list[list[Placed]] = [[] for _ in self.members]
            for _, (number, placed) in rows:
                columns[number].append(placed)
            yield from self.datums_of_key(key, columns)

    def _keyed_rows(self, sources: Sources) -> Iterator[tuple[str, tuple[int, Placed]]]:
        for number, member in enumerate(self.members):
            for placed in member.placed(sources):
                yield join_key(placed[1][0]), (number, placed)

    def datums_of_key(self, key: str, columns: Sequence[Sequence[Placed]]) -> Iterator[Placed]:
        """Every combination, ordered by the last member, then by the one before it, and so on."""
        taking_part = self._taking_part(columns)
        if taking_part:
            for combination in product(*reversed(taking_part)):
                order = tuple(order for order, _row in combination)
                yield (key, order), tuple(chain.from_iterable(row for _order, row in reversed(combination)))

    def count_of_key(self, columns: Sequence[Sequence[Placed]]) -> int:
        """The product of the numbers of files."""
        taking_part = self._taking_part(columns)
        return prod(map(len, taking_part)) if taking_part else 0

    def _taking_part(self, columns: Sequence[Sequence[Placed]]) -> Sequence[Sequence[Placed]]:
        if all(columns):
            return columns
        return [column for column, kept in zip(columns, self.outer, strict=True) if column and kept]

    def rows_with_keys(
        self, sources: Sources, keys: Collection[str], template_name: str
    ) -> dict[str, list[Placed]] | None:
        """What a join around it finds here."""
        members = [member.rows_with_keys(sources, keys, template_name) for member in self.members]
        if template_name != self.template_name or self.may_repeat or None in members:
            return None
        columns = {key: [(rows or {}).get(key, ()) for rows in members] for key in keys}
        return {key: list(self.datums_of_key(key, found)) for key, found in columns.items()}


def _check_has_one_key(member: Input) -> None:
    if isinstance(member, (CrossInput, GroupInput)):
        key = member.key
        raise ValueError(f"a {key} inside a join has no single key to be matched by: put the join inside the {key}")  # noqa: TRY004 - pydantic's rule
    for inner in getattr(member, "members", ()):
        _check_has_one_key(inner)
