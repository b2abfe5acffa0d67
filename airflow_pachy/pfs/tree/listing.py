"""Listing one directory: what lies below its subdirectories is counted, not opened."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from airflow_pachy.pfs.tree.found import Directory, File
from airflow_pachy.pfs.tree.ranges import Slice, prefix_end, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.tree.node import Child
    from airflow_pachy.pfs.tree.nodes import NodeStore
    from airflow_pachy.pfs.tree.refs import NodeRef


def children_of(
    nodes: NodeStore, root: NodeRef | None, prefix: str, start: str, *, reverse: bool, before: str | None = None
) -> Iterator[File | Directory]:
    """Files and directories right below `prefix` ("" or ending with a slash) in `[start, before)`, in path order.

    A directory sorts as if its path ended with a slash, as its files do.
    """
    depth = len(prefix)

    def in_one_directory(child: Child) -> bool:
        slash = child.first.find("/", depth)
        return slash >= 0 and child.last.startswith(child.first[: slash + 1])

    pending: Directory | None = None
    end = prefix_end(prefix) if before is None else before
    for part in walk(nodes, root, max(start, prefix), end, reverse=reverse, fold=in_one_directory):
        if isinstance(part, Slice):
            pieces = list(_pieces(part, depth))
        else:
            name = part.first[: part.first.index("/", depth)]
            pieces = [Directory(name, part.ref.rows, part.ref.bytes)]
        for piece in reversed(pieces) if reverse else pieces:
            if pending is not None and isinstance(piece, Directory) and piece.path == pending.path:
                pending = Directory(
                    pending.path, pending.file_count + piece.file_count, pending.size_bytes + piece.size_bytes
                )
                continue
            if pending is not None:
                yield pending
                pending = None
            if isinstance(piece, Directory):
                pending = piece
            else:
                yield from map(File, piece.entries(reverse=reverse))
    if pending is not None:
        yield pending


def _pieces(part: Slice, depth: int) -> Iterator[Directory | Slice]:
    """The slice as runs of files and as directories."""
    keys = part.keys()
    sizes = part.leaf.table["size"][part.start : part.end].to_numpy()
    at = files_from = 0
    while at < len(keys):
        slash = keys[at].find("/", depth)
        if slash < 0:
            at += 1
            continue
        if files_from < at:
            yield Slice(part.leaf, part.start + files_from, part.start + at)
        name = keys[at][:slash]
        end = bisect_left(keys, f"{name}0", at)
        yield Directory(name, end - at, int(sizes[at:end].sum()))
        at = files_from = end
    if files_from < at:
        yield Slice(part.leaf, part.start + files_from, part.start + at)
