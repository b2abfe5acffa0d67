"""Checking that everything needed is there and says the same everywhere, and repairing what can be repaired.

Each tree node is read once, whole, and checked against its id; packs are checked by name and size, and with `deep`
chunk by chunk against their hashes. Rows are checked against each other and against their copies in the bucket.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_pachy.errors import PachyError
from airflow_pachy.pfs.format import ensure_format
from airflow_pachy.pfs.upkeep.check_copies import check_copies
from airflow_pachy.pfs.upkeep.check_rows import check_rows
from airflow_pachy.pfs.upkeep.check_trees import TreeCheck
from airflow_pachy.pfs.upkeep.findings import Finding, Problem
from airflow_pachy.pfs.upkeep.marking import silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.upkeep.marking import Progress


@dataclass(frozen=True, slots=True)
class Check:
    """One run over a root."""

    root: Root
    fix: bool = False
    deep: bool = False
    progress: Progress = silent

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong, as it is found."""
        try:
            ensure_format(self.root.store)
        except PachyError as error:
            yield Problem(str(error), "format.json", "put the right one there; nothing else was checked")
            return
        # Rows first: their copies are compared with what they are after the repair.
        for found in check_rows(self.root):
            yield self._repaired(found)
        for found in check_copies(self.root, self.progress):
            yield self._repaired(found)
        for found in TreeCheck(self.root, deep=self.deep, progress=self.progress).run():
            yield self._repaired(found)

    def _repaired(self, found: Finding) -> Problem:
        if found.repair is None:
            return found.problem
        if self.fix:
            found.repair()
        return replace(found.problem, repairable=True, fixed=self.fix)
