"""Many keys of one tree at once: point reads when they are few, one scan when they are many."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pfs.tree.entries import Entry

# A point read costs about as much as scanning this many entries of a leaf that is in memory.
_SCAN_FACTOR = 20


def look_up(tree: Tree, keys: Sequence[str]) -> Iterator[tuple[str, Entry | None]]:
    """For each of the ascending `keys`, its entry or None."""
    if len(keys) * _SCAN_FACTOR < len(tree) or not len(tree):
        for key in keys:
            yield key, tree.get(key)
        return
    entries = tree.entries()
    current = next(entries, None)
    for key in keys:
        while current is not None and current.path < key:
            current = next(entries, None)
        yield key, current if current is not None and current.path == key else None
