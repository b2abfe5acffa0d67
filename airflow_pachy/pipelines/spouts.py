"""Committing what spouts write: batches in the bucket become commits, in order, each once.

The helper in the pod has no rights in the database, so it records batches (`worker.spout_batches`), and whoever looks
after the spout commits them here. How far they are committed stands in the database and changes in the transaction
that moves the branch: a crash in between changes neither, and of two who look after one spout one comes second.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from blake3 import blake3
from sqlalchemy import select

from airflow_pachy.errors import AlreadyExists, PipelineNotFound, PipelineStopped
from airflow_pachy.metadata.models import Branch, Pipeline, SpoutPosition
from airflow_pachy.pfs.edits import Source, appended
from airflow_pachy.pfs.tree.entries import Entry, Put
from airflow_pachy.pipelines.registry import register_pipeline
from airflow_pachy.worker.spout import check_marker
from airflow_pachy.worker.spout_batches import OVERWRITE, BatchKey, is_marker, list_batches, read_batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.content import ContentReader, ContentWriter
    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.overlay import Overlay
    from airflow_pachy.pfs.tree.entries import Change
    from airflow_pachy.pipelines.spec import PipelineSpec

MARKER_BRANCH = "marker"
"""The branch of the output repo that has the markers, as with Pachyderm."""
ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class SpoutPlan:
    """A registered spout: `stream` is where its helper leaves batches."""

    name: str
    version: int
    stream: str
    output: str
    overwrite: bool
    marker: str

    @property
    def marker_branch(self) -> str:
        """Where markers are committed."""
        return f"{self.output.partition('@')[0]}@{MARKER_BRANCH}"


def plan_spout(pfs: Pfs, spec: PipelineSpec, *, author: str | None = None) -> SpoutPlan:
    """Register the pipeline with its output repo. Raises `PipelineStopped`, `InvalidArgument` for a marker."""
    assert spec.spout is not None
    check_marker(_marker(spec.spout.marker))
    pfs = pfs.acting_as(f"pipeline:{spec.name}")
    register_pipeline(pfs, spec, author)
    with pfs.metadata.reader() as session:
        unborn = session.get(Branch, (spec.output_repo, spec.output_branch)) is None
    if unborn:
        # Whoever reads it may be registered before the first batch comes.
        with suppress(AlreadyExists):
            pfs.create_branch(spec.output)
    return find_spout(pfs, spec.name)


def find_spout(pfs: Pfs, name: str) -> SpoutPlan:
    """A spout as it is registered. Raises `PipelineNotFound`, `PipelineStopped`."""
    with pfs.metadata.reader() as session:
        row = session.get(Pipeline, name)
        if row is None:
            raise PipelineNotFound(f"pipeline {name!r} was deleted")
        if row.state == "stopped":
            raise PipelineStopped(
                f"pipeline {name!r} is stopped ({row.reason}); let it go on with: pachy start pipeline {name}"
            )
        spout = row.spec.get("spout") or {}
        return SpoutPlan(
            name=name,
            version=row.version,
            stream=stream_of(row.name, row.salt),
            output=f"{row.output_repo}@{row.output_branch}",
            overwrite=bool(spout.get("overwrite")),
            marker=_marker(spout.get("marker") or ""),
        )


def stream_of(name: str, salt: str) -> str:
    """The name of a pipeline's stream of batches; another salt begins another one, without a marker."""
    return blake3(f"spout:{len(name)}:{name}:{salt}".encode()).hexdigest(length=ID_BYTES)


def commit_waiting(pfs: Pfs, spout: SpoutPlan, *, whole: bool = True, limit: int | None = None) -> list[str]:
    """Commit the batches that wait, in order, at most `limit`; returns the commits' ids.

    Without `whole`, only what came after the newest batch that is committed is looked for: quick, but blind to what a
    helper left late that was cut off and replaced meanwhile. Raises `PipelineStopped`, `PipelineNotFound`,
    `BranchMoved` while somebody has a commit open on the branch, `PathConflict` for a file where the branch has a
    directory or the reverse, store errors.
    """
    pfs = pfs.acting_as(f"pipeline:{spout.name}")
    done: list[str] = []
    for key in waiting_batches(pfs, spout, whole=whole):
        if limit is not None and len(done) >= limit:
            break
        commit = _commit(pfs, spout, key)
        if commit is not None:
            done.append(commit)
    return done


