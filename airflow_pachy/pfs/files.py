"""Reading: what a commit holds at a path, below a path, matching a pattern, and what differs between two commits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from airflow_pachy.errors import InvalidArgument, InvalidPath, PathNotFound
from airflow_pachy.pfs.describe_files import describe_entry, describe_node
from airflow_pachy.pfs.edits import is_glob
from airflow_pachy.pfs.headers import joined
from airflow_pachy.pfs.infos import Diff, FileInfo
from airflow_pachy.pfs.names import did_you_mean
from airflow_pachy.pfs.overlay import parents
from airflow_pachy.pfs.paths import below, clean_path, shown_path
from airflow_pachy.pfs.tree import Directory, File, Tree, compile_glob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_pachy.pfs.content import ContentReader
    from airflow_pachy.pfs.tree.entries import Entry

_GUESS_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one commit. `commit` is its address, as shown in answers and errors."""

    tree: Tree
    commit: str
    reader: ContentReader

    def entry(self, path: str) -> Entry:
        """The file at `path`; raises `PathNotFound`, or `InvalidPath` for a directory."""
        entry = self.tree.get(path) if path else None
        if entry is not None:
            return entry
        if isinstance(self.node(path), Directory):
            raise InvalidPath(
                f"{self.commit}:{shown_path(path, directory=True)} is a directory; list it, or get it with get_dir"
            )
        raise self._not_found(path)

    def node(self, path: str) -> File | Directory:
        """The file or directory at `path`; raises `PathNotFound`."""
        node = self.tree.stat(path)
        if node is None:
            raise self._not_found(path)
        return node

    def read(self, path: str, offset: int, length: int | None) -> bytes:
        """Bytes of a file; beyond its end there are none."""
        if offset < 0 or (length is not None and length < 0):
            raise InvalidArgument(f"offset and length must be 0 or more, not {offset} and {length}")
        content = self.entry(path).content
        if offset >= content.size_bytes or length == 0:
            return b""
        return self.reader.read(content, offset, length)

    def open(self, path: str) -> BinaryIO:
        """A file to read from, seekable."""
        return self.reader.open(self.entry(path).content)

    def materialise(self, path: str, target: Path, progress: Callable[[int, int], None] | None) -> None:
        """Write the file or the directory's files, or all that a pattern matches, below `target`.

        What a pattern matches keeps its path below the last directory that the pattern names without wildcards.
        """
        node = self.tree.stat(path)
        if isinstance(node, Directory):
            target.mkdir(parents=True, exist_ok=True)
            prefix = f"{path}/" if path else ""
            tables = self.tree.tables(prefix)
            self.reader.materialise_tables(tables, str(target), skipped=len(prefix), progress=progress)
            return
        if isinstance(node, File):
            entries = iter([node.entry])
            base = "/".join(path.split("/")[:-1])
        elif is_glob(path):
            entries = self.matching(shown_path(path))
            base = compile_glob(shown_path(path)).literal_prefix.rpartition("/")[0]
        else:
            raise self._not_found(path)
        target.mkdir(parents=True, exist_ok=True)
        # Strings, for a Path takes longer to make than a small file to write.
        items = ((entry, f"{target}/{below(entry.path, base)}") for entry in entries)
        self.reader.materialise(items, progress=progress)

    def matching(self, pattern: str) -> Iterator[Entry]:
        """Files that a pattern matches and those below directories it matches, each once, in path order."""
        inside: str | None = None
        seen = False
        for node in self.tree.glob(pattern):
            # A directory comes before what is in it, which was yielded with it.
            if inside is not None and node.path.startswith(inside):
                continue
            seen = True
            if isinstance(node, File):
                yield node.entry
            else:
                inside = f"{node.path}/" if node.path else ""
                yield from self.tree.entries(inside)
        if not seen:
            raise PathNotFound(f"nothing in {self.commit} matches {pattern!r}; see what is there with list_file")

    def join(self, pattern: str) -> Iterator[bytes]:
        """The bytes of all files that `matching` finds."""
        return joined(self.tree, self.matching(pattern), self.reader)

    def inspect(self, path: str) -> FileInfo:
        """What is at `path`, with its content hash also for a directory."""
        node = self.node(path)
        return describe_node(node, self.commit, hash_=self.tree.hash_of(path))

    def list(self, path: str, *, after: str | None, limit: int | None, reverse: bool) -> Iterator[FileInfo]:
        """A directory's children in path order, or the file itself; `after` is a child's path or name, exclusive."""
        node = self.node(path)
        if isinstance(node, File):
            yield describe_node(node, self.commit)
            return
        start = None if after is None else _child(path, after)
        for child in islice(self.tree.list(path, after=start, reverse=reverse), _checked(limit)):
            yield describe_node(child, self.commit)

    def walk(
        self, path: str, *, after: str | None, limit: int | None, reverse: bool = False, directories: bool = True
    ) -> Iterator[FileInfo]:
        """Everything at and below `path`, depth first, directories before what is in them; or the reverse of it."""
        if not directories:
            found = self._walk_files(path, after, reverse=reverse)
        else:
            found = self._walk_back(path, after) if reverse else self._walk(path, after)
        yield from islice(found, _checked(limit))

    def glob(self, pattern: str, *, after: str | None, limit: int | None, reverse: bool = False) -> Iterator[FileInfo]:
        """Files and directories that a pattern matches, in path order."""
        start = None if after is None else clean_path(after)
        for node in islice(self.tree.glob(pattern, after=start, reverse=reverse), _checked(limit)):
            yield describe_node(node, self.commit)

    def diff(self, path: str, older: Files) -> Iterator[Diff]:
        """Files at or below `path` that are not the same in `older`, in path order."""
        for change in self.tree.diff(older.tree, path, contents=False):
            if path and change.path != path and not change.path.startswith(f"{path}/"):
                continue
            yield Diff(
                shown_path(change.path),
                None if change.new is None else describe_entry(change.new, self.commit),
                None if change.old is None else describe_entry(change.old, older.commit),
            )

    def _walk(self, path: str, after: str | None) -> Iterator[FileInfo]:
        node = self.node(path)
        if isinstance(node, File):
            yield describe_node(node, self.commit)
            return
        if after is None:
            yield describe_node(node, self.commit)
            shown: set[str] = set()
            seek = None
        else:
            last = clean_path(after)
            shown = {last, *parents(last)}
            # What is in a directory comes after it; the names that sort between "a" and "a/" came before it.
            seek = f"{last}/" if last and isinstance(self.tree.stat(last), Directory) else last or None
        prefix = f"{path}/" if path else ""
        for entry in self.tree.entries(prefix, after=seek):
            above = [one for one in parents(entry.path) if len(one) > len(path) and one not in shown]
            shown = {one for one in shown if entry.path.startswith(f"{one}/")} | set(above)
            for directory in reversed(above):
                yield describe_node(self.node(directory), self.commit)
            yield describe_entry(entry, self.commit)

    def _walk_files(self, path: str, after: str | None, *, reverse: bool) -> Iterator[FileInfo]:
        node = self.node(path)
        if isinstance(node, File):
            if after is None or not reverse:
                yield describe_node(node, self.commit)
            return
        last = None if after is None else clean_path(after)
        if reverse and last == path:
            return
        seek = f"{last}/" if last and isinstance(self.tree.stat(last), Directory) else last or None
        for entry in self.tree.entries(f"{path}/" if path else "", after=seek, reverse=reverse):
            yield describe_entry(entry, self.commit)

    def _walk_back(self, path: str, after: str | None) -> Iterator[FileInfo]:
        node = self.node(path)
        if isinstance(node, File):
            if after is None:
                yield describe_node(node, self.commit)
            return
        last = None if after is None else clean_path(after)
        if last == path:
            return
        before = f"{last}/" if last and isinstance(self.tree.stat(last), Directory) else last
        # Directories whose contents are being shown: they come when these are through.
        opened = [] if last is None else [one for one in parents(last) if len(one) > len(path)][::-1]
        for entry in self.tree.entries(f"{path}/" if path else "", after=before, reverse=True):
            while opened and not entry.path.startswith(f"{opened[-1]}/"):
                yield describe_node(self.node(opened.pop()), self.commit)
            above = [one for one in parents(entry.path) if len(one) > len(path)]
            opened = above[::-1]
            yield describe_entry(entry, self.commit)
        while opened:
            yield describe_node(self.node(opened.pop()), self.commit)
        yield describe_node(node, self.commit)

    def _not_found(self, path: str) -> PathNotFound:
        directory = next((one for one in parents(path) if self.tree.stat(one) is not None), "")
        names = [below(node.path, directory) for node in islice(self.tree.list(directory), _GUESS_LIMIT)]
        wanted = below(path, directory).split("/")[0]
        where = f" in {shown_path(directory, directory=True)}" if directory else ""
        hint = did_you_mean(wanted, names)
        return PathNotFound(
            f"there is no file or directory {shown_path(path)} in {self.commit}.{hint and hint[:-1] + where + '?'}"
        )


def _child(directory: str, name: str) -> str:
    cleaned = clean_path(name)
    return cleaned if name.startswith("/") or not directory else f"{directory}/{cleaned}"


def _checked(limit: int | None) -> int | None:
    if limit is not None and limit < 0:
        raise InvalidArgument(f"limit must be 0 or more, not {limit}")
    return limit
