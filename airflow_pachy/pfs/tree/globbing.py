"""Finding what a glob matches: a range of keys for its literal beginning, then one expression over the path column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_pachy.pfs.tree import functions
from airflow_pachy.pfs.tree.conflicts import with_ancestors
from airflow_pachy.pfs.tree.found import Directory, File
from airflow_pachy.pfs.tree.node import bisect
from airflow_pachy.pfs.tree.ranges import Slice, prefix_end, totals, walk
from airflow_pachy.pfs.tree.rows import entries_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from airflow_pachy.pfs.tree.glob import Glob
    from airflow_pachy.pfs.tree.node import Child
    from airflow_pachy.pfs.tree.nodes import NodeStore
    from airflow_pachy.pfs.tree.refs import NodeRef


def matches_of(nodes: NodeStore, root: NodeRef, glob: Glob, start: str) -> Iterator[File | Directory]:
    """Files and directories that `glob` matches, from the sort key `start` on, in path order, without the root."""
    for found in match_tables(nodes, root, glob, start):
        if isinstance(found, Directory):
            yield found
        else:
            yield from map(File, entries_of(found))


def match_tables(
    nodes: NodeStore, root: NodeRef, glob: Glob, start: str, columns: Sequence[str] | None = None
) -> Iterator[pa.Table | Directory]:
    """The same with files as rows of leaves, as many at a time as lie together; of their columns all or only some."""
    search = _Search(nodes, root, glob, start, columns)
    prefix = glob.literal_prefix
    for part in walk(nodes, root, max(prefix, start), prefix_end(prefix), fold=_one_match_at_most(glob.depth)):
        if isinstance(part, Slice):
            yield from search.in_slice(part)
            search.seen = str(part.leaf.keys[part.end - 1])
        else:
            yield from search.directories([_ancestor(part.first, glob.depth or 0)])
            search.seen = part.last


def matches_back(
    nodes: NodeStore, root: NodeRef, glob: Glob, start: str, before: str | None
) -> Iterator[File | Directory]:
    """The same in reverse, of what comes before the match `before`: a path, with a slash behind it for a directory."""
    search = _Search(nodes, root, glob, start)
    prefix = glob.literal_prefix
    first, end = max(prefix, start), prefix_end(prefix)
    if before is not None:
        end = min(end, before)
        # Directories above whose files all come later are in no slice.
        above = {name for name in _ancestors(before.removesuffix("/")) if _is_empty(nodes, root, f"{name}/", end)}
        yield from reversed([found for found in search.directories(above) if found.path in above])
    parts = walk(nodes, root, first, end, reverse=True, fold=_one_match_at_most(glob.depth))
    part = next(parts, None)
    while part is not None:
        ahead = next(parts, None)
        search.seen = "" if ahead is None else _last_key(ahead)
        if isinstance(part, Slice):
            for found in reversed(list(search.in_slice(part))):
                if isinstance(found, Directory):
                    yield found
                else:
                    yield from map(File, reversed(list(entries_of(found))))
        else:
            yield from reversed(list(search.directories([_ancestor(part.first, glob.depth or 0)])))
        part = ahead


def _ancestors(path: str) -> list[str]:
    segments = path.split("/")
    return ["/".join(segments[:count]) for count in range(1, len(segments))]


def _is_empty(nodes: NodeStore, root: NodeRef, start: str, end: str) -> bool:
    return next(walk(nodes, root, start, end), None) is None


def _last_key(part: Slice | Child) -> str:
    return str(part.leaf.keys[part.end - 1]) if isinstance(part, Slice) else part.last


@dataclass(slots=True)
class _Search:
    """One walk: `seen` is the last path of the part before, whose directories were met already."""

    nodes: NodeStore
    root: NodeRef
    glob: Glob
    start: str
    columns: Sequence[str] | None = None
    seen: str = ""

    def in_slice(self, part: Slice) -> Iterator[pa.Table | Directory]:
        """Matches among the rows and the directories above them."""
        rows = _matching_rows(part, self.glob)
        leaf = part.leaf.table if self.columns is None else part.leaf.table.select(self.columns)
        if len(rows) == part.end - part.start:
            table, keys = leaf[part.start : part.end], part.leaf.keys[part.start : part.end]
        else:
            table, keys = functions.take(leaf, rows), functions.take(part.leaf.keys, rows)
        place = 0
        for directory in self.directories(_directories_of(part.leaf.keys[part.start : part.end])):
            end = bisect(keys, f"{directory.path}/", place)
            if end > place:
                yield table[place:end]
            yield directory
            place = end
        if place < len(keys):
            yield table[place:]

    def directories(self, names: Iterable[str]) -> Iterator[Directory]:
        """Those of the directories, and of the ones above, that match and were not met before."""
        matching = (name for name in with_ancestors(names) if self.glob.matches(name))
        for name in sorted(matching, key=lambda name: f"{name}/"):
            if f"{name}/" >= self.start and not self.seen.startswith(f"{name}/"):
                yield Directory(name, *totals(self.nodes, self.root, f"{name}/", f"{name}0"))


def _one_match_at_most(depth: int | None) -> Callable[[Child], bool]:
    """A node wholly inside one directory of the pattern's depth holds no other match than directories above."""

    def fold(child: Child) -> bool:
        if depth is None:
            return False
        directory = _ancestor(child.first, depth)
        return directory != "" and child.last.startswith(f"{directory}/")

    return fold


def _directories_of(paths: Any) -> list[str]:
    """The directories right above the files of a string column."""
    inside = functions.call("filter", paths, functions.match_substring(paths, "/"))
    if not len(inside):
        return []
    found: list[str] = functions.call("unique", functions.replace_substring_regex(inside, "/[^/]*$", "")).to_pylist()
    return found


def _ancestor(path: str, depth: int) -> str:
    """The directory of `depth` segments above `path`, or "" if it has no more segments than that."""
    segments = path.split("/", depth)
    return "/".join(segments[:depth]) if len(segments) > depth else ""


def _matching_rows(part: Slice, glob: Glob) -> Any:
    keys = part.leaf.keys[part.start : part.end]
    if glob.linear_regex is not None:
        hits = functions.match_substring_regex(keys, glob.linear_regex)
        return part.start + functions.call("indices_nonzero", hits).to_numpy().astype(np.int64)
    fullmatch = glob.regex.fullmatch
    return [part.start + row for row, key in enumerate(keys.to_pylist()) if fullmatch(key)]
