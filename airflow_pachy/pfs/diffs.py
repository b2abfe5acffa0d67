"""What a diff comes to, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_pachy.pfs.infos import Diff


@dataclass(frozen=True, slots=True)
class DiffSummary:
    """How many files were added, removed and changed, and their bytes: of changed files what they grew or shrank by."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    added_bytes: int = 0
    removed_bytes: int = 0
    changed_bytes: int = 0

    @property
    def files(self) -> int:
        """All files that differ."""
        return self.added + self.removed + self.changed


def summarize(diffs: Iterable[Diff]) -> DiffSummary:
    """Count differences; nothing of them is kept."""
    counts = [0, 0, 0]
    sizes = [0, 0, 0]
    for diff in diffs:
        kind = 0 if diff.old is None else 1 if diff.new is None else 2
        counts[kind] += 1
        new, old = (0 if side is None else side.size for side in (diff.new, diff.old))
        sizes[kind] += old if kind == 1 else new - old
    return DiffSummary(*counts, *sizes)
