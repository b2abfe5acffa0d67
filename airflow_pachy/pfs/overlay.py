"""Changes on top of a tree, readable before they are merged into it.

An `Overlay` answers "what is at this path now" for commits that are still being written, refuses a file
where a directory is (and the reverse) at the moment it is put, and merges itself into its base in bulk:
writing one leaf per put would cost more than the put. Pending changes are folded into the base when there are many,
so memory stays bounded however large the commit grows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from airflow_pachy.errors import PathConflict
from airflow_pachy.pfs.paths import shown_path
from airflow_pachy.pfs.tree import Directory
from airflow_pachy.pfs.tree.entries import Change, Entry, Put, Remove
from airflow_pachy.pfs.tree.rows import entries_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow as pa

    from airflow_pachy.pfs.tree import Tree

FOLD_AT = 50_000


class InPathOrder(Iterator[Change]):
    """Puts that come in path order, one to a path, as rows of leaves: a tree takes them as they come, however many.

    Whoever looks at changes one by one iterates over this; whoever wants them all takes `tables` and then calls
    `settle`, which returns when every content in them is durable: trees are made while contents are still on their way.
    """

    def __init__(self, tables: Iterator[pa.Table], settle: Callable[[], None]) -> None:
        self.tables = tables
        self.settle = settle
        self._changes = self._one_by_one()

    def __next__(self) -> Change:
        return next(self._changes)

    def _one_by_one(self) -> Iterator[Change]:
        for table in self.tables:
            yield from (Put(entry) for entry in entries_of(table))
        self.settle()


class Overlay:
    """A tree plus pending changes. Not thread-safe: one writer or reader holds it at a time."""

    def __init__(self, base: Tree) -> None:
        self._base = base
        self._puts: dict[str, Entry] = {}
        self._directories: Counter[str] = Counter()
        self._removed: dict[str, Remove] = {}

    def __len__(self) -> int:
        return len(self._puts) + len(self._removed)

    def add(self, change: Change) -> None:
        """Take one more change, which sees those before it; raises `PathConflict`."""
        self.check([change])
        self.extend([change])

    def extend(self, changes: Iterable[Change]) -> None:
        """Take changes without looking at each path: a conflict among them comes to light when they are merged."""
        if isinstance(changes, InPathOrder) and not len(self):
            self._base = self._base.put_rows(changes.tables)
            changes.settle()
            return
        for change in changes:
            if isinstance(change, Put):
                self._set(change.entry)
            else:
                self._remove(change)
            if len(self) >= FOLD_AT:
                self.tree()

    def check(self, changes: Sequence[Change]) -> None:
        """Raise `PathConflict` if these changes, together, would make a path both a file and a directory."""
        removed = {change.path: change for change in changes if isinstance(change, Remove)}
        put = {change.entry.path for change in changes if isinstance(change, Put)}
        fine: set[str] = set()
        for path in put:
            if path not in self._puts and not _covers(removed, path) and self.is_directory(path):
                raise _file_over_directory(path)
            for directory in parents(path):
                if directory in fine:
                    break
                if directory in put or (not _covers(removed, directory) and self.entry(directory) is not None):
                    raise _file_in_the_way(directory, path)
                fine.add(directory)

    def entry(self, path: str) -> Entry | None:
        """The file at `path`, or None."""
        if (entry := self._puts.get(path)) is not None:
            return entry
        return None if self._is_removed(path) else self._base.get(path)

    def is_directory(self, path: str) -> bool:
        """Whether there are files below `path`."""
        if path == "" or self._directories[path]:
            return True
        if not isinstance(self._base.stat(path), Directory):
            return False
        if not self._removed:
            return True
        return any(not self._is_removed(entry.path) for entry in self._base.entries(f"{path}/"))

    def entries(self, path: str) -> Iterator[Entry]:
        """The file at `path`, or all files below it, in path order."""
        tree = self.tree()
        if (entry := tree.get(path)) is not None:
            yield entry
            return
        yield from tree.entries(f"{path}/" if path else "")

    def tree(self) -> Tree:
        """Merge what is pending; the result becomes the base. Raises `PathConflict`."""
        # Removals go first: among pending changes a put always came after a removal that covers it.
        if self._removed:
            self._base = self._base.apply(self._removed[path] for path in sorted(self._removed, key=str.encode))
        if self._puts:
            self._base = self._base.apply(Put(self._puts[path]) for path in sorted(self._puts, key=str.encode))
        self._puts, self._directories, self._removed = {}, Counter(), {}
        return self._base

    def _set(self, entry: Entry) -> None:
        if entry.path not in self._puts:
            self._directories.update(parents(entry.path))
        self._puts[entry.path] = entry

    def _remove(self, change: Remove) -> None:
        prefix = f"{change.path}/" if change.path else ""
        gone = [path for path in self._puts if path == change.path or (change.subtree and path.startswith(prefix))]
        for path in gone:
            del self._puts[path]
            self._directories.subtract(parents(path))
        earlier = self._removed.get(change.path)
        if earlier is None or not earlier.subtree:
            self._removed[change.path] = change

    def _is_removed(self, path: str) -> bool:
        return bool(self._removed) and _covers(self._removed, path)


def _covers(removed: Mapping[str, Remove], path: str) -> bool:
    """Whether what was at `path` is gone after these removals."""
    if not removed:
        return False
    if path in removed:
        return True
    return any((gone := removed.get(up)) is not None and gone.subtree for up in (*parents(path), ""))


def _file_over_directory(path: str) -> PathConflict:
    shown = shown_path(path, directory=True)
    return PathConflict(f"{shown} is a directory, so no file can be put there; delete it first or choose another path")


def _file_in_the_way(directory: str, path: str) -> PathConflict:
    return PathConflict(
        f"{shown_path(directory)} is a file, so {shown_path(path)} cannot be below it; "
        "delete it first or choose another path"
    )


def parents(path: str) -> Iterator[str]:
    """The directories above `path`, nearest first, without the root."""
    end = path.rfind("/")
    while end > 0:
        path = path[:end]
        yield path
        end = path.rfind("/")


def rebase(base: Tree, mine: Tree, theirs: Tree) -> tuple[Tree, list[str]]:
    """Carry what `mine` changed since `base` over to `theirs`; costs what was changed.

    Returns the new tree and the paths (at most ten) that both sides changed to different things; there, mine wins.
    """
    if base.root == theirs.root:
        return mine, []
    both: list[str] = []

    def changes() -> Iterator[Change]:
        # Attributes of directories (their paths begin with NUL) sort first.
        for diff in chain(mine.diff(base, "\0"), mine.diff(base)):
            now = theirs.get(diff.path)
            if not _same(now, diff.old) and not _same(now, diff.new) and len(both) < 10:
                both.append(diff.path)
            yield Remove(diff.path) if diff.new is None else Put(diff.new)

    return theirs.apply(changes()), both


def _same(one: Entry | None, other: Entry | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.content.hash == other.content.hash and one.executable == other.executable