def waiting_batches(pfs: Pfs, spout: SpoutPlan, *, whole: bool = True) -> Iterator[BatchKey]:
    """The batches that nobody has committed, in order."""
    with pfs.metadata.reader() as session:
        query = select(SpoutPosition).where(SpoutPosition.pipeline == spout.name)
        positions = {row.life: row.sequence for row in session.scalars(query)}
    after = None
    if positions and not whole:
        life = max(positions)
        after = BatchKey(spout.stream, life, positions[life])
    for key in list_batches(pfs.store, spout.stream, after):
        if key.sequence > positions.get(key.life, 0):
            yield key


def _commit(pfs: Pfs, spout: SpoutPlan, key: BatchKey) -> str | None:
    """Commit one batch; None if somebody else was faster."""
    batch = read_batch(pfs.store, key)
    append = not (spout.overwrite or batch.reason == OVERWRITE)
    # What a datum has written is removed with the datum; what a spout has written stays.
    files = [replace(entry, datum=None) for entry in batch.outputs if not is_marker(entry.path, spout.marker)]
    markers = [replace(entry, datum=None) for entry in batch.outputs if is_marker(entry.path, spout.marker)]
    description = f"batch {key.sequence} of life {key.life}"
    with pfs.new_content_writer() as writer, pfs.transaction():
        if not _advance(pfs, spout, key):
            return None
        edit = PutBatch(files, append=append, writer=writer, reader=pfs.content_reader)
        commit = pfs.commit_edit(spout.output, edit, description=description)
        if markers:
            noted = PutBatch(markers, append=False, writer=writer, reader=pfs.content_reader)
            pfs.commit_edit(spout.marker_branch, noted, description=description)
    return commit


def _advance(pfs: Pfs, spout: SpoutPlan, key: BatchKey) -> bool:
    """Move the position to the batch, in the caller's transaction; False if it is there already."""
    with pfs.metadata.session() as session:
        # Whoever else looks after this spout waits here until we are done.
        pipeline = session.get(Pipeline, spout.name, with_for_update=True, populate_existing=True)
        if pipeline is None:
            raise PipelineNotFound(f"pipeline {spout.name!r} was deleted")
        if pipeline.state == "stopped":
            raise PipelineStopped(f"pipeline {spout.name!r} is stopped ({pipeline.reason})")
        row = session.get(SpoutPosition, (spout.name, key.life), populate_existing=True)
        if row is None:
            row = SpoutPosition(pipeline=spout.name, life=key.life, sequence=0)
            session.add(row)
        if row.sequence >= key.sequence:
            return False
        row.sequence, row.updated = key.sequence, datetime.now(UTC)
    return True


@dataclass(frozen=True, slots=True)
class PutBatch:
    """Put the files of a batch in their order; with `append`, at the end of those that are there."""

    entries: Sequence[Entry]
    append: bool
    writer: ContentWriter
    reader: ContentReader
    optional: bool = False
    blind: bool = False

    def changes(self, files: Overlay) -> Iterator[Change]:
        """One put per file."""
        for entry in self.entries:
            if not self.append or files.entry(entry.path) is None:
                yield Put(entry)
                continue
            with self.reader.open(entry.content) as tail:
                source = Source(tail, entry.executable, entry.mtime_us)
                yield Put(appended(files, entry.path, source, self.writer, self.reader))
        self.writer.flush()


def kept_batches(store: ObjectStore, stream: str, positions: Mapping[str, int]) -> Iterator[str]:
    """Keys of the batches that are needed: those beyond the positions of their lives, and the last with a marker."""
    marked: BatchKey | None = None
    for key in list_batches(store, stream):
        marked = key if key.marked else marked
        if key.sequence > positions.get(key.life, 0):
            yield str(key)
    if marked is not None:
        yield str(marked)


def _marker(name: str) -> str:
    return name.strip("/")
