"""Which datums of a job must run: all, less what the last published job holds, less what the memory knows.

The outcome is the job's datum tree, made out of the last published job's tree by what changed, and the
datums to run in listing order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_pachy.pfs.tree import sorted_changes
from airflow_pachy.pfs.tree.entries import Remove
from airflow_pachy.pipelines.lookup import look_up
from airflow_pachy.pipelines.rows import UNFINISHED, DatumRow, new_row, read_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pfs.tree.entries import Change
    from airflow_pachy.pipelines.datums import Datum

# Sorts after every unfinished key and before every datum id.
_BEFORE_IDS = "/"


@dataclass(frozen=True, slots=True)
class Selection:
    """The job's datum tree, the datums to run, how many there are, and how many earlier attempts of the job did."""

    tree: Tree
    to_run: list[Datum]
    total: int
    done_here: int


@dataclass(frozen=True, slots=True)
class Selector:
    """What a selection starts from: `base` is the last published job's datum tree, `reprocess` ignores other jobs."""

    job: str
    base: Tree
    memory: Tree
    empty: Tree
    reprocess: bool

    def select(self, datums: Iterable[Datum]) -> Selection:
        """Decide for each datum."""
        wanted = {datum.id: datum for datum in datums}
        base = self.empty if self.reprocess else self.base
        changes: list[Change] = [Remove(entry.path) for entry in base.entries(UNFINISHED)]
        vanished: dict[tuple[tuple[str, str], ...], DatumRow] = {}
        carried: set[str] = set()
        for entry in base.entries(after=_BEFORE_IDS):
            if entry.path in wanted:
                carried.add(entry.path)
            else:
                row = read_row(entry)
                vanished[row.place] = row
                changes.append(Remove(entry.path))
        done_here = 0
        to_run: set[str] = set()
        added = sorted(wanted.keys() - carried)
        for key, found in look_up(self.memory, added):
            known = read_row(found) if found is not None else None
            if known is not None and self._is_done(known):
                changes.append(known.put())
                done_here += known.job == self.job
                continue
            to_run.add(key)
            changes.append(new_row(wanted[key], self.job, self._reason(wanted[key], known, vanished)).put())
        tree = base.apply(sorted_changes(changes))
        return Selection(tree, [datum for key, datum in wanted.items() if key in to_run], len(wanted), done_here)

    def _is_done(self, known: DatumRow) -> bool:
        return known.state == "success" and (not self.reprocess or known.job == self.job)

    def _reason(
        self, datum: Datum, known: DatumRow | None, vanished: Mapping[tuple[tuple[str, str], ...], DatumRow]
    ) -> str:
        if known is not None and known.state in ("failed", "recovered"):
            return f"{known.state} in job {known.job}"
        if self.reprocess:
            return "reprocess"
        before = vanished.get(tuple((item.name, item.path) for item in datum.inputs))
        if before is None:
            return "new"
        changed = [
            f"{item.name}:/{item.path}" if len(datum.inputs) > 1 else f"/{item.path}"
            for item, old in zip(datum.inputs, before.inputs, strict=True)
            if not item.hash.hex().startswith(old.hash)
        ]
        return f"changed: {', '.join(changed)}" if changed else "new"
