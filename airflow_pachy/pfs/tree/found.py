"""What a path of a tree can be. Apart from the code that finds it, for DAG files import it through pipeline specs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_pachy.pfs.tree.entries import Entry


@dataclass(frozen=True, slots=True)
class File:
    """A file of a tree."""

    entry: Entry

    @property
    def path(self) -> str:
        """Its path."""
        return self.entry.path

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return self.entry.content.size_bytes


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of a tree (`path` "" is the root), with the number and total size of all files below."""

    path: str
    file_count: int
    size_bytes: int
