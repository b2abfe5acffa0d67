"""How the datums of a job differ from those of the job its output is built on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from airflow_pachy.pfs.tree.bulk import concat_rows
from airflow_pachy.pipelines.rows import UNFINISHED

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_pachy.pfs.tree import Tree


@dataclass(frozen=True, slots=True)
class DatumChanges:
    """Rows of the datums whose outputs must go (`vanished`) and come (`arrived`). One processed anew is in both."""

    vanished: pa.Table
    arrived: pa.Table


def compare_datums(new: Tree, old: Tree) -> DatumChanges:
    """What changed between two jobs' datum trees, at the cost of what changed."""
    arrived, vanished = [], []
    for came, went in new.diff_tables(old):
        arrived.append(_finished(came))
        vanished.append(_finished(went))
    return DatumChanges(concat_rows(vanished), concat_rows(arrived))


def _finished(rows: pa.Table) -> pa.Table:
    """Unfinished datums, in a published job the recovered ones, have no outputs."""
    return rows.filter(pc.invert(pc.starts_with(rows["path"], pattern=UNFINISHED)))
