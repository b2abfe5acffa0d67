"""`pfs://repo/branch/path`: files of this root, by reference, or of another root, whose bytes are read.

With options (`storage`, `metadata`, `s3`, `principal`) another root is meant; a connection in the URL (`pfs://conn@repo/...`)
is for whoever can look it up, the hook and the command line, to turn into these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs.address import Address, parse_address
from airflow_pachy.pfs.edits import CopyPath, PutContents
from airflow_pachy.pfs.files import Files
from airflow_pachy.pfs.paths import below, join_path, shown_path
from airflow_pachy.pfs.piles import EntriesBelow
from airflow_pachy.pfs.sources.requests import Found, Request, put_many, put_one
from airflow_pachy.pfs.tree import Directory, File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.content import ContentReader
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pfs.tree.entries import Entry

FORM = "pfs://repo/branch/path"


def put(request: Request) -> None:
    """Put a file or, with `recursive`, everything below a directory of another branch, repo or root."""
    source = address_of(request.url)
    options = request.take("storage", "metadata", "s3", "principal")
    if not options:
        if "@" in request.url.partition("://")[2].partition("/")[0]:
            raise InvalidArgument(
                f"{request.url!r} names an Airflow connection, which only the hook and `pachy put file --conn-id` look "
                f"up; write {FORM} for a file of this root, or give storage and metadata as options"
            )
        _put_references(request, source)
        return
    from airflow_pachy.pfs.client import Pfs

    with Pfs.open(**options) as other:
        _put_bytes(request, source, other.tree(str(source.commit)), other.content_reader)


def address_of(url: str) -> Address:
    """The address that a URL means. Raises `InvalidArgument`."""
    host, _, rest = url.partition("://")[2].partition("/")
    repo, (branch, _, path) = host.rpartition("@")[2], rest.partition("/")
    if not repo or not branch:
        raise InvalidArgument(f"{url!r} names no branch; write {FORM}")
    return parse_address(f"{repo}@{branch}:/{path}")


def _put_references(request: Request, source: Address) -> None:
    tree = request.puts.files_at(source)
    reader = request.puts.root.reader
    node = _node(request, Files(tree, str(source.commit), reader), source)
    target, origin = request.address.path or "", source.path or ""
    if request.split is not None and isinstance(node, File):
        with reader.open(node.entry.content) as stream:
            put_one(request, stream)
        return
    entries = EntriesBelow(tree, origin)
    if request.append:
        with request.puts.new_writer() as writer:
            request.puts.apply(request.address, CopyPath(origin, target, entries, True, writer, reader), request.labels)
    else:
        request.puts.apply(request.address, PutContents(_Moved(entries, origin, target)), request.labels)
    request.told.add(1 if isinstance(node, File) else node.file_count, node.size_bytes)


@dataclass(frozen=True, slots=True)
class _Moved:
    """Entries at their new paths, as those of users."""

    entries: EntriesBelow
    origin: str
    target: str

    def __iter__(self) -> Iterator[Entry]:
        for entry in self.entries:
            yield replace(entry, path=join_path(self.target, below(entry.path, self.origin)), datum=None)


def _put_bytes(request: Request, source: Address, tree: Tree, reader: ContentReader) -> None:
    node = _node(request, Files(tree, str(source.commit), reader), source)
    if isinstance(node, File) and not request.recursive:
        with reader.open(node.entry.content) as stream:
            put_one(request, stream, executable=node.entry.executable)
        return
    put_many(request, _found(EntriesBelow(tree, source.path or ""), source.path or "", reader))


def _found(entries: EntriesBelow, origin: str, reader: ContentReader) -> Iterator[Found]:
    for entry in entries:
        name = below(entry.path, origin) or entry.path.rpartition("/")[2]
        yield Found(name, partial(reader.open, entry.content), entry.executable, entry.mtime_us)


def _node(request: Request, files: Files, source: Address) -> File | Directory:
    """What is at the source: a directory only with `recursive`."""
    path = source.path or ""
    node = files.node(path)
    if isinstance(node, Directory) and not request.recursive:
        raise InvalidArgument(f"{files.commit}:{shown_path(path, directory=True)} is a directory; put it recursively")
    return node
