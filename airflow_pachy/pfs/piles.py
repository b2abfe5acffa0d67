"""Entries on their way into a commit, more than should be held in memory: long lists move into a tree of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_pachy.pfs.tree.entries import Entry, Put

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.tree import Tree

_KEPT_ENTRIES = 50_000


class EntryPile:
    """Entries of different paths, in any order; can be read again and again. `scratch` is an empty tree."""

    def __init__(self, scratch: Tree) -> None:
        self._tree = scratch
        self._recent: dict[str, Entry] = {}

    def __bool__(self) -> bool:
        return bool(self._recent) or self._tree.root is not None

    def __iter__(self) -> Iterator[Entry]:
        yield from self._tree.entries()
        yield from self._recent.values()

    def add(self, entry: Entry) -> None:
        """One more."""
        self._recent[entry.path] = entry
        if len(self._recent) >= _KEPT_ENTRIES:
            self._tree = self._tree.apply(Put(self._recent[path]) for path in sorted(self._recent, key=str.encode))
            self._recent = {}


@dataclass(frozen=True, slots=True)
class EntriesBelow:
    """The file at a path of a tree, or all files below it, read from the tree each time."""

    tree: Tree
    path: str

    def __iter__(self) -> Iterator[Entry]:
        entry = self.tree.get(self.path) if self.path else None
        if entry is not None:
            yield entry
        else:
            yield from self.tree.entries(f"{self.path}/" if self.path else "")
