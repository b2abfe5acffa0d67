"""How the datums of a job differ from those of the job its output is built on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_pachy.pipelines.rows import UNFINISHED, read_row

if TYPE_CHECKING:
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pipelines.rows import DatumRow


@dataclass(frozen=True, slots=True)
class DatumChanges:
    """Datums whose outputs must go (`vanished`) and come (`arrived`). One that was processed anew is in both."""

    vanished: list[DatumRow]
    arrived: list[DatumRow]


def compare_datums(new: Tree, old: Tree) -> DatumChanges:
    """What changed between two jobs' datum trees, at the cost of what changed."""
    vanished: list[DatumRow] = []
    arrived: list[DatumRow] = []
    for change in new.diff(old):
        # Unfinished datums, in a published job the recovered ones, have no outputs.
        if change.path.startswith(UNFINISHED):
            continue
        if change.old is not None:
            vanished.append(read_row(change.old))
        if change.new is not None:
            arrived.append(read_row(change.new))
    return DatumChanges(vanished, arrived)
