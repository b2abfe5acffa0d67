"""Several inputs one after the other: each datum comes from one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow_pachy.pipelines.inputs.base import input_kind
from airflow_pachy.pipelines.inputs.combined import CombinedInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pipelines.inputs.sources import DatumInput, Sources


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
