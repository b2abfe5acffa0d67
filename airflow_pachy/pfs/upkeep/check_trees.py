"""Trees and contents: every node read and checked against its id, every pack there and long enough."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from sqlalchemy import delete, select

from airflow_pachy.errors import Corrupt, ObjectNotFound
from airflow_pachy.metadata.models import Repo, StoredObject
from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.content.spans import Piece, plan_spans
from airflow_pachy.pfs.rows import pages
from airflow_pachy.pfs.tree import NodeCache, NodeRef
from airflow_pachy.pfs.tree.nodes import NodeStore
from airflow_pachy.pfs.tree.rows import entries_of
from airflow_pachy.pfs.tree.schema import SEGMENT, single
from airflow_pachy.pfs.upkeep.findings import Finding, Problem
from airflow_pachy.pfs.upkeep.keepers import all_keepers
from airflow_pachy.pfs.upkeep.leaves import chunks_of
from airflow_pachy.pfs.upkeep.ledger import Ledger, State
from airflow_pachy.pfs.upkeep.marking import Marker
from airflow_pachy.pfs.upkeep.roots import commits_of, mark_commits

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.tree.node import Node
    from airflow_pachy.pfs.upkeep.marking import Progress

_CACHE_BYTES = 64 << 20
_READS = 8
_ADVICE = "restore it from a backup of the bucket, or forget the commit: pachy forget commit"


@dataclass(frozen=True, slots=True)
class TreeCheck:
    """Checks what commits and pipelines lead to. `deep` reads all contents."""

    root: Root
    deep: bool
    progress: Progress

    def run(self) -> Iterator[Finding]:
        """What is missing or damaged, with the first commit that needs it."""
        sizes = {info.key: info.size_bytes for info in self.root.store.list_keys("packs/")}
        with Ledger() as ledger, ThreadPoolExecutor(_READS, thread_name_prefix="chunks") as pool:
            nodes = NodeStore(self.root.store, NodeCache(_CACHE_BYTES))
            with self.root.metadata.reader() as session:
                repos = session.scalars(select(Repo.name).order_by(Repo.name)).all()
            for repo in repos:
                for row in commits_of(self.root, repo):
                    if row.tree is not None:
                        walk = _Walk(self, nodes, ledger, sizes, pool, f"commit {repo}@{row.id}")
                        yield from walk.tree(NodeRef.parse(row.tree))
            yield from self._offered(sizes)
        yield from self._kept(sizes)

    def _offered(self, sizes: dict[str, int]) -> Iterator[Finding]:
        query = select(StoredObject.hash, StoredObject.object, StoredObject.position, StoredObject.size_bytes)
        for row in pages(self.root, query, (StoredObject.hash,)):
            if sizes.get(row.object, -1) < row.position + row.size_bytes:
                problem = Problem(
                    f"it offers bytes of {row.object} that are not there", f"chunk {row.hash[:16]}", "--fix deletes it"
                )
                yield Finding(problem, partial(self._withdraw, row.hash))

    def _withdraw(self, digest: str) -> None:
        with self.root.metadata.session() as session:
            session.execute(delete(StoredObject).where(StoredObject.hash == digest))

    def _kept(self, sizes: dict[str, int]) -> Iterator[Finding]:
        """What open commits, pipelines and jobs need: as garbage collection reads it."""
        with Ledger() as ledger, Marker(self.root.store, ledger, self.progress) as marker:
            try:
                mark_commits(self.root, marker, datetime.now(UTC))
                for keeper in all_keepers():
                    keeper.mark(self.root, marker, datetime.now(UTC))
            except Corrupt as error:
                yield Finding(Problem(str(error), "open commits, pipelines and jobs", "this was the first of its kind"))
                return
            for pack in ledger.marked("packs/"):
                if pack not in sizes:
                    _, owner = ledger.state(pack) or (State.LIVE, "")
                    whose = f"repo {owner}" if owner else "pipelines"
                    yield Finding(Problem("it is not there", f"pack {pack}", f"{whose} needs it; {_ADVICE}"))


@dataclass(frozen=True, slots=True)
class _Walk:
    """The nodes of one commit that none before it had."""

    check: TreeCheck
    nodes: NodeStore
    ledger: Ledger
    sizes: dict[str, int]
    pool: ThreadPoolExecutor
    whose: str

    def tree(self, ref: NodeRef) -> Iterator[Finding]:
        if not self.ledger.mark(ref.object, State.LIVE, self.whose):
            return
        self.check.progress("check", 1)
        try:
            node = self.nodes.load(ref)
        except (Corrupt, ObjectNotFound) as error:
            yield self._finding(f"node {ref.object}: {error}")
            return
        found = _counts(node)
        if found != (ref.rows, ref.bytes):
            yield self._finding(
                f"node {ref.object} has {found[0]} files of {found[1]} bytes, not {ref.rows} of {ref.bytes}"
            )
        if ref.level:
            for child in node.children:
                yield from self.tree(child.ref)
        else:
            yield from self._leaf(node.table, ref)

    def _finding(self, what: str) -> Finding:
        return Finding(Problem(what, self.whose, _ADVICE))

    def _leaf(self, table: pa.Table, ref: NodeRef) -> Iterator[Finding]:
        for chunks in chunks_of(table["segments"]):
            size = self.sizes.get(chunks.pack)
            if size is None:
                yield self._finding(f"pack {chunks.pack} is not there")
            elif size < int((chunks.offsets + chunks.lengths).max()):
                yield self._finding(f"pack {chunks.pack} was cut short: it has {size} bytes")
        for path, size, stored in _wrong_sizes(table):
            yield self._finding(f"/{path} has {stored} bytes stored, not {size} (node {ref.object})")
        if self.check.deep:
            yield from self._contents(table)

    def _contents(self, table: pa.Table) -> Iterator[Finding]:
        pieces: list[Piece[tuple[str, bytes]]] = []
        for entry in entries_of(table):
            content = entry.content
            if not content.segments and hash_bytes(content.inline or b"") != content.hash:
                yield self._finding(f"/{entry.path} does not have the content that its hash says")
            for one in content.segments:
                if one.object in self.sizes and self.ledger.mark(f"{one.object}@{one.offset}", State.LIVE, ""):
                    digest = content.hash if len(content.segments) == 1 else one.hash or b""
                    pieces.append(Piece(one.object, one.offset, one.length, (entry.path, digest)))
        for damaged in self.pool.map(self._damaged, plan_spans(pieces)):
            for path in damaged:
                yield self._finding(f"/{path} does not have the content that its hash says")

    def _damaged(self, span: Any) -> list[str]:
        body = self.check.root.store.get(span.object, offset=span.offset, length=span.end - span.offset)
        self.check.progress("content", len(span.pieces))
        return [
            piece.purpose[0]
            for piece in span.pieces
            if hash_bytes(body[piece.offset - span.offset :][: piece.length]) != piece.purpose[1]
        ]


def _wrong_sizes(table: pa.Table) -> Iterator[tuple[str, int, int]]:
    """Paths, sizes and stored bytes of files whose contents are not as long as they should be."""
    sizes = table["size"].to_numpy()
    inline: Any = pc.fill_null(pc.binary_length(table["inline"]), 0)
    stored = inline.to_numpy().astype(np.int64)
    segments = single(table["segments"])
    lengths: Any = pc.struct_field(pc.list_flatten(segments), SEGMENT.get_field_index("length"))
    np.add.at(stored, pc.list_parent_indices(segments).to_numpy(), lengths.to_numpy(zero_copy_only=False))
    for place in np.flatnonzero(stored != sizes):
        yield table["path"][int(place)].as_py(), int(sizes[place]), int(stored[place])


def _counts(node: Node) -> tuple[int, int]:
    """Files and bytes below a node."""
    if node.level == 0:
        return len(node), int(pc.sum(node.table["size"]).as_py() or 0)
    return int(pc.sum(node.table["rows"]).as_py()), int(pc.sum(node.table["bytes"]).as_py())
