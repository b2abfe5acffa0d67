"""Several inputs one after the other: each datum comes from one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow_pachy.pipelines.inputs.base import input_kind
from airflow_pachy.pipelines.inputs.combined import CombinedInput
from airflow_pachy.pipelines.inputs.sources import InputChanges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pipelines.inputs.sources import DatumInput, Order, Sources


@input_kind("union")
class UnionInput(CombinedInput):
    """The datums of all members; equal ones are dropped later, by id."""

    key: ClassVar[str] = "union"

    @property
    def may_repeat(self) -> bool:
        """Members may overlap."""
        return True

    def check_names(self) -> None:
        """A datum sees one member only, so members may use the same names."""
        for member in self.members:
            member.check_names()

    def datums(self, sources: Sources) -> Iterator[tuple[DatumInput, ...]]:
        """The members' datums, member by member."""
        for member in self.members:
            yield from member.datums(sources)

    def placed(self, sources: Sources) -> Iterator[tuple[Order, tuple[DatumInput, ...]]]:
        """By member, and inside it as the member does."""
        for number, member in enumerate(self.members):
            for order, row in member.placed(sources):
                yield (number, order), row

    def changes(self, new: Sources, old: Sources, limit: int) -> InputChanges | None:
        """Those of the members; what another member still lists was not removed."""
        found = InputChanges([], [])
        for number, member in enumerate(self.members):
            one = member.changes(new, old, limit)
            if one is None:
                return None
            found.added.extend(((number, order), row) for order, row in one.added)
            for row in one.removed:
                still = self.lists(new, row)
                if still is None:
                    return None
                if not still:
                    found.removed.append(row)
        return found

    def lists(self, sources: Sources, row: tuple[DatumInput, ...]) -> bool | None:
        """Whether one of the members does."""
        answers = [member.lists(sources, row) for member in self.members]
        if any(answers):
            return True
        return None if None in answers else False
