"""How the datums of a job differ from those of the job its output is built on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from airflow_pachy.pfs.tree.schema import LEAF
from airflow_pachy.pipelines.plain_memory import release_memory
from airflow_pachy.pipelines.rows import UNFINISHED

if TYPE_CHECKING:
    from airflow_pachy.pfs.tree import Tree

_NONE = LEAF.empty_table().select(["path", "inline"])


@dataclass(frozen=True, slots=True)
class DatumChanges:
    """Path and content of rows: of datums whose outputs must go (`vanished`) and come (`arrived`).

    A datum that was processed anew is in both.
    """

    vanished: pa.Table
    arrived: pa.Table


def compare_datums(new: Tree, old: Tree) -> DatumChanges:
    """What changed between two jobs' datum trees, at the cost of what changed."""
    arrived, vanished = [], []
    for came, went in new.diff_tables(old):
        arrived.append(_finished(came))
        vanished.append(_finished(went))
    changes = DatumChanges(pa.concat_tables([_NONE, *vanished]), pa.concat_tables([_NONE, *arrived]))
    release_memory(changes.arrived.num_rows)
    return changes


def _finished(rows: pa.Table) -> pa.Table:
    """Unfinished datums, in a published job the recovered ones, have no outputs."""
    return rows.select(_NONE.column_names).filter(pc.invert(pc.starts_with(rows["path"], pattern=UNFINISHED)))
