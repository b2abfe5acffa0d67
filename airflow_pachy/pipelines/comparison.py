"""How the datums of a job differ from those of the job its output is built on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from airflow_pachy.pipelines.plain_memory import MANY_ROWS, release_memory
from airflow_pachy.pipelines.results import RecordedRows
from airflow_pachy.pipelines.rows import UNFINISHED

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pipelines.results import Recorded


@dataclass(frozen=True, slots=True)
class DatumChanges:
    """The datums whose outputs must go (`vanished`) and come (`arrived`). One that was processed anew is in both."""

    vanished: Recorded
    arrived: Recorded


def compare_datums(new: Tree, old: Tree, *, with_inputs: bool) -> DatumChanges:
    """What changed between two jobs' datum trees, at the cost of what changed."""
    arrived, vanished = RecordedRows(with_inputs=with_inputs), RecordedRows(with_inputs=with_inputs)
    count = 0
    for came, went in new.diff_tables(old):
        arrived.add(_finished(came))
        vanished.add(_finished(went))
        count += came.num_rows + went.num_rows
        if count >= MANY_ROWS:
            release_memory(count)
            count = 0
    return DatumChanges(vanished.done(), arrived.done())


def _finished(rows: pa.Table) -> pa.Table:
    """Unfinished datums, in a published job the recovered ones, have no outputs."""
    return rows.select(["path", "inline"]).filter(pc.invert(pc.starts_with(rows["path"], pattern=UNFINISHED)))
