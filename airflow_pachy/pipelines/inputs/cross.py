"""The Cartesian product of inputs: every combination of one datum from each."""

from __future__ import annotations

from itertools import chain, product
from math import prod
from typing import TYPE_CHECKING, ClassVar

from airflow_pachy.pipelines.inputs.base import input_kind
from airflow_pachy.pipelines.inputs.combined import CombinedInput
from airflow_pachy.pipelines.inputs.sources import InputChanges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_pachy.pipelines.inputs.sources import DatumInput, Order, Sources

    Row = tuple[DatumInput, ...]


@input_kind("cross")
class CrossInput(CombinedInput):
    """All combinations; an input without datums leaves none."""

    key: ClassVar[str] = "cross"

    @property
    def may_repeat(self) -> bool:
        """Combinations repeat only if a member's datums do."""
        return any(member.may_repeat for member in self.members)

    def check_names(self) -> None:
        """Each member contributes to every datum, so names must differ between members."""
        self.check_distinct_names()

    def datums(self, sources: Sources) -> Iterator[tuple[DatumInput, ...]]:
        """Combinations, the first member varying fastest; members' datums are held in memory, not the product."""
        columns = [list(member.datums(sources)) for member in self.members]
        for row in product(*reversed(columns)):
            yield tuple(chain.from_iterable(reversed(row)))

    def placed(self, sources: Sources) -> Iterator[tuple[Order, tuple[DatumInput, ...]]]:
        """By the last member, then by the one before it, and so on."""
        return _combine([list(member.placed(sources)) for member in self.members])

    def changes(self, new: Sources, old: Sources, limit: int) -> InputChanges | None:
        """What changed in one member, combined with everything in the others."""
        if self.may_repeat:
            return None
        members = [member.changes(new, old, limit) for member in self.members]
        found = InputChanges([], [])
        for number, change in enumerate(members):
            if change is None:
                return None
            if not change.added and not change.removed:
                continue
            # Before the member what stayed, so that a combination of two changes counts once; behind it everything.
            stayed = [self._stayed(place, new, members[place]) for place in range(number)]
            behind = self.members[number + 1 :]
            fresh = [*stayed, change.added, *(list(member.placed(new)) for member in behind)] if change.added else None
            gone = [(None, row) for row in change.removed]
            stale = [*stayed, gone, *(list(member.placed(old)) for member in behind)] if gone else None
            if max(prod(map(len, columns)) for columns in (fresh, stale) if columns is not None) > limit:
                return None
            found.added.extend(_combine(fresh) if fresh else ())
            found.removed.extend(row for _order, row in (_combine(stale) if stale else ()))
        return found

    def _stayed(self, number: int, new: Sources, change: InputChanges | None) -> list[tuple[Order, Row]]:
        fresh = {_identity(row) for _order, row in change.added} if change else set()
        return [(order, row) for order, row in self.members[number].placed(new) if _identity(row) not in fresh]


def _combine(columns: Sequence[list[tuple[Order, Row]]]) -> Iterator[tuple[Order, Row]]:
    for combination in product(*reversed(columns)):
        order = tuple(order for order, _row in combination)
        yield order, tuple(chain.from_iterable(row for _order, row in reversed(combination)))


def _identity(row: Row) -> tuple[bytes, ...]:
    return tuple(item.token for item in row)
