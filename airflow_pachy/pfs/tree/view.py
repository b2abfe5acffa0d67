"""`Tree`: a sorted, immutable, history-independent map from path to entry, kept as nodes in an object store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blake3 import blake3

from airflow_pachy.errors import PathNotFound
from airflow_pachy.lazy import LazyModule
from airflow_pachy.pfs.tree.found import Directory, File
from airflow_pachy.pfs.tree.node import PAST_EVERY_KEY
from airflow_pachy.pfs.tree.nodes import NodeStore
from airflow_pachy.pfs.tree.ranges import FIRST_PATH, Slice, prefix_end, totals, walk
from airflow_pachy.pfs.tree.rows import entries_of, leaf_table
from airflow_pachy.pfs.tree.splitter import FORMAT_1, Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.tree import bulk, conflicts, diffing, globbing, listing, merge
    from airflow_pachy.pfs.tree import glob as globs
    from airflow_pachy.pfs.tree.cache import NodeCache
    from airflow_pachy.pfs.tree.diffing import TreeDiff
    from airflow_pachy.pfs.tree.entries import Change, Entry
    from airflow_pachy.pfs.tree.refs import NodeRef
else:
    # Of these an operation needs one or none.
    bulk = LazyModule("airflow_pachy.pfs.tree.bulk")
    conflicts = LazyModule("airflow_pachy.pfs.tree.conflicts")
    diffing = LazyModule("airflow_pachy.pfs.tree.diffing")
    globbing = LazyModule("airflow_pachy.pfs.tree.globbing")
    globs = LazyModule("airflow_pachy.pfs.tree.glob")
    listing = LazyModule("airflow_pachy.pfs.tree.listing")
    merge = LazyModule("airflow_pachy.pfs.tree.merge")

_MERGED_ROWS = 250_000


class Tree:
    """The files of one commit. Thread-safe; reading opens only the nodes that the answer needs.

    `root` is None for a tree without files. Any method may raise `Corrupt` or the store's errors.
    Rows whose path begins with NUL are attributes of directories; they are reached by asking for exactly that: with
    `get`, or with a prefix that begins with NUL.
    """

    def __init__(
        self, store: ObjectStore, root: NodeRef | None, cache: NodeCache | None = None, *, layout: Layout = FORMAT_1
    ) -> None:
        self._nodes = NodeStore(store, cache)
        self._layout = layout
        self.root = root

    @property
    def node_store(self) -> NodeStore:
        """What its nodes are read with."""
        return self._nodes

    @property
    def layout(self) -> Layout:
        """How large its nodes are to be."""
        return self._layout

    def __len__(self) -> int:
        """Number of files."""
        return 0 if self.root is None else self.root.rows - self._attributes()[0]

    def __bool__(self) -> bool:
        # A tree without files is still a tree: `if tree` must not depend on its length.
        return True

    @property
    def size_bytes(self) -> int:
        """Total size of all files."""
        return 0 if self.root is None else self.root.bytes - self._attributes()[1]

    def get(self, path: str) -> Entry | None:
        """The file at `path`, or None."""
        ref = self.root
        while ref is not None:
            node = self._nodes.load(ref)
            place = node.bisect(path)
            if ref.level == 0:
                return next(entries_of(node.table[place : place + 1])) if node.has(place, path) else None
            ref = node.children[place].ref if place < len(node) else None
        return None

    def entries(self, prefix: str = "", *, after: str | None = None, reverse: bool = False) -> Iterator[Entry]:
        """Files whose path starts with `prefix` (a plain string), in path order; `after` is exclusive."""
        start, end = prefix or FIRST_PATH, prefix_end(prefix)
        if after is not None:
            start, end = (start, min(end, after)) if reverse else (max(start, after + "\0"), end)
        for part in walk(self._nodes, self.root, start, end, reverse=reverse):
            if isinstance(part, Slice):
                yield from part.entries(reverse=reverse)

    def has_prefix(self, prefix: str) -> bool:
        """Whether any file's path starts with `prefix`."""
        return next(walk(self._nodes, self.root, prefix, prefix_end(prefix)), None) is not None

    def stat(self, path: str) -> File | Directory | None:
        """What is at `path`; `""` is the root directory, which always exists."""
        if path == "":
            return Directory("", len(self), self.size_bytes)
        if (entry := self.get(path)) is not None:
            return File(entry)
        count, size = totals(self._nodes, self.root, f"{path}/", f"{path}0")
        return Directory(path, count, size) if count else None

    def list(
        self, directory: str = "", *, after: str | None = None, reverse: bool = False
    ) -> Iterator[File | Directory]:
        """What is right below `directory`, in path order; `after` is a child's path, exclusive.

        A directory sorts as if its path ended with a slash. Nothing for a path that is no directory.
        """
        prefix = f"{directory}/" if directory else ""
        start = (prefix or FIRST_PATH) if after is None else self._behind(after)
        if reverse and after is not None:
            yield from self._list_before(prefix, after)
            return
        yield from listing.children_of(self._nodes, self.root, prefix, start, reverse=reverse)

    def glob(self, pattern: str, *, after: str | None = None, reverse: bool = False) -> Iterator[File | Directory]:
        """Files and directories that `pattern` matches, in path order; `after` is a match's path, exclusive.

        Raises `InvalidGlob`. See `airflow_pachy.pfs.tree.glob` for the grammar.
        """
        glob = globs.compile_glob(pattern)
        if glob.is_root:
            if after is None:
                yield Directory("", len(self), self.size_bytes)
        elif glob.is_literal:
            found = self.stat(glob.literal_prefix)
            if found is not None and (after is None or (found.path < after if reverse else found.path > after)):
                yield found
        elif self.root is not None and reverse:
            before = None if after is None else f"{after}/" if self._is_directory(after) else after
            yield from globbing.matches_back(self._nodes, self.root, glob, FIRST_PATH, before)
        elif self.root is not None:
            start = FIRST_PATH if after is None else self._following(after)
            yield from globbing.matches_of(self._nodes, self.root, glob, start)

    def glob_tables(self, pattern: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table | Directory]:
        """The same with files as rows of leaves, as many at a time as lie together.

        They have the columns of `schema.LEAF`, or only those that are named: who needs few saves copying the others.
        """
        glob = globs.compile_glob(pattern)
        if self.root is not None and not glob.is_root and not glob.is_literal:
            yield from globbing.match_tables(self._nodes, self.root, glob, FIRST_PATH, columns)
            return
        for found in self.glob(pattern):
            if isinstance(found, Directory):
                yield found
            else:
                table = leaf_table([found.entry])
                yield table if columns is None else table.select(columns)

    def hash_of(self, path: str) -> bytes:
        """32 bytes that change when anything at or below `path` does: a file's content hash; for a directory
        BLAKE3 over the files below. Raises `PathNotFound`."""
        if path == "":
            return bytes.fromhex(self.root.id) if self.root is not None else blake3(b"pfs1-directory").digest()
        if (entry := self.get(path)) is not None:
            return entry.content.hash
        prefix = f"{path}/"
        hasher = blake3(b"pfs1-directory")
        empty = True
        for part in walk(self._nodes, self.root, prefix, prefix_end(prefix)):
            if isinstance(part, Slice):
                empty = False
                table = part.leaf.table[part.start : part.end]
                digests: Any = table["hash"].to_pylist()
                executable: Any = table["executable"].to_pylist()
                for name, digest, is_executable in zip(part.keys(), digests, executable, strict=True):
                    relative = name[len(prefix) :].encode()
                    hasher.update(len(relative).to_bytes(4, "big") + relative + digest + bytes([is_executable]))
        if empty:
            raise PathNotFound(f"there is no file or directory /{path}; list its parent directory to see what there is")
        return hasher.digest()

    def diff(self, older: Tree, prefix: str = "", *, contents: bool = True) -> Iterator[TreeDiff]:
        """Files that differ from `older` in content or exec bit, in path order, of paths that start with `prefix`.

        Without `contents`, entries do not say where these lie, as those of an `Outline`: that is half of the work.
        """
        limits = prefix or FIRST_PATH, prefix_end(prefix)
        return diffing.diff_trees(self._nodes, self.root, older.root, limits, contents=contents)

    def apply(self, changes: Iterable[Change]) -> Tree:
        """A tree with the changes made, which must come in path order (`sorted_changes`); this one stays as it is.

        Costs what is changed: touched nodes are read and written anew, all others are shared. Raises `PathConflict`
        when a path would be both file and directory, `InvalidArgument` for changes that are out of order.
        """
        check = conflicts.ConflictCheck()
        root = merge.apply_changes(self._nodes, self.root, changes, self._layout, check)
        tree = Tree(self._nodes.store, root, self._nodes.cache, layout=self._layout)
        check.finish(tree)
        return tree

    def tables(self, prefix: str = "", *, after: str = "") -> Iterator[pa.Table]:
        """`entries` as columns (see `schema.LEAF`), a leaf at a time; `after` is exclusive."""
        start = max(prefix or FIRST_PATH, f"{after}\0" if after else "")
        for part in walk(self._nodes, self.root, start, prefix_end(prefix)):
            if isinstance(part, Slice):
                yield part.leaf.table[part.start : part.end]

    def find(self, keys: Any) -> pa.Table:
        """The rows of those of `keys` (a string column, ascending) that are here; opens the leaves they lie in."""
        return bulk.concat_rows(bulk.find_rows(self._nodes, self.root, keys))

    def diff_tables(self, older: Tree) -> Iterator[tuple[pa.Table, pa.Table]]:
        """`diff` as columns: rows that are not in `older`, and rows of `older` that are not here, range by range."""
        return diffing.diff_tables(self._nodes, self.root, older.root, (FIRST_PATH, PAST_EVERY_KEY))

    def merge(self, removed: Any, added: pa.Table, *, keys_are_paths: bool = True) -> Tree:
        """`apply` for columns: without the rows of `removed` (a string column, ascending), with those of `added`.

        `added` has the columns of `schema.LEAF`, ascending by path. Raises `InvalidArgument` for another order, and
        `PathConflict` unless `keys_are_paths` says that keys with slashes mean nothing.
        """
        check = conflicts.ConflictCheck() if keys_are_paths else None
        root = bulk.merge_tables(self._nodes, self.root, bulk.RowChanges(removed, added), self._layout, check)
        tree = Tree(self._nodes.store, root, self._nodes.cache, layout=self._layout)
        if check is not None:
            check.finish(tree)
        return tree

    def put_rows(self, tables: Iterable[pa.Table]) -> Tree:
        """`apply` for puts that come as rows of leaves, in path order from first to last and one to a path.

        However many there are, no more than some hundred thousand are in memory. Raises as `merge` does.
        """
        tree = self
        for table in bulk.gathered(tables, _MERGED_ROWS):
            tree = tree.merge(bulk.NO_KEYS, table)
        return tree

    def nodes(self) -> Iterator[NodeRef]:
        """Every node of the tree, parents before children."""
        return iter(()) if self.root is None else merge.iterate_levels(self._nodes, self.root)

    def _attributes(self) -> tuple[int, int]:
        """Number and bytes of the rows that are attributes of directories, not files."""
        return totals(self._nodes, self.root, "", FIRST_PATH)

    def _is_directory(self, path: str) -> bool:
        return self.get(path) is None and self.has_prefix(f"{path}/")

    def _behind(self, path: str) -> str:
        """The least key after everything at and below `path`."""
        return f"{path}0" if self._is_directory(path) else f"{path}\0"

    def _following(self, path: str) -> str:
        """The least sort key (of a file its path, of a directory its path and a slash) after that of `path`."""
        return f"{path}/\0" if self._is_directory(path) else f"{path}\0"

    def _list_before(self, prefix: str, after: str) -> Iterator[File | Directory]:
        limit = f"{after}/" if self._is_directory(after) else after
        return listing.children_of(self._nodes, self.root, prefix, prefix or FIRST_PATH, reverse=True, before=limit)
