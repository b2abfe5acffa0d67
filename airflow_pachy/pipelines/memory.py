"""What a pipeline remembers of the datums it has processed: a tree of rows by datum id.

A success is remembered for ever, also that of a job that failed, so a rerun does only what failed, and
data that comes back is not processed again. Failures are remembered too, to say why a datum
runs, but never in place of a success. Old rows pin their result records and outputs: garbage
collection takes `airflow_pachy.pipelines.rows.read_row` to follow them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select, update

from airflow_pachy.errors import BranchMoved
from airflow_pachy.metadata.changes import touch
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Pipeline
from airflow_pachy.pfs.root import tree_text
from airflow_pachy.pfs.tree import NodeRef, Tree
from airflow_pachy.pfs.tree.bulk import concat_rows, gathered
from airflow_pachy.pfs.tree.schema import single
from airflow_pachy.pipelines.plain_memory import MANY_ROWS, release_memory
from airflow_pachy.pipelines.rows import UNFINISHED
from airflow_pachy.pipelines.rows_table import with_state

if TYPE_CHECKING:
    from airflow_pachy.pfs.client import Pfs

_TRIES = 10
_NOTHING = pa.array([], pa.string())


def open_tree(pfs: Pfs, text: str | None) -> Tree:
    """The tree whose NodeRef is `text`; the empty one for None."""
    return Tree(pfs.nodes, NodeRef.parse(text) if text else None)


def open_memory(pfs: Pfs, pipeline: str) -> Tree:
    """The memory as it is now."""
    return open_tree(pfs, _text(pfs, pipeline))


def remember(pfs: Pfs, pipeline: str, new: Tree, old: Tree) -> None:
    """Add to the memory what a job's tree has, now that it is `new`, and had not when it was `old`.

    Safe beside other jobs of the pipeline: the slower one merges again.
    """
    for _ in range(_TRIES):
        seen = _text(pfs, pipeline)
        text = tree_text(_with_rows(open_tree(pfs, seen), new, old))
        if _replace(pfs, pipeline, seen, text):
            return
    raise BranchMoved(f"other jobs of pipeline {pipeline!r} changed its memory {_TRIES} times meanwhile; try again")


def _with_rows(memory: Tree, new: Tree, old: Tree) -> Tree:
    if memory.root is None and not new.has_prefix(UNFINISHED):
        # The first job of a pipeline, and all of it is done: one tree says both.
        return new
    for rows in gathered((came for came, _went in new.diff_tables(old)), MANY_ROWS):
        unfinished: Any = pc.starts_with(rows["path"], pattern=UNFINISHED)
        success, others = rows.filter(pc.invert(unfinished)), rows.filter(unfinished)
        if others.num_rows:
            ids: Any = pc.utf8_slice_codeunits(others["path"], start=len(UNFINISHED))
            others = _unless_done(memory, others.set_column(0, "path", ids))
            success = concat_rows([success, others]).sort_by("path")
        memory = memory.merge(_NOTHING, success, keys_are_paths=False)
        release_memory(rows.num_rows)
    return memory


@retried
def _replace(pfs: Pfs, pipeline: str, seen: str | None, text: str | None) -> bool:
    """Make `text` the memory, if it is still `seen`."""
    with pfs.metadata.session() as session:
        unmoved = Pipeline.memory == seen if seen is not None else Pipeline.memory.is_(None)
        done = session.execute(update(Pipeline).where(Pipeline.name == pipeline, unmoved).values(memory=text))
        touch(session, "pipelines", pipeline)
        return bool(done.rowcount == 1)  # type: ignore[attr-defined]  # an UPDATE's result has it


def _text(pfs: Pfs, pipeline: str) -> str | None:
    with pfs.metadata.reader() as session:
        return session.scalar(select(Pipeline.memory).where(Pipeline.name == pipeline))


def _unless_done(memory: Tree, others: pa.Table) -> pa.Table:
    """Without those that the memory knows to have succeeded."""
    known = memory.find(single(others["path"]))
    done = known.filter(with_state(known, "success"))
    return others.filter(pc.invert(pc.is_in(others["path"], value_set=single(done["path"]))))
