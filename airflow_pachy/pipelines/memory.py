"""What a pipeline remembers of the datums it has processed: a tree of rows by datum id.

A success is remembered for ever, also that of a job that failed, so a rerun does only what failed, and
data that comes back is not processed again. Failures are remembered too, to say why a datum
runs, but never in place of a success. Old rows pin their result records and outputs: garbage
collection takes `airflow_pachy.pipelines.rows.read_row` to follow them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from airflow_pachy.errors import BranchMoved
from airflow_pachy.metadata.models import Pipeline
from airflow_pachy.pfs.root import tree_text
from airflow_pachy.pfs.tree import NodeRef, Tree
from airflow_pachy.pipelines.lookup import look_up
from airflow_pachy.pipelines.rows import read_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.tree.entries import Put
    from airflow_pachy.pipelines.rows import DatumRow

_TRIES = 10


def open_tree(pfs: Pfs, text: str | None) -> Tree:
    """The tree whose NodeRef is `text`; the empty one for None."""
    return Tree(pfs.store, NodeRef.parse(text) if text else None)


def open_memory(pfs: Pfs, pipeline: str) -> Tree:
    """The memory as it is now."""
    return open_tree(pfs, _text(pfs, pipeline))


def remember(pfs: Pfs, pipeline: str, rows: Iterable[DatumRow]) -> None:
    """Add finished datums to the memory. Safe beside other jobs of the pipeline: the slower one merges again."""
    news = sorted(rows, key=lambda row: row.id)
    for _ in range(_TRIES if news else 0):
        seen = _text(pfs, pipeline)
        memory = open_tree(pfs, seen)
        text = tree_text(memory.apply(_changes(memory, news)))
        with pfs.metadata.session() as session:
            unmoved = Pipeline.memory == seen if seen is not None else Pipeline.memory.is_(None)
            done = session.execute(update(Pipeline).where(Pipeline.name == pipeline, unmoved).values(memory=text))
            if done.rowcount == 1:  # type: ignore[attr-defined]  # an UPDATE's result has it
                return
    if news:
        raise BranchMoved(f"other jobs of pipeline {pipeline!r} changed its memory {_TRIES} times meanwhile; try again")


def _text(pfs: Pfs, pipeline: str) -> str | None:
    with pfs.metadata.reader() as session:
        return session.scalar(select(Pipeline.memory).where(Pipeline.name == pipeline))


def _changes(memory: Tree, news: Sequence[DatumRow]) -> Iterable[Put]:
    failures = [row.id for row in news if row.state != "success"]
    done = {key for key, entry in look_up(memory, failures) if entry is not None and read_row(entry).state == "success"}
    return (row.remember() for row in news if row.id not in done)
