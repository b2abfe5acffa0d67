"""The Cartesian product of inputs: every combination of one datum from each."""

from __future__ import annotations

from collections import Counter
from itertools import chain, product
from typing import TYPE_CHECKING, ClassVar

from airflow_pachy.pipelines.inputs.base import input_kind
from airflow_pachy.pipelines.inputs.combined import CombinedInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pipelines.inputs.sources import DatumInput, Sources


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
        seen: Counter[str] = Counter()
        for member in self.members:
            member.check_names()
            seen.update({leaf.name for leaf in member.leaves()})
        if repeated := sorted(name for name, count in seen.items() if count > 1):
            raise ValueError(
                f"inputs {', '.join(map(repr, repeated))} of a cross would share a directory under /pfs: "
                "give each its own 'name' (it defaults to the repo)"
            )

    def datums(self, sources: Sources) -> Iterator[tuple[DatumInput, ...]]:
        """Combinations, the first member varying fastest; members' datums are held in memory, not the product."""
        columns = [list(member.datums(sources)) for member in self.members]
        for row in product(*reversed(columns)):
            yield tuple(chain.from_iterable(reversed(row)))
